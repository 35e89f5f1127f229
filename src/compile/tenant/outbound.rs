//! Conflicts of outbound routes with each other, and notes where they match emergency numbers.

use std::collections::BTreeSet;

use super::compiler::{ByAge, TenantCompiler, name_of};
use super::numbers::emergency_numbers;
use crate::compile::countries::{unknown_country, unknown_country_of};
use crate::compile::{Problem, Reason, patterns};
use crate::numbers::known_emergency_numbers;
use crate::resources::Kind;
use crate::resources::OutboundRoute;
use crate::resources::common::DigitMatch;

/// Refuses routes that match no number, or overlap with an older route of the same priority: between those two
/// the choice would be arbitrary. A route that matches an emergency number harms nobody, because emergency calls
/// are decided before all routes: that is noted.
pub fn refuse_conflicts(compiler: &mut TenantCompiler) {
    let listed = emergency_numbers(compiler);
    let known = known_emergency_numbers(compiler.snapshot.tenant.spec.country.as_deref());
    let emergency: BTreeSet<&str> = listed.iter().map(String::as_str).chain(known.iter().copied()).collect();
    let mut routes: Vec<(ByAge, &OutboundRoute)> = compiler
        .snapshot
        .outbound_routes
        .iter()
        .map(|route| (compiler.aged(Kind::OutboundRoute, name_of(&**route)), &**route))
        .collect();
    routes.sort_by(|a, b| a.0.cmp(&b.0));
    let mut accepted: Vec<&OutboundRoute> = Vec::new();
    for (aged, route) in routes {
        if let Some((field, code)) = unknown_country_of(&route.spec.matches) {
            compiler.refuse(aged.id, format!("spec.{field}"), (Reason::InvalidValue, unknown_country(code)));
        } else if let Some(index) = route.spec.matches.iter().position(|matches| !patterns::possible(matches))
        {
            let field = format!("spec.match[{index}]");
            compiler.refuse(aged.id, field, (Reason::InvalidValue, patterns::IMPOSSIBLE.to_owned()));
        } else if let Some((index, other)) = overlapping(route, &accepted) {
            let message = format!(
                "it overlaps with OutboundRoute {}, which has the same priority {}; give one another priority",
                name_of(other),
                route.spec.priority
            );
            let holder = compiler.key(Kind::OutboundRoute, name_of(other));
            compiler.conflict(aged.id, format!("spec.match[{index}]"), holder, message);
        } else {
            if let Some(note) = matched_emergency(compiler, route, &emergency) {
                compiler.problems.push(note);
            }
            accepted.push(route);
        }
    }
}

/// A note that a route matches emergency numbers.
fn matched_emergency(
    compiler: &TenantCompiler,
    route: &OutboundRoute,
    emergency: &BTreeSet<&str>,
) -> Option<Problem> {
    let matched = |matches: &DigitMatch| -> Vec<&str> {
        emergency.iter().copied().filter(|number| patterns::shadows(matches, [*number]).is_some()).collect()
    };
    let mut matched = route.spec.matches.iter().map(matched).enumerate();
    let (index, numbers) = matched.find(|(_, numbers)| !numbers.is_empty())?;
    let message = format!(
        "it matches {}: calls to emergency numbers leave as such, and not by this route, which stays in force for all others",
        numbers.join(", ")
    );
    let key = compiler.key(Kind::OutboundRoute, name_of(route));
    Some(Problem::noted(key, format!("spec.match[{index}].prefix"), Reason::EmergencyShadowed, message))
}

fn overlapping<'a>(
    route: &OutboundRoute,
    accepted: &[&'a OutboundRoute],
) -> Option<(usize, &'a OutboundRoute)> {
    accepted.iter().filter(|other| other.spec.priority == route.spec.priority).find_map(|other| {
        let index = route
            .spec
            .matches
            .iter()
            .position(|mine| other.spec.matches.iter().any(|theirs| patterns::overlap(mine, theirs)))?;
        Some((index, *other))
    })
}
