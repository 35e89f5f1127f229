//! Rows in force of resources that have a problem: read from the store once, and valid until a write changes
//! them.

use super::rows::row_of;
use crate::compile::Problem;
use crate::plan::{InForce, TenantPlan};
use crate::store::{Names, Written};

/// Stored rows of a tenant, as far as they were read.
#[derive(Debug, Default)]
pub struct LastGoodRows {
    in_force: Option<InForce<TenantPlan>>,
    /// Names of the rows that were read; `None` before the first read.
    names: Option<Names>,
}

impl LastGoodRows {
    /// The rows; `None` before the first read.
    pub fn in_force(&self) -> Option<&InForce<TenantPlan>> {
        self.in_force.as_ref()
    }

    /// Names of all rows to read, if problems need rows that were not read: those that may stay in force. A
    /// refused Tenant needs its own row too.
    pub fn missing_names(&self, problems: &[Problem], is_refused: bool) -> Option<Names> {
        let mut names = self.names.clone().unwrap_or_default();
        let mut is_missing = is_refused && self.names.is_none();
        for problem in problems.iter().filter(|problem| problem.keeps_last_row()) {
            let Some((table, name)) = row_of(&problem.resource) else { continue };
            is_missing |= names.entry(table.to_owned()).or_default().insert(name);
        }
        is_missing.then_some(names)
    }

    /// Sets the rows that the store returned for these names.
    pub fn set(&mut self, names: Names, in_force: Option<InForce<TenantPlan>>) {
        *self = Self { in_force, names: Some(names) };
    }

    /// Forgets the rows if a write changed or deleted one of them: they are read again when needed.
    pub fn record_write(&mut self, written: &Written) {
        let was_read = |(table, name): &(&str, String)| {
            let names = self.names.as_ref().and_then(|names| names.get(*table));
            names.is_some_and(|names| names.contains(name))
        };
        if written.rows_deleted > 0 || written.rows.iter().any(was_read) {
            *self = Self::default();
        }
    }
}
