//! Unique identifiers of a tenant: a previous row is restored only if its own is free.

use std::collections::HashSet;

use super::super::numbers::clash;
use crate::compile::patterns;
use crate::plan::{OutboundRouteRow, Row, Rows, TenantPlan};
use crate::resources::common::DigitMatch;

/// The identifiers that the rows of a plan hold.
pub struct Identifiers {
    /// Internal numbers.
    pub numbers: HashSet<String>,
    /// Feature codes, and whether digits may follow.
    pub codes: Vec<(String, bool)>,
    /// Priorities of outbound routes, and what they match.
    pub routes: Vec<(i32, Vec<DigitMatch>)>,
    /// Emergency numbers, which no resource may hold.
    emergency: Vec<String>,
}

impl Identifiers {
    /// Collects the identifiers of a plan's rows and the tenant's emergency numbers.
    pub fn new(plan: &TenantPlan, emergency: Vec<String>) -> Self {
        fn numbers<T: Row>(rows: &Rows<T>) -> impl Iterator<Item = String> {
            rows.values().filter_map(|row| row.number().map(str::to_owned))
        }
        let people = numbers(&plan.extensions).chain(numbers(&plan.ring_groups)).chain(numbers(&plan.queues));
        let codes = plan.feature_codes.values().map(|row| (row.code.clone(), row.action.takes_digits()));
        let routes = plan.outbound_routes.values().map(|row| (row.priority, row.matches.clone()));
        Self {
            numbers: people.chain(numbers(&plan.ivr_menus)).chain(numbers(&plan.conferences)).collect(),
            codes: codes.collect(),
            routes: routes.collect(),
            emergency,
        }
    }

    /// Whether an internal number is free.
    pub fn is_free(&self, number: &str) -> bool {
        !self.numbers.contains(number) && !self.emergency.iter().any(|emergency| emergency == number)
    }

    /// Whether a feature code clashes with no other.
    pub fn is_free_code(&self, code: &str, takes_digits: bool) -> bool {
        !self.codes.iter().any(|(other, other_takes)| clash((code, takes_digits), (other, *other_takes)))
    }

    /// Whether a route overlaps with no route of the same priority.
    pub fn is_free_route(&self, row: &OutboundRouteRow) -> bool {
        let overlaps = |mine: &DigitMatch| {
            let same = self.routes.iter().filter(|(priority, _)| *priority == row.priority);
            same.flat_map(|(_, theirs)| theirs).any(|theirs| patterns::overlap(mine, theirs))
        };
        !row.matches.iter().any(overlaps)
    }
}
