//! Emergency calls of a tenant: the numbers, and the trunks by which they leave.

use super::compiler::{TenantCompiler, name_of};
use crate::compile::claims::UNDENIABLE_DIGITS;
use crate::compile::platform::trunk_name;
use crate::compile::problem::RefError;
use crate::compile::{Problem, Reason};
use crate::plan::{DialActionRow, EmergencyRow, TenantPlan};
use crate::resources::Trunk;

/// Most trunks that are tried after the emergency trunk: each silent one costs seconds.
const MAX_OTHER_TRUNKS: usize = 8;

/// The emergency row without the further trunks, which [`complete`] adds. The numbers stay emergency
/// numbers while their trunk is missing, so that no route or extension takes them.
pub fn row(compiler: &mut TenantCompiler) -> Option<EmergencyRow> {
    let emergency = compiler.snapshot.tenant.spec.emergency.clone()?;
    let key = compiler.tenant_key();
    let mut numbers = Vec::new();
    for (index, number) in emergency.numbers.into_iter().enumerate() {
        match blocked(compiler, &number) {
            Some(rule) => {
                let message = format!(
                    "DialRule {rule} of the platform blocks {number}; only emergency numbers of {UNDENIABLE_DIGITS} digits or fewer pass its rules"
                );
                let field = format!("spec.emergency.numbers[{index}]");
                compiler.problems.push(Problem::degraded(key.clone(), field, Reason::NotAllowed, message));
            }
            None => numbers.push(number),
        }
    }
    let trunk = compiler.trunk(&emergency.trunk_ref).ok().map(|(trunk, _)| trunk);
    Some(EmergencyRow { numbers, trunk, others: Vec::new(), caller_id_number: emergency.caller_id_number })
}

/// The previous emergency row of a tenant that is refused as a whole. If its trunk no longer exists, the
/// trunk that the spec names now takes its place.
pub fn last_good_row(compiler: &TenantCompiler, before: EmergencyRow) -> EmergencyRow {
    let named = compiler.snapshot.tenant.spec.emergency.as_ref();
    let named = named.and_then(|own| compiler.trunk(&own.trunk_ref).ok()).map(|(trunk, _)| trunk);
    let trunk = before.trunk.filter(|trunk| compiler.trunk_of_row(trunk).is_some()).or(named);
    let mut numbers = before.numbers;
    numbers.retain(|number| blocked(compiler, number).is_none());
    EmergencyRow { numbers, trunk, others: Vec::new(), caller_id_number: before.caller_id_number }
}

/// The rule of the platform that names and blocks a number of the tenant's list. Short numbers are exempt;
/// a premium number does not become an emergency number because a tenant lists it.
fn blocked<'a>(compiler: &TenantCompiler<'a>, number: &str) -> Option<&'a str> {
    if number.len() <= UNDENIABLE_DIGITS {
        return None;
    }
    let found = compiler.named_by_platform(number)?;
    (found.rule.action == DialActionRow::Block).then_some(found.name)
}

/// Adds the trunks that are tried after the emergency trunk: those of the plan's routes by priority, then
/// every other permitted trunk by name. Reports how emergency calls leave while the emergency trunk is
/// missing.
pub fn complete(compiler: &mut TenantCompiler, plan: &mut TenantPlan) {
    let Some(row) = plan.tenant.emergency.as_mut() else { return };
    let reference = compiler.snapshot.tenant.spec.emergency.as_ref().map(|own| &own.trunk_ref);
    let mut routes: Vec<_> = plan.outbound_routes.values().collect();
    routes.sort_by_key(|route| route.priority); // stable: of one priority by name
    let by_routes: Vec<&String> = routes.into_iter().flat_map(|route| &route.trunks).collect();
    let first = row.trunk.clone();
    // A trunk that allows all namespaces gets no emergency calls of tenants that otherwise use no trunk of
    // its namespace.
    let trusted = |trunk: &Trunk| {
        let namespace = trunk.metadata.namespace.as_deref().unwrap_or_default();
        let is_of = |name: &String| name.split_once('/').is_some_and(|(of, _)| of == namespace);
        namespace == compiler.namespace
            || reference.is_some_and(|reference| reference.namespace.as_deref() == Some(namespace))
            || by_routes.iter().copied().chain(&first).any(is_of)
    };
    let trunks = compiler.platform_snapshot.trunks.iter();
    let allowed = trunks
        .filter(|trunk| trusted(trunk) && compiler.permits(trunk))
        .map(|trunk| trunk_name(trunk.metadata.namespace.as_deref().unwrap_or_default(), name_of(&**trunk)));
    let mut allowed: Vec<String> =
        allowed.filter(|name| compiler.platform.trunks.contains_key(name)).collect();
    allowed.sort();
    for trunk in by_routes.into_iter().chain(&allowed) {
        let is_new = first.as_ref() != Some(trunk) && !row.others.contains(trunk);
        if is_new && row.others.len() < MAX_OTHER_TRUNKS {
            row.others.push(trunk.clone());
        }
    }
    let missing = reference.filter(|_| first.is_none()).and_then(|reference| compiler.trunk(reference).err());
    if let Some(RefError { reason, message, about }) = missing {
        let instead = match row.others.as_slice() {
            [] => {
                "there is no other that the tenant may use, so that emergency calls do not leave".to_owned()
            }
            others => format!("emergency calls leave by {}", others.join(", then ")),
        };
        let message = format!("{message}; {instead}");
        let key = compiler.tenant_key();
        let problem = Problem::degraded(key, "spec.emergency.trunkRef", reason, message);
        compiler.problems.push(Problem { about, ..problem });
    }
}
