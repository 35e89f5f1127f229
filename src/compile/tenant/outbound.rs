//! Conflicts of outbound routes with each other and with emergency numbers.

use super::compiler::{ByAge, TenantCompiler, name_of};
use super::numbers::emergency_numbers;
use crate::compile::countries::{unknown_country, unknown_country_of};
use crate::compile::{Reason, patterns};
use crate::resources::Kind;
use crate::resources::OutboundRoute;

/// Refuses routes that match no number, match an emergency number, or overlap with an older route of the
/// same priority: between those two the choice would be arbitrary.
pub fn refuse_conflicts(compiler: &mut TenantCompiler) {
    let emergency = emergency_numbers(compiler);
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
        } else if let Some((index, number)) = shadowed(route, &emergency) {
            let field = format!("spec.match[{index}].prefix");
            let message = format!(
                "it matches the emergency number {number}, which always leaves by spec.emergency of the Tenant"
            );
            compiler.refuse(aged.id, field, (Reason::EmergencyShadowed, message));
        } else if let Some((index, other)) = overlapping(route, &accepted) {
            let message = format!(
                "it overlaps with OutboundRoute {}, which has the same priority {}; give one another priority",
                name_of(other),
                route.spec.priority
            );
            let holder = compiler.key(Kind::OutboundRoute, name_of(other));
            compiler.conflict(aged.id, format!("spec.match[{index}]"), holder, message);
        } else {
            accepted.push(route);
        }
    }
}

fn shadowed(route: &OutboundRoute, emergency: &[String]) -> Option<(usize, String)> {
    route.spec.matches.iter().enumerate().find_map(|(index, matches)| {
        patterns::shadows(matches, emergency.iter().map(String::as_str))
            .map(|number| (index, number.to_owned()))
    })
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
