//! Internal numbers, feature codes and public numbers: one holder each, the oldest.

use std::collections::HashMap;

use super::compiler::{ByAge, TenantCompiler, name_of};
use crate::compile::problem::RefError;
use crate::compile::{Problem, Reason};
use crate::numbers::known_emergency_numbers;
use crate::resources::common::DestinationKind;
use crate::resources::{IvrMenu, Kind};
use crate::source::ObjectKey;
use crate::source::index::key_of;
use crate::source::object::created;

/// Assigns each number and code to its oldest claimant, and refuses the others.
pub fn assign(compiler: &mut TenantCompiler) {
    internal(compiler);
    feature_codes(compiler);
    public(compiler);
}

fn internal(compiler: &mut TenantCompiler) {
    let snapshot = compiler.snapshot;
    // The order of `ByAge`, with borrowed names to save allocations.
    let mut claims = Vec::new();
    for extension in &snapshot.extensions {
        let age = created(&extension.metadata);
        claims.push((age, Kind::Extension, name_of(&**extension), extension.spec.number.as_str()));
    }
    macro_rules! optional {
        ($($kind:ident => $list:ident),*) => {
            $(for object in &snapshot.$list {
                if let Some(number) = &object.spec.number {
                    claims.push((created(&object.metadata), Kind::$kind, name_of(&**object), number.as_str()));
                }
            })*
        };
    }
    optional!(RingGroup => ring_groups, Queue => queues, IvrMenu => ivr_menus, Conference => conferences);
    claims.sort();
    let emergency = emergency_numbers(compiler);
    let known = known_emergency_numbers(snapshot.tenant.spec.country.as_deref());
    let mut holders: HashMap<&str, (Kind, &str)> = HashMap::with_capacity(claims.len());
    for (_, kind, name, number) in claims {
        let id = || (kind, name.to_owned());
        if emergency.iter().any(|e| e == number) {
            let message = format!("{number} is an emergency number of the tenant; choose another");
            compiler.refuse(id(), "spec.number", (Reason::EmergencyShadowed, message));
        } else if let Some((kind, name)) = holders.get(number) {
            let message = format!("{kind} {name} holds the number {number}; choose another");
            compiler.conflict(id(), "spec.number", compiler.key(*kind, name), message);
        } else {
            if let Some(hidden) = hidden(compiler, number) {
                compiler.degrade(kind, name, "spec.number", hidden);
            }
            if known.contains(&number) {
                let message = format!(
                    "{number} is an emergency number: phones that dial it reach this {kind}, and no emergency service; choose another"
                );
                let key = compiler.key(kind, name);
                compiler.problems.push(Problem::noted(
                    key,
                    "spec.number",
                    Reason::EmergencyShadowed,
                    message,
                ));
            }
            holders.insert(number, (kind, name));
        }
    }
    compiler.internal_numbers = holders;
}

/// Reports options of a menu that are internal numbers, where callers may dial these: the option goes before.
pub fn tell_hidden_by_options(compiler: &mut TenantCompiler, menu: &IvrMenu) {
    if menu.spec.direct_dial != Some(true) {
        return;
    }
    for (index, option) in menu.spec.options.iter().enumerate() {
        let Some((kind, holder)) = compiler.internal_holder(&option.digits) else { continue };
        let to = &option.destination;
        if (to.kind.resource(), to.name.as_deref()) == (kind, Some(holder))
            && to.kind != DestinationKind::Voicemail
        {
            continue;
        }
        let digits = &option.digits;
        let message = format!(
            "{kind} {holder} has the number {digits}: callers of this menu cannot dial it, for the option goes \
             before; let the option lead there, or choose other digits"
        );
        let about = compiler.key(kind, holder);
        let why = RefError::of_object(Reason::Conflict, about, message);
        compiler.degrade(Kind::IvrMenu, name_of(menu), format!("spec.options[{index}].digits"), why);
    }
}

/// Why dialling a number or code does not reach the tenant: a rule of the platform decides first.
fn hidden(compiler: &TenantCompiler, number: &str) -> Option<RefError> {
    let found = compiler.named_by_platform(number)?;
    let message = format!(
        "DialRule {} of the platform decides what {number} means, before the tenant; choose another",
        found.name
    );
    Some((Reason::Conflict, message).into())
}

/// The tenant's emergency numbers, also while their trunk is missing: which numbers are reserved must not
/// depend on the trunk.
pub fn emergency_numbers(compiler: &TenantCompiler) -> Vec<String> {
    compiler.snapshot.tenant.spec.emergency.as_ref().map(|e| e.numbers.clone()).unwrap_or_default()
}

/// Assigns feature codes. A code that takes digits also holds every code that is itself followed by digits.
fn feature_codes(compiler: &mut TenantCompiler) {
    let snapshot = compiler.snapshot;
    let mut codes: Vec<(ByAge, &str, bool)> = snapshot
        .feature_codes
        .iter()
        .map(|code| {
            let aged = compiler.aged(Kind::FeatureCode, name_of(&**code));
            (aged, code.spec.code.as_str(), code.spec.action.takes_digits())
        })
        .collect();
    codes.sort();
    let mut holders: Vec<(String, &str, bool)> = Vec::new();
    for (aged, code, takes_digits) in codes {
        let holder =
            holders.iter().find(|(_, other, other_takes)| clash((code, takes_digits), (other, *other_takes)));
        if let Some((holder, other, _)) = holder {
            let message = format!("it overlaps with {other} of FeatureCode {holder}; choose another");
            compiler.conflict(aged.id, "spec.code", compiler.key(Kind::FeatureCode, holder), message);
        } else {
            if let Some(hidden) = hidden(compiler, code) {
                compiler.degrade(Kind::FeatureCode, &aged.id.1, "spec.code", hidden);
            }
            holders.push((aged.id.1, code, takes_digits));
        }
    }
}

/// Whether two codes can match the same dialled digits. The flag of each says whether digits may follow it.
pub fn clash((code, takes_digits): (&str, bool), (other, other_takes): (&str, bool)) -> bool {
    code == other
        || (other_takes && is_digits_after(other, code))
        || (takes_digits && is_digits_after(code, other))
}

fn is_digits_after(code: &str, longer: &str) -> bool {
    longer.strip_prefix(code).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn public(compiler: &mut TenantCompiler) {
    let Some(me) = key_of(&compiler.snapshot.tenant) else { return };
    for number in &compiler.snapshot.numbers {
        let id = (Kind::Number, name_of(&**number).to_owned());
        let (first, last) = number.spec.ends();
        let which = if first == last { first.clone() } else { format!("{first} to {last}") };
        if ![&first, &last].iter().all(|number| compiler.claims.may_hold(&me, number)) {
            let message = format!("Tenant {} may not hold {which} (its spec.allowedNumbers)", me.name);
            compiler.refuse(id, "spec.number", (Reason::NotAllowed, message));
            continue;
        }
        let Some((holder, holder_name)) = compiler.claims.rival(number) else { continue };
        let whose = compiler.tenant_as_seen(holder);
        let what = if first == last { which } else { format!("a number of {which}") };
        let message = match holder.namespace == me.namespace {
            true => format!("Number {holder_name} of {whose} holds {what}"),
            false => format!("{whose} holds {what}"),
        };
        let holder = ObjectKey {
            namespace: Some(holder.namespace.clone()),
            kind: Kind::Number,
            name: holder_name.to_owned(),
        };
        compiler.conflict(id, "spec.number", holder, message);
    }
}
