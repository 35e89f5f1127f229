//! What a dialled number means: the order of the rules, and the first that matches.
//!
//! Emergency numbers come before everything. Then the platform's rules before, the tenant's own
//! numbers and feature codes, its outbound routes by priority, and the platform's rules after.

use crate::resources::Kind;
use jiff::Timestamp;

use super::digits;
use super::explain::{Step, Tracer};
use super::rules::{self, RuleMatch};
use super::schedule;
use super::token::Caller;
use super::view::TenantView;
use crate::plan::{DialActionRow, FeatureCodeRow, PlatformPlan, Target};
use crate::resources::common::{CallerId, DestinationKind};
use crate::resources::dial_rule::Phase;

/// Most schedules and forwardings that a call follows by itself. Compile refuses circles; this
/// bounds what a plan could do that was not compiled.
const MAX_HOPS: usize = 32;

/// What a dialled number means.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<'a> {
    /// An emergency call.
    Emergency {
        /// The number, sent as dialled.
        number: String,
    },
    /// A destination of the tenant.
    Target(&'a Target),
    /// A feature code, and the digits behind it.
    Feature {
        /// Name of its resource.
        name: &'a str,
        /// The code.
        code: &'a FeatureCodeRow,
        /// Digits behind the code.
        digits: String,
    },
    /// Out by trunks, in order.
    Out(Outbound<'a>),
    /// The number may not be dialled, or not by this caller.
    Refused(Refusal),
    /// Nobody has the number.
    Unknown,
}

/// A call that leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound<'a> {
    /// Name of the rule: an OutboundRoute or a DialRule.
    pub rule: &'a str,
    /// Number after the digit edits.
    pub number: String,
    /// Whether the call is one abroad.
    pub is_abroad: bool,
    /// Trunks in order, `namespace/name`.
    pub trunks: &'a [String],
    /// Caller id that overrides the caller's own.
    pub caller_id: Option<&'a CallerId>,
}

/// Why a number may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Refusal {
    /// A rule of the platform blocks it.
    Blocked,
    /// The caller lacks the toll class of the route.
    TollClass,
    /// A caller from outside may not dial it.
    Outside,
}

/// Decides what a number means that a caller of the tenant dialled.
pub fn decide<'a>(
    view: &'a TenantView,
    platform: &'a PlatformPlan,
    caller: &Caller,
    dialled: &str,
    listener: Tracer<'_>,
) -> Decision<'a> {
    if !digits::is_dialled(dialled) {
        let why =
            || format!("{dialled} is no number; a number is digits, * and #, with at most one + in front");
        listener.hears(|| Step { resource: view.tenant_key(), matched: false, why: why() });
        return Decision::Unknown;
    }
    let inside = matches!(caller, Caller::Extension(_));
    if inside && is_emergency(view, dialled, listener) {
        return Decision::Emergency { number: dialled.to_owned() };
    }
    if let Some(found) = rules::first(platform, Phase::Before, dialled, listener) {
        return by_rule(view, found, inside, dialled, listener);
    }
    if let Some(target) = view.number(dialled) {
        let why = || format!("its number is {dialled}");
        listener.hears(|| Step { resource: view.target_key(target), matched: true, why: why() });
        return Decision::Target(target);
    }
    let why = || format!("none of its internal numbers is {dialled}");
    listener.hears(|| Step { resource: view.tenant_key(), matched: false, why: why() });
    if !inside {
        return match after(view, platform, inside, dialled, listener) {
            Some(decision) => decision,
            None => {
                let why = "callers from outside dial internal numbers only".to_owned();
                listener.hears(|| Step { resource: view.tenant_key(), matched: false, why });
                Decision::Refused(Refusal::Outside)
            }
        };
    }
    if let Some(decision) = own(view, dialled, listener).or_else(|| feature(view, dialled, listener)) {
        return decision;
    }
    if let Some(decision) = outbound(view, caller, dialled, listener) {
        return or_blocked(view, platform, decision, dialled, listener);
    }
    after(view, platform, inside, dialled, listener).unwrap_or(Decision::Unknown)
}

/// The tenant's own public number: a call to it does not leave.
fn own<'a>(view: &'a TenantView, number: &str, listener: Tracer<'_>) -> Option<Decision<'a>> {
    let (own, row) = view.public_number(number)?;
    let why = || format!("{number} is the tenant's own, and does not leave: {}", row.target);
    listener.hears(|| Step { resource: view.key(Kind::Number, own), matched: true, why: why() });
    Some(Decision::Target(&row.target))
}

