//! Internal numbers, feature codes and public numbers: one holder each, the oldest.

use crate::resources::Kind;
use std::collections::HashMap;

use jiff::Timestamp;

use super::compiler::{ByAge, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::source::ObjectKey;
use crate::source::index::key_of;
use crate::source::object::created;

/// Settles who holds each number and code of the tenant.
pub fn settle(draft: &mut TenantCompiler) {
    internal(draft);
    feature_codes(draft);
    public(draft);
}

fn internal(draft: &mut TenantCompiler) {
    let snapshot = draft.snapshot;
    // As `ByAge` orders them, without names of their own: there are many.
    let mut claims: Vec<(Timestamp, Kind, &str, &str)> = Vec::new();
    for extension in &snapshot.extensions {
        let age = created(&extension.metadata);
        claims.push((age, Kind::Extension, name_of(&**extension), &extension.spec.number));
    }
    macro_rules! optional {
        ($($kind:ident => $list:ident),*) => {
            $(for object in &snapshot.$list {
                if let Some(number) = &object.spec.number {
                    claims.push((created(&object.metadata), Kind::$kind, name_of(&**object), number));
                }
            })*
        };
    }
    optional!(RingGroup => ring_groups, Queue => queues, IvrMenu => ivr_menus, Conference => conferences);
    claims.sort();
    let emergency = emergency_numbers(draft);
    let mut holders: HashMap<&str, (Kind, &str)> = HashMap::with_capacity(claims.len());
    for (_, kind, name, number) in claims {
        let id = || (kind, name.to_owned());
        if emergency.iter().any(|e| e == number) {
            let message = format!("{number} is an emergency number of the tenant; choose another");
            draft.refuse(id(), "spec.number", (Reason::EmergencyShadowed, message));
        } else if let Some((kind, name)) = holders.get(number) {
            let message = format!("{kind} {name} holds the number {number}; choose another");
            draft.conflict(id(), "spec.number", draft.key(*kind, name), message);
        } else {
            if let Some(hidden) = hidden(draft, number) {
                draft.degrade(kind, name, "spec.number", hidden);
            }
            holders.insert(number, (kind, name));
        }
    }
}

/// Why nobody gets to a number or code by dialling it: a rule of the platform decides before.
fn hidden(draft: &TenantCompiler, number: &str) -> Option<RefError> {
    let found = draft.named_by_platform(number)?;
    let message = format!(
        "DialRule {} of the platform decides what {number} means, before the tenant; choose another",
        found.name
    );
    Some((Reason::Conflict, message).into())
}

/// The tenant's emergency numbers, also when no trunk can carry them at present: what may stand
/// before them must not depend on that.
pub fn emergency_numbers(draft: &TenantCompiler) -> Vec<String> {
    draft.snapshot.tenant.spec.emergency.as_ref().map(|e| e.numbers.clone()).unwrap_or_default()
}

/// A code that takes digits holds every code that is itself with digits behind it.
fn feature_codes(draft: &mut TenantCompiler) {
    let snapshot = draft.snapshot;
    let mut codes: Vec<(ByAge, &str, bool)> = snapshot
        .feature_codes
        .iter()
        .map(|code| {
            let aged = draft.aged(Kind::FeatureCode, name_of(&**code));
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
            draft.conflict(aged.id, "spec.code", draft.key(Kind::FeatureCode, holder), message);
        } else {
            if let Some(hidden) = hidden(draft, code) {
                draft.degrade(Kind::FeatureCode, &aged.id.1, "spec.code", hidden);
            }
            holders.push((aged.id.1, code, takes_digits));
        }
    }
}

/// Whether two codes, each with whether digits may follow it, can mean the same digits.
pub fn clash((code, takes_digits): (&str, bool), (other, other_takes): (&str, bool)) -> bool {
    code == other
        || (other_takes && is_digits_after(other, code))
        || (takes_digits && is_digits_after(code, other))
}

fn is_digits_after(code: &str, longer: &str) -> bool {
    longer.strip_prefix(code).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn public(draft: &mut TenantCompiler) {
    let Some(me) = key_of(&draft.snapshot.tenant) else { return };
    for number in &draft.snapshot.numbers {
        let name = name_of(&**number);
        if !draft.claims.may_hold(&me, &number.spec.number) {
            let message = format!(
                "{} is none of the numbers that Tenant {} may hold (its spec.allowedNumbers)",
                number.spec.number, me.name
            );
            draft.refuse((Kind::Number, name.to_owned()), "spec.number", (Reason::NotAllowed, message));
            continue;
        }
        let Some((holder, holder_name)) = draft.claims.number(&number.spec.number) else { continue };
        if *holder != me || holder_name != name {
            let whose = draft.tenant_as_seen(holder);
            let message = match holder.namespace == me.namespace {
                true => format!("Number {holder_name} of {whose} holds {}", number.spec.number),
                false => format!("{whose} holds {}", number.spec.number),
            };
            let kind = Kind::Number;
            let holder =
                ObjectKey { namespace: Some(holder.namespace.clone()), kind, name: holder_name.to_owned() };
            draft.conflict((kind, name.to_owned()), "spec.number", holder, message);
        }
    }
}
