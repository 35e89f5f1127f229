//! How a tenant's emergency calls leave: by which numbers they are known, and by which trunks they go.

use super::compiler::{TenantCompiler, name_of};
use crate::compile::claims::UNDENIABLE_DIGITS;
use crate::compile::platform::trunk_name;
use crate::compile::problem::RefError;
use crate::compile::{Problem, Reason};
use crate::plan::{DialActionRow, EmergencyRow, TenantPlan};
use crate::resources::Trunk;

/// Most trunks that are tried after a tenant's emergency trunk: each that is silent takes seconds.
const MOST_OTHERS: usize = 8;

/// How emergency calls leave, without the trunks that are tried after the first ([`complete`]). The
/// numbers stay what they are while their trunk is not there: nothing else may be made of them.
pub fn row(draft: &mut TenantCompiler) -> Option<EmergencyRow> {
    let emergency = draft.snapshot.tenant.spec.emergency.clone()?;
    let key = draft.tenant_key();
    let mut numbers = Vec::new();
    for (index, number) in emergency.numbers.into_iter().enumerate() {
        match blocked(draft, &number) {
            Some(rule) => {
                let message = format!(
                    "DialRule {rule} of the platform blocks {number}; only emergency numbers of {UNDENIABLE_DIGITS} digits or fewer pass its rules"
                );
                let field = format!("spec.emergency.numbers[{index}]");
                draft.problems.push(Problem::degraded(key.clone(), field, Reason::NotAllowed, message));
            }
            None => numbers.push(number),
        }
    }
    let trunk = draft.trunk(&emergency.trunk_ref).ok().map(|(trunk, _)| trunk);
    Some(EmergencyRow { numbers, trunk, others: Vec::new(), caller_id_number: emergency.caller_id_number })
}

/// The same of a tenant that is refused as a whole: its numbers stay, and its trunk where that is there. Where
/// it is not, the trunk that its spec names now is taken.
pub fn row_from_before(draft: &TenantCompiler, before: EmergencyRow) -> EmergencyRow {
    let named = draft.snapshot.tenant.spec.emergency.as_ref();
    let named = named.and_then(|own| draft.trunk(&own.trunk_ref).ok()).map(|(trunk, _)| trunk);
    let trunk = before.trunk.filter(|trunk| draft.trunk_of_row(trunk).is_some()).or(named);
    let mut numbers = before.numbers;
    numbers.retain(|number| blocked(draft, number).is_none());
    EmergencyRow { numbers, trunk, others: Vec::new(), caller_id_number: before.caller_id_number }
}

/// The rule of the platform that names a longer number of the tenant's list and blocks it: a premium
/// number is no emergency number because a tenant says so.
fn blocked<'a>(draft: &TenantCompiler<'a>, number: &str) -> Option<&'a str> {
    if number.len() <= UNDENIABLE_DIGITS {
        return None;
    }
    let found = draft.named_by_platform(number)?;
    (found.rule.action == DialActionRow::Block).then_some(found.name)
}

/// Enters the trunks that are tried after the emergency trunk: those of the routes that stand, in
/// order of priority, then every other that the tenant may use, by name. Says what becomes of
/// emergency calls while the emergency trunk is not there.
pub fn complete(draft: &mut TenantCompiler, plan: &mut TenantPlan) {
    let Some(row) = plan.tenant.emergency.as_mut() else { return };
    let reference = draft.snapshot.tenant.spec.emergency.as_ref().map(|own| &own.trunk_ref);
    let mut routes: Vec<_> = plan.outbound_routes.values().collect();
    routes.sort_by_key(|route| route.priority); // stable: of one priority by name
    let by_routes: Vec<&String> = routes.into_iter().flat_map(|route| &route.trunks).collect();
    let first = row.trunk.clone();
    // A trunk that offers itself to everybody gets no emergency call of a tenant that has nothing to do
    // with its namespace.
    let trusted = |trunk: &Trunk| {
        let namespace = trunk.metadata.namespace.as_deref().unwrap_or_default();
        let is_of = |name: &String| name.split_once('/').is_some_and(|(of, _)| of == namespace);
        namespace == draft.namespace
            || reference.is_some_and(|reference| reference.namespace.as_deref() == Some(namespace))
            || by_routes.iter().copied().chain(&first).any(is_of)
    };
    let trunks = draft.platform_snapshot.trunks.iter();
    let allowed = trunks
        .filter(|trunk| trusted(trunk) && draft.permits(trunk))
        .map(|trunk| trunk_name(trunk.metadata.namespace.as_deref().unwrap_or_default(), name_of(&**trunk)));
    let mut allowed: Vec<String> = allowed.filter(|name| draft.platform.trunks.contains_key(name)).collect();
    allowed.sort();
    for trunk in by_routes.into_iter().chain(&allowed) {
        let is_new = first.as_ref() != Some(trunk) && !row.others.contains(trunk);
        if is_new && row.others.len() < MOST_OTHERS {
            row.others.push(trunk.clone());
        }
    }
    let missing = reference.filter(|_| first.is_none()).and_then(|reference| draft.trunk(reference).err());
    if let Some(RefError { reason, message, about }) = missing {
        let instead = match row.others.as_slice() {
            [] => {
                "there is no other that the tenant may use, so that emergency calls do not leave".to_owned()
            }
            others => format!("emergency calls leave by {}", others.join(", then ")),
        };
        let message = format!("{message}; {instead}");
        let key = draft.tenant_key();
        let problem = Problem::degraded(key, "spec.emergency.trunkRef", reason, message);
        draft.problems.push(Problem { about, ..problem });
    }
}