fn is_emergency(view: &TenantView, dialled: &str, listener: Tracer<'_>) -> bool {
    let numbers = emergency_numbers(view);
    let matched = numbers.iter().any(|number| number == dialled);
    listener.hears(|| {
        let why = match (matched, numbers) {
            (true, _) => format!("{dialled} is an emergency number"),
            (false, []) => "it has no emergency numbers".to_owned(),
            (false, numbers) => format!("{dialled} is no emergency number ({})", numbers.join(", ")),
        };
        Step { resource: view.tenant_key(), matched, why }
    });
    matched
}

fn emergency_numbers(view: &TenantView) -> &[String] {
    view.plan.tenant.emergency.as_ref().map_or(&[], |emergency| &emergency.numbers)
}

/// Decides how a public number leaves that a destination names: as if it were dialled, but the
/// tenant's administrator chose it, so that no toll class is asked. The tenant's own numbers do
/// not leave: [`settle`] follows them before.
pub fn external<'a>(
    view: &'a TenantView,
    platform: &'a PlatformPlan,
    number: &str,
    listener: Tracer<'_>,
) -> Decision<'a> {
    if let Some(found) = rules::first(platform, Phase::Before, number, listener) {
        return by_rule(view, found, true, number, listener);
    }
    // A destination is written in E.164; routes match what people dial. One whose edits give the
    // number leads to it.
    let route = view.routes().find(|(name, route)| {
        let matched = route.matches.iter().any(|m| digits::reaches(m, number));
        listener.hears(|| {
            let why = if matched { "its edits lead to" } else { "none of its edits leads to" };
            Step { resource: view.key(Kind::OutboundRoute, name), matched, why: format!("{why} {number}") }
        });
        matched
    });
    let Some((name, route)) = route else {
        return after(view, platform, true, number, listener).unwrap_or(Decision::Unknown);
    };
    let out = Outbound {
        rule: name,
        number: number.to_owned(),
        is_abroad: digits::is_abroad(number, view.dialling()),
        trunks: &route.trunks,
        caller_id: route.caller_id.as_ref(),
    };
    or_blocked(view, platform, Decision::Out(out), number, listener)
}

/// What a rule of the platform that is about a number does with the call.
fn by_rule<'a>(
    view: &TenantView,
    found: RuleMatch<'a>,
    inside: bool,
    dialled: &str,
    listener: Tracer<'_>,
) -> Decision<'a> {
    let (decision, matched, why) = match &found.rule.action {
        DialActionRow::Block => (Decision::Refused(Refusal::Blocked), true, "it blocks the call"),
        DialActionRow::Route { .. } if !inside => {
            (Decision::Refused(Refusal::Outside), false, "callers from outside do not leave by it")
        }
        DialActionRow::Route { trunks } => {
            let is_abroad = digits::leads_abroad(dialled, &found.edit, view.dialling());
            let number = found.edit.number;
            let out = Outbound { rule: found.name, number, is_abroad, trunks, caller_id: None };
            (Decision::Out(out), true, "the call leaves by its trunks")
        }
    };
    listener.hears(|| Step { resource: rules::key(found.name), matched, why: why.to_owned() });
    or_emergency(view, decision, listener)
}

/// An emergency call, if the edits of a rule made an emergency number of what was dialled: 9911 is one
/// where 9 is dialled to get out, and nothing stands before it.
fn or_emergency<'a>(view: &TenantView, decision: Decision<'a>, listener: Tracer<'_>) -> Decision<'a> {
    match decision {
        Decision::Out(out) if emergency_numbers(view).contains(&out.number) => {
            let why = || format!("{} is an emergency number", out.number);
            listener.hears(|| Step { resource: view.tenant_key(), matched: true, why: why() });
            Decision::Emergency { number: out.number }
        }
        decision => decision,
    }
}

/// What the platform's rules say of a number that none of the tenant's is about.
fn after<'a>(
    view: &TenantView,
    platform: &'a PlatformPlan,
    inside: bool,
    dialled: &str,
    listener: Tracer<'_>,
) -> Option<Decision<'a>> {
    let found = rules::first(platform, Phase::After, dialled, listener)?;
    let decision = by_rule(view, found, inside, dialled, listener);
    Some(or_blocked(view, platform, decision, dialled, listener))
}

/// Refuses a call that a rule of the platform blocks in another spelling, dialled or after the edits.
fn or_blocked<'a>(
    view: &TenantView,
    platform: &PlatformPlan,
    decision: Decision<'a>,
    dialled: &str,
    listener: Tracer<'_>,
) -> Decision<'a> {
    let Decision::Out(out) = &decision else { return decision };
    let blocked = |number: &str| rules::blocking(platform, number, view.dialling(), listener).is_some();
    if blocked(dialled) || (out.number != dialled && blocked(&out.number)) {
        return Decision::Refused(Refusal::Blocked);
    }
    decision
}

