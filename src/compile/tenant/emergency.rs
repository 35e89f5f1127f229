//! Emergency calls of a tenant: the numbers, and the trunks by which they leave.

use super::compiler::{TenantCompiler, name_of};
use crate::compile::claims::UNDENIABLE_DIGITS;
use crate::compile::platform::trunk_name;
use crate::compile::problem::RefError;
use crate::compile::{Problem, Reason};
use crate::numbers::{emergency_numbers, known_emergency_numbers};
use crate::plan::{DialActionRow, EmergencyRow, TenantPlan};
use crate::resources::common::LocalRef;
use crate::resources::emergency::EmergencyLocation;
use crate::resources::tenant_profile::EmergencyWhenSuspended;
use crate::resources::{Kind, Trunk};

/// Most trunks that are tried after the emergency trunk: each silent one costs seconds.
const MAX_OTHER_TRUNKS: usize = 8;
/// Most numbers or locations that a message names.
const MAX_NAMED: usize = 8;

/// The emergency row of `spec.emergency`, without the further trunks, which [`complete`] adds. The numbers stay
/// emergency numbers while their trunk is missing, so that no route or extension takes them.
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
    let locations = contactable(compiler, emergency.locations);
    let default_location = emergency.default_location_ref.and_then(|reference| {
        let field = "spec.emergency.defaultLocationRef.name";
        location(compiler, (Kind::Tenant, &key.name), field, &reference)
    });
    Some(EmergencyRow {
        numbers,
        trunk,
        others: Vec::new(),
        caller_id_number: emergency.caller_id_number,
        locations,
        default_location,
        denied_while_suspended: is_denied_while_suspended(compiler).unwrap_or(false),
    })
}

/// The previous emergency row of a tenant that is refused as a whole. If its trunk no longer exists, the
/// trunk that the spec names now takes its place.
pub fn last_good_row(compiler: &TenantCompiler, before: EmergencyRow) -> EmergencyRow {
    let named = compiler.snapshot.tenant.spec.emergency.as_ref();
    let named = named.and_then(|own| compiler.trunk(&own.trunk_ref).ok()).map(|(trunk, _)| trunk);
    let trunk = before.trunk.filter(|trunk| compiler.trunk_of_row(trunk).is_some()).or(named);
    let mut numbers = before.numbers;
    numbers.retain(|number| blocked(compiler, number).is_none());
    let denied_while_suspended = is_denied_while_suspended(compiler).unwrap_or(before.denied_while_suspended);
    EmergencyRow { numbers, trunk, others: Vec::new(), denied_while_suspended, ..before }
}

/// Whether the profile denies emergency calls to suspended tenants; `None` without a profile.
fn is_denied_while_suspended(compiler: &TenantCompiler) -> Option<bool> {
    let profile = &compiler.profile?.spec;
    Some(profile.emergency_when_suspended.unwrap_or_default() == EmergencyWhenSuspended::Denied)
}

/// The locations, without notified extensions that do not exist.
fn contactable(
    compiler: &mut TenantCompiler,
    mut locations: Vec<EmergencyLocation>,
) -> Vec<EmergencyLocation> {
    let key = compiler.tenant_key();
    for (index, location) in locations.iter_mut().enumerate() {
        let Some(notify) = &mut location.notify else { continue };
        let mut at = 0..;
        notify.extension_refs.retain(|reference| {
            let at = at.next().unwrap_or_default();
            let Err(why) = compiler.exists(Kind::Extension, &reference.name) else { return true };
            let field = format!("spec.emergency.locations[{index}].notify.extensionRefs[{at}].name");
            let RefError { reason, message, about } = why;
            let problem = Problem::degraded(key.clone(), field, reason, message);
            compiler.problems.push(Problem { about, ..problem });
            false
        });
    }
    locations
}

