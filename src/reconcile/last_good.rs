//! What is in force of resources that have a problem: asked of the store once, and believed until it is
//! written.

use super::jobs::row_of;
use crate::compile::Problem;
use crate::plan::{InForce, TenantPlan};
use crate::store::{Names, Written};

/// Rows of a tenant as they are stored, as far as they were asked for.
#[derive(Debug, Default)]
pub struct LastGoodRows {
    in_force: Option<InForce<TenantPlan>>,
    /// None before the store was asked at all.
    asked: Option<Names>,
}

impl LastGoodRows {
    /// The rows; none while none were asked for.
    pub fn in_force(&self) -> Option<&InForce<TenantPlan>> {
        self.in_force.as_ref()
    }

    /// All rows that are to be known, when a compile found something of which they are not: rows that may
    /// stay as they are. Of a tenant that is refused as a whole that is its own, too.
    pub fn to_ask(&self, problems: &[Problem], is_refused: bool) -> Option<Names> {
        let mut names = self.asked.clone().unwrap_or_default();
        let mut new = is_refused && self.asked.is_none();
        for problem in problems.iter().filter(|problem| problem.keeps_last_row()) {
            let Some((table, name)) = row_of(&problem.resource) else { continue };
            let asked = names.entry(table.to_owned()).or_default();
            new |= asked.insert(name);
        }
        new.then_some(names)
    }

    /// Takes in what the store has of the rows that were asked for.
    pub fn learn(&mut self, asked: Names, in_force: Option<InForce<TenantPlan>>) {
        *self = Self { in_force, asked: Some(asked) };
    }

    /// Takes in that rows were written: what is not as it was any more is asked for again.
    pub fn written(&mut self, written: &Written) {
        let is_asked = |(table, name): &(&str, String)| {
            let names = self.asked.as_ref().and_then(|asked| asked.get(*table));
            names.is_some_and(|names| names.contains(name))
        };
        if written.rows_deleted > 0 || written.rows.iter().any(is_asked) {
            *self = Self::default();
        }
    }
}