/// The longest code that matches.
fn feature<'a>(view: &'a TenantView, dialled: &str, listener: Tracer<'_>) -> Option<Decision<'a>> {
    let codes = view.plan.feature_codes.iter().filter_map(|(name, code)| {
        let digits = dialled.strip_prefix(&code.code)?;
        let fits = digits.is_empty() != code.action.takes_digits();
        (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some((name, code, digits))
    });
    let found = codes.max_by_key(|(_, code, _)| code.code.len());
    for (name, code) in &view.plan.feature_codes {
        listener.hears(|| {
            let matched = found.is_some_and(|(chosen, ..)| chosen == name);
            let takes = if code.action.takes_digits() { "digits behind" } else { "nothing behind" };
            let why = if matched { "is" } else { "is not" };
            let why = format!("{dialled} {why} its code {}, which takes {takes} it", code.code);
            Step { resource: view.key(Kind::FeatureCode, name), matched, why }
        });
    }
    let (name, code, digits) = found?;
    Some(Decision::Feature { name, code, digits: digits.to_owned() })
}

/// The first route that matches decides, also when the caller lacks its toll class: a number that
/// one route guards does not slip out by a later one.
fn outbound<'a>(
    view: &'a TenantView,
    caller: &Caller,
    dialled: &str,
    listener: Tracer<'_>,
) -> Option<Decision<'a>> {
    let (name, route, edit) = view.routes().find_map(|(name, route)| {
        let edit = rules::edited(&route.matches, dialled, listener, || view.key(Kind::OutboundRoute, name))?;
        Some((name, route, edit))
    })?;
    if let Some(decision) = own(view, &edit.number, listener) {
        return Some(decision);
    }
    let out = Outbound {
        rule: name,
        is_abroad: digits::leads_abroad(dialled, &edit, view.dialling()),
        number: edit.number,
        trunks: &route.trunks,
        caller_id: route.caller_id.as_ref(),
    };
    let out = match or_emergency(view, Decision::Out(out), listener) {
        Decision::Out(out) => out,
        emergency => return Some(emergency),
    };
    let Caller::Extension(extension) = caller else { return Some(Decision::Refused(Refusal::Outside)) };
    let classes =
        view.plan.extensions.get(extension).map(|row| row.toll_classes.as_slice()).unwrap_or_default();
    let permitted = route.toll_class.as_ref().is_none_or(|class| classes.contains(class));
    if let Some(class) = &route.toll_class {
        listener.hears(|| {
            let has = if classes.is_empty() { "none".to_owned() } else { classes.join(", ") };
            let why = format!("OutboundRoute {name} asks for toll class {class}; the caller has {has}");
            Step { resource: view.key(Kind::Extension, extension), matched: permitted, why }
        });
    }
    Some(if permitted { Decision::Out(out) } else { Decision::Refused(Refusal::TollClass) })
}

/// Follows schedules, forwardings of every call, and public numbers that are the tenant's own, to
/// where a call really goes at a time.
pub fn settle<'a>(
    view: &'a TenantView,
    target: &'a Target,
    now: Timestamp,
    listener: Tracer<'_>,
) -> &'a Target {
    let mut target = target;
    for _ in 0..MAX_HOPS {
        let next = match target.kind {
            DestinationKind::Schedule => view.plan.schedules.get(&target.name).map(|schedule| {
                let zone = view.time_zone(&schedule.time_zone);
                let next = schedule::target(schedule, &zone, now);
                listener.hears(|| {
                    let state = schedule::state(schedule, &zone, now);
                    let local = now.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Q").to_string();
                    let why = format!("{state} at {local}: {next}");
                    Step { resource: view.target_key(target), matched: true, why }
                });
                next
            }),
            DestinationKind::Extension => {
                let next =
                    view.plan.extensions.get(&target.name).and_then(|row| row.forwarding.always.as_ref());
                if let Some(next) = next {
                    let why = || format!("forwarding.always: {next}");
                    listener.hears(|| Step { resource: view.target_key(target), matched: true, why: why() });
                }
                next
            }
            DestinationKind::ExternalNumber => view.public_number(&target.name).map(|(name, own)| {
                let why = || format!("{} is the tenant's own: {}", target.name, own.target);
                listener.hears(|| Step { resource: view.key(Kind::Number, name), matched: true, why: why() });
                &own.target
            }),
            _ => None,
        };
        match next {
            Some(next) => target = next,
            None => break,
        }
    }
    target
}