/// Checks that the Tenant has the location that a resource names; reports it if not.
pub fn location(
    compiler: &mut TenantCompiler,
    (kind, name): (Kind, &str),
    field: &str,
    reference: &LocalRef,
) -> Option<String> {
    let emergency = compiler.snapshot.tenant.spec.emergency.as_ref();
    let locations = emergency.map(|emergency| emergency.locations.as_slice()).unwrap_or_default();
    if locations.iter().any(|location| location.name == reference.name) {
        return Some(reference.name.clone());
    }
    let names: Vec<&str> = locations.iter().map(|location| location.name.as_str()).take(MAX_NAMED).collect();
    let known = match names.as_slice() {
        [] => "has none".to_owned(),
        names => format!("has {}", names.join(", ")),
    };
    let tenant = name_of(&*compiler.snapshot.tenant);
    let used = if kind == Kind::Device { "that of its extension" } else { "the default location" };
    let message = format!(
        "there is no location {} in spec.emergency.locations of Tenant {tenant}, which {known}; {used} is used",
        reference.name
    );
    compiler.degrade(kind, name, field, (Reason::RefNotFound, message));
    None
}

/// The emergency number, of the tenant or of its country, that a public number of the country has as its national
/// digits.
pub fn within_country(compiler: &TenantCompiler, number: &str) -> Option<String> {
    let national = compiler.country()?.digits_within(number)?;
    let spec = &compiler.snapshot.tenant.spec;
    let mut listed = spec.emergency.iter().flat_map(|emergency| &emergency.numbers);
    let is_emergency = listed.any(|listed| listed == national)
        || known_emergency_numbers(spec.country.as_deref()).contains(&national);
    is_emergency.then(|| national.to_owned())
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
/// every other permitted trunk by name, then those of the platform's rules. A tenant without `spec.emergency`
/// gets a row for the emergency numbers
/// of its country, if there is such a trunk. Reports how emergency calls leave while the emergency trunk is
/// missing, and which numbers of the country are not listed.
pub fn complete(compiler: &mut TenantCompiler, plan: &mut TenantPlan) {
    let mut row = plan.tenant.emergency.take().unwrap_or_else(|| EmergencyRow {
        denied_while_suspended: is_denied_while_suspended(compiler).unwrap_or(false),
        ..EmergencyRow::default()
    });
    row.others = other_trunks(compiler, plan, row.trunk.as_ref());
    let reference = compiler.snapshot.tenant.spec.emergency.as_ref().map(|own| &own.trunk_ref);
    let missing =
        reference.filter(|_| row.trunk.is_none()).and_then(|reference| compiler.trunk(reference).err());
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
    if row.trunks().next().is_some() {
        note_unlisted(compiler, &row, plan);
    }
    let is_needed = reference.is_some() || !row.numbers.is_empty() || row.trunks().next().is_some();
    plan.tenant.emergency = is_needed.then_some(row);
}

/// The trunks of the platform's rules, by which calls of every tenant leave.
fn rule_trunks<'a>(compiler: &TenantCompiler<'a>) -> impl Iterator<Item = &'a String> {
    let rules = compiler.platform.dial_rules.values();
    rules.flat_map(|rule| match &rule.action {
        DialActionRow::Route { trunks } => trunks.as_slice(),
        DialActionRow::Block => &[],
    })
}

