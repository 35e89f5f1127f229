//! What names a resource and can be had once: rows from before go back only where it is free.

use std::collections::HashSet;

use super::super::numbers::clash;
use crate::compile::patterns;
use crate::plan::{OutboundRouteRow, Row, Rows, TenantPlan};
use crate::resources::common::DigitMatch;

/// What a plan has taken.
pub struct Identifiers {
    /// Internal numbers.
    pub numbers: HashSet<String>,
    /// Feature codes, and whether digits may follow.
    pub codes: Vec<(String, bool)>,
    /// Priorities of outbound routes, and what they match.
    pub routes: Vec<(i32, Vec<DigitMatch>)>,
    /// What may be nobody's.
    emergency: Vec<String>,
}

impl Identifiers {
    /// What the rows of a plan have, and the tenant's emergency numbers.
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

    /// Whether nobody has an internal number.
    pub fn is_free(&self, number: &str) -> bool {
        !self.numbers.contains(number) && !self.emergency.iter().any(|emergency| emergency == number)
    }

    /// Whether no code means the same digits.
    pub fn is_free_code(&self, code: &str, takes_digits: bool) -> bool {
        !self.codes.iter().any(|(other, other_takes)| clash((code, takes_digits), (other, *other_takes)))
    }

    /// Whether a route stands before no emergency number, and matches nothing that another of its priority
    /// does.
    pub fn is_free_route(&self, row: &OutboundRouteRow) -> bool {
        let shadows =
            |matches| patterns::shadows(matches, self.emergency.iter().map(String::as_str)).is_some();
        let overlaps = |mine: &DigitMatch| {
            let same = self.routes.iter().filter(|(priority, _)| *priority == row.priority);
            same.flat_map(|(_, theirs)| theirs).any(|theirs| patterns::overlap(mine, theirs))
        };
        !row.matches.iter().any(|matches| shadows(matches) || overlaps(matches))
    }
}