/// The trunks by which emergency calls leave beside the emergency trunk, in order.
fn other_trunks(compiler: &TenantCompiler, plan: &TenantPlan, first: Option<&String>) -> Vec<String> {
    let reference = compiler.snapshot.tenant.spec.emergency.as_ref().map(|own| &own.trunk_ref);
    let mut routes: Vec<_> = plan.outbound_routes.values().collect();
    routes.sort_by_key(|route| route.priority); // stable: of one priority by name
    let by_routes: Vec<&String> = routes.into_iter().flat_map(|route| &route.trunks).collect();
    let by_numbers = plan.numbers.values().map(|number| &number.trunk);
    // A trunk that allows all namespaces gets no emergency calls of tenants that otherwise use no trunk of
    // its namespace.
    let trusted = |trunk: &Trunk| {
        let namespace = trunk.metadata.namespace.as_deref().unwrap_or_default();
        let is_of = |name: &String| name.split_once('/').is_some_and(|(of, _)| of == namespace);
        namespace == compiler.namespace
            || reference.is_some_and(|reference| reference.namespace.as_deref() == Some(namespace))
            || by_routes.iter().copied().chain(by_numbers.clone()).chain(first).any(is_of)
    };
    let trunks = compiler.platform_snapshot.trunks.iter();
    let allowed = trunks
        .filter(|trunk| trusted(trunk) && compiler.permits(trunk))
        .map(|trunk| trunk_name(trunk.metadata.namespace.as_deref().unwrap_or_default(), name_of(&**trunk)));
    let mut allowed: Vec<String> =
        allowed.filter(|name| compiler.platform.trunks.contains_key(name)).collect();
    allowed.sort();
    let mut others: Vec<String> = Vec::new();
    for trunk in by_routes.into_iter().chain(&allowed).chain(rule_trunks(compiler)) {
        if others.len() < MAX_OTHER_TRUNKS && first != Some(trunk) && !others.contains(trunk) {
            others.push(trunk.clone());
        }
    }
    others
}

/// Notes which emergency numbers of the country the tenant does not list. They leave as emergency calls in any
/// case; those that are its internal numbers are noted there.
fn note_unlisted(compiler: &mut TenantCompiler, row: &EmergencyRow, plan: &TenantPlan) {
    let spec = &compiler.snapshot.tenant.spec;
    let is_internal = |number: &str| {
        let numbers = plan.extensions.values().map(|row| Some(&row.number));
        let numbers = numbers.chain(plan.ring_groups.values().map(|row| row.number.as_ref()));
        let numbers = numbers.chain(plan.queues.values().map(|row| row.number.as_ref()));
        let numbers = numbers.chain(plan.ivr_menus.values().map(|row| row.number.as_ref()));
        let mut numbers = numbers.chain(plan.conferences.values().map(|row| row.number.as_ref()));
        numbers.any(|own| own.is_some_and(|own| own == number))
    };
    let listed = spec.emergency.as_ref().map(|own| own.numbers.as_slice()).unwrap_or_default();
    let known = known_emergency_numbers(spec.country.as_deref()).iter().copied();
    let unlisted: Vec<&str> =
        known.filter(|number| !listed.iter().any(|own| own == number) && !is_internal(number)).collect();
    if unlisted.is_empty() {
        return;
    }
    let mut numbers = unlisted.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    if let Some(more) = unlisted.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        numbers.push_str(&format!(" and {more} more"));
    }
    let of = match spec.country.as_deref() {
        Some(country) if !emergency_numbers(country).is_empty() => format!("of {country}"),
        Some(country) => format!("of every mobile phone, as those of {country} are not known"),
        None => "of every mobile phone, as there is no spec.country".to_owned(),
    };
    let trunks = row.trunks().collect::<Vec<_>>().join(", then ");
    let (field, message) = match &spec.emergency {
        // Nobody expects calls of a tenant without a route to leave.
        None if plan.outbound_routes.is_empty() && rule_trunks(compiler).next().is_none() => return,
        None => (
            "spec.emergency",
            format!(
                "the Tenant has none. Calls to {numbers} (emergency numbers {of}) leave by {trunks} all the same; spec.emergency says by which trunk, and which number is shown"
            ),
        ),
        // Without a country nothing says that the list is not complete.
        Some(_) if spec.country.is_none() => return,
        Some(_) => (
            "spec.emergency.numbers",
            format!(
                "the list lacks {numbers} (emergency numbers {of}). Calls to what it lacks leave as emergency calls by {trunks} all the same"
            ),
        ),
    };
    let key = compiler.tenant_key();
    compiler.problems.push(Problem::noted(key, field, Reason::EmergencyNotListed, message));
}
