//! Meaning of a dialled number: the first rule that matches, in a fixed order.
//!
//! The order: emergency numbers; the platform's `Before` rules; the tenant's internal numbers, public
//! numbers and feature codes; its outbound routes by priority; the platform's `After` rules. The emergency
//! numbers are those that the tenant lists, and those of its country that are no internal numbers.

use crate::resources::Kind;
use jiff::Timestamp;

use super::explain::{Step, Tracer};
use super::rules::{self, RuleMatch};
use super::token::Caller;
use super::view::TenantView;
use super::{digits, emergency, schedule, toll};
use crate::numbers::DialledNumber;
use crate::plan::{DialActionRow, FeatureCodeRow, MemberRow, PlatformPlan, RingGroupRow, Target};
use crate::resources::common::{CallerId, DestinationKind};
use crate::resources::dial_rule::Phase;

/// Most schedules and forwardings that a call follows automatically. Compile breaks loops; this bound holds
/// for any plan.
const MAX_HOPS: usize = 32;

/// The meaning of a dialled number.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<'a> {
    /// An emergency call.
    Emergency {
        /// The number, which is sent as dialled.
        number: String,
    },
    /// A destination of the tenant.
    Target(&'a Target),
    /// A feature code, with the digits after it.
    Feature {
        /// Name of the FeatureCode.
        name: &'a str,
        /// Row of the FeatureCode.
        code: &'a FeatureCodeRow,
        /// Digits dialled after the code.
        digits: String,
    },
    /// The call leaves by trunks.
    Out(Outbound<'a>),
    /// The number may not be dialled, or not by this caller.
    Refused(Refusal),
    /// The number does not exist.
    Unknown,
}

/// A call that leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound<'a> {
    /// Name of the OutboundRoute or DialRule that decided.
    pub rule: &'a str,
    /// The number after the digit edits.
    pub number: String,
    /// Whether the call is international.
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
    /// The tenant is suspended.
    Suspended,
}

/// Which rules apply to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallerSide {
    /// An extension of the tenant, or a destination that the tenant's administrator chose.
    Inside,
    /// A caller who came in by a trunk.
    Outside,
}

/// Decides the meaning of a number that a caller of the tenant dialled.
pub fn decide<'a>(
    view: &'a TenantView,
    platform: &'a PlatformPlan,
    caller: &Caller,
    dialled: &str,
    tracer: Tracer<'_>,
) -> Decision<'a> {
    let Some(number) = DialledNumber::new(dialled, view.country()) else {
        let why =
            || format!("{dialled} is no number; a number is digits, * and #, with at most one + in front");
        tracer.record(|| Step { resource: view.tenant_key(), matched: false, why: why() });
        return Decision::Unknown;
    };
    let side = match caller {
        Caller::Extension(_) => CallerSide::Inside,
        Caller::Outside => CallerSide::Outside,
    };
    // Some phones end a number with #.
    let dialled_digits = dialled.trim_end_matches('#');
    if side == CallerSide::Inside && emergency::is_dialled(view, dialled_digits, tracer) {
        return Decision::Emergency { number: dialled_digits.to_owned() };
    }
    if let Some(decision) = rule_before(view, platform, side, &number, tracer) {
        return decision;
    }
    if let Some(target) = view.number(dialled) {
        let why = || format!("its number is {dialled}");
        tracer.record(|| Step { resource: view.target_key(target), matched: true, why: why() });
        return Decision::Target(target);
    }
    let why = || format!("none of its internal numbers is {dialled}");
    tracer.record(|| Step { resource: view.tenant_key(), matched: false, why: why() });
    if side == CallerSide::Outside {
        return match rule_after(view, platform, side, &number, tracer) {
            Some(decision) => decision,
            None => {
                let why = "callers from outside dial internal numbers only".to_owned();
                tracer.record(|| Step { resource: view.tenant_key(), matched: false, why });
                Decision::Refused(Refusal::Outside)
            }
        };
    }
    if let Some(decision) = own_number(view, &number, tracer).or_else(|| feature(view, dialled, tracer)) {
        return decision;
    }
    if let Some(decision) = outbound(view, caller, &number, tracer) {
        return or_blocked(view, platform, decision, (&number, None), tracer);
    }
    if let Some(decision) = rule_after(view, platform, side, &number, tracer) {
        return decision;
    }
    respelled(view, platform, caller, &number, tracer).unwrap_or(Decision::Unknown)
}

/// A number that no rule matches as dialled, as people of the tenant's country dial it: a call list has +4930… where
/// routes are about 030….
fn respelled<'a>(
    view: &'a TenantView,
    platform: &'a PlatformPlan,
    caller: &Caller,
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
) -> Option<Decision<'a>> {
    let number = dialled.with_text(&dialled.usual_spelling()?)?;
    if number.as_str() == dialled.as_str() {
        return None;
    }
    tracer.record(|| {
        let why = format!("{} is dialled as {} in its country", dialled.as_str(), number.as_str());
        Step { resource: view.tenant_key(), matched: true, why }
    });
    let decision = outbound(view, caller, &number, tracer)
        .or_else(|| rule_after(view, platform, CallerSide::Inside, &number, tracer))?;
    Some(or_blocked(view, platform, decision, (dialled, None), tracer))
}

/// A call to the tenant's own public number, which does not leave by a trunk.
fn own_number<'a>(view: &'a TenantView, number: &DialledNumber, tracer: Tracer<'_>) -> Option<Decision<'a>> {
    let (number, own, row) = view.own_number(number)?;
    let target = view.number_target(row, &number);
    let why = || format!("{number} is the tenant's own, and does not leave: {target}");
    tracer.record(|| Step { resource: view.key(Kind::Number, own), matched: true, why: why() });
    Some(Decision::Target(target))
}

/// Decides how a call to a public number of a destination leaves: like a dialled number, but without a toll
/// class, because the tenant's administrator chose it. [`resolve_target`] has already followed the tenant's
/// own numbers.
pub fn external<'a>(
    view: &'a TenantView,
    platform: &'a PlatformPlan,
    number: &str,
    tracer: Tracer<'_>,
) -> Decision<'a> {
    let Some(dialled) = DialledNumber::new(number, view.country()) else { return Decision::Unknown };
    if emergency::within_country(view, number).is_some() {
        let why = || {
            format!("{number} leads to an emergency number: nobody is connected to one without dialling it")
        };
        tracer.record(|| Step { resource: view.tenant_key(), matched: false, why: why() });
        return Decision::Refused(Refusal::Blocked);
    }
    if let Some(decision) = rule_before(view, platform, CallerSide::Inside, &dialled, tracer) {
        return decision;
    }
    // Destinations are E.164 numbers, while routes match dialled digits: a route fits if its edits can
    // produce the number.
    let route = view.routes().find(|(name, route)| {
        let matched = route.matches.iter().any(|m| digits::reaches(m, number));
        tracer.record(|| {
            let why = if matched { "its edits lead to" } else { "none of its edits leads to" };
            Step { resource: view.key(Kind::OutboundRoute, name), matched, why: format!("{why} {number}") }
        });
        matched
    });
    let Some((name, route)) = route else {
        return rule_after(view, platform, CallerSide::Inside, &dialled, tracer).unwrap_or(Decision::Unknown);
    };
    let out = Outbound {
        rule: name,
        number: number.to_owned(),
        is_abroad: dialled.is_abroad(),
        trunks: &route.trunks,
        caller_id: route.caller_id.as_ref(),
    };
    or_blocked(view, platform, Decision::Out(out), (&dialled, None), tracer)
}

/// Applies a matching rule of the platform to the call.
fn by_rule<'a>(
    view: &TenantView,
    found: RuleMatch<'a>,
    side: CallerSide,
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
) -> Decision<'a> {
    let (decision, matched, why) = match &found.rule.action {
        DialActionRow::Block => (Decision::Refused(Refusal::Blocked), true, "it blocks the call"),
        DialActionRow::Route { .. } if side == CallerSide::Outside => {
            (Decision::Refused(Refusal::Outside), false, "callers from outside do not leave by it")
        }
        DialActionRow::Route { trunks } => {
            let is_abroad = digits::leads_abroad(dialled, &found.edit);
            let number = emergency::unedited(view, dialled.as_str(), found.edit.number);
            let out = Outbound { rule: found.name, number, is_abroad, trunks, caller_id: None };
            (Decision::Out(out), true, "the call leaves by its trunks")
        }
    };
    tracer.record(|| Step { resource: rules::key(found.name), matched, why: why.to_owned() });
    or_emergency(view, decision, tracer)
}

/// Turns a call into an emergency call if the digit edits produced an emergency number: 9911, where 9 is
/// the prefix for outside calls.
fn or_emergency<'a>(view: &TenantView, decision: Decision<'a>, tracer: Tracer<'_>) -> Decision<'a> {
    match decision {
        Decision::Out(out) => match emergency::within_country(view, &out.number) {
            Some(number) => {
                let why = || format!("{} is an emergency number", out.number);
                tracer.record(|| Step { resource: view.tenant_key(), matched: true, why: why() });
                Decision::Emergency { number }
            }
            None => Decision::Out(out),
        },
        decision => decision,
    }
}

/// Applies the platform's `Before` rules. One that routes is no way past another that blocks and comes before it.
fn rule_before<'a>(
    view: &TenantView,
    platform: &'a PlatformPlan,
    side: CallerSide,
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
) -> Option<Decision<'a>> {
    let found = rules::first_match(platform, Phase::Before, dialled, tracer)?;
    let name = found.name;
    let decision = by_rule(view, found, side, dialled, tracer);
    Some(or_blocked(view, platform, decision, (dialled, Some(name)), tracer))
}

/// Applies the platform's `After` rules, to a number that no rule of the tenant matches.
fn rule_after<'a>(
    view: &TenantView,
    platform: &'a PlatformPlan,
    side: CallerSide,
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
) -> Option<Decision<'a>> {
    let found = rules::first_match(platform, Phase::After, dialled, tracer)?;
    let decision = by_rule(view, found, side, dialled, tracer);
    Some(or_blocked(view, platform, decision, (dialled, None), tracer))
}

/// Refuses a call if a rule of the platform, before the one that decided, blocks another spelling of the dialled or
/// the edited number.
fn or_blocked<'a>(
    view: &TenantView,
    platform: &PlatformPlan,
    decision: Decision<'a>,
    (dialled, decided_by): (&DialledNumber, Option<&str>),
    tracer: Tracer<'_>,
) -> Decision<'a> {
    let Decision::Out(out) = &decision else { return decision };
    let sent = DialledNumber::new(&out.number, view.country());
    let sent = sent.filter(|sent| sent.as_str() != dialled.as_str());
    let mut numbers = [Some(dialled), sent.as_ref()].into_iter().flatten();
    if numbers.any(|number| rules::blocking(platform, number, decided_by, tracer).is_some()) {
        return Decision::Refused(Refusal::Blocked);
    }
    decision
}

/// Finds the longest feature code that matches.
fn feature<'a>(view: &'a TenantView, dialled: &str, tracer: Tracer<'_>) -> Option<Decision<'a>> {
    let codes = view.plan.feature_codes.iter().filter_map(|(name, code)| {
        let digits = dialled.strip_prefix(&code.code)?;
        let fits = digits.is_empty() != code.action.takes_digits();
        (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some((name, code, digits))
    });
    let found = codes.max_by_key(|(_, code, _)| code.code.len());
    for (name, code) in &view.plan.feature_codes {
        tracer.record(|| {
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

/// Finds the first route that matches. It decides even if the caller lacks its toll class, so that a
/// guarded number does not leave by a later route.
fn outbound<'a>(
    view: &'a TenantView,
    caller: &Caller,
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
) -> Option<Decision<'a>> {
    let (name, route, edit) = view.routes().find_map(|(name, route)| {
        let edit = rules::edited(&route.matches, dialled, tracer, || view.key(Kind::OutboundRoute, name))?;
        Some((name, route, edit))
    })?;
    let sent = dialled.with_text(&edit.number)?;
    let is_abroad = digits::leads_abroad(dialled, &edit);
    let guard = toll::guard(view, (name, route), dialled, edit.stripped);
    let out = Outbound {
        rule: name,
        is_abroad,
        number: emergency::unedited(view, dialled.as_str(), edit.number),
        trunks: &route.trunks,
        caller_id: route.caller_id.as_ref(),
    };
    let out = match or_emergency(view, Decision::Out(out), tracer) {
        Decision::Out(out) => out,
        emergency => return Some(emergency),
    };
    if let Some(decision) = own_number(view, &sent, tracer) {
        return Some(decision);
    }
    let Caller::Extension(extension) = caller else { return Some(Decision::Refused(Refusal::Outside)) };
    // What reads as a number of the country may be sent as one abroad: then both classes are asked for.
    let permitted = toll::permits(view, extension, guard, is_abroad.then_some(&sent), tracer)
        && (!is_abroad || guard.0 == name || toll::permits(view, extension, (name, route), None, tracer));
    Some(if permitted { Decision::Out(out) } else { Decision::Refused(Refusal::TollClass) })
}

/// The members of a ring group that ring for a caller: its own phones do not.
pub(super) fn ringing<'a>(
    group: &'a RingGroupRow,
    caller: &'a Caller,
) -> impl Iterator<Item = &'a MemberRow> + use<'a> {
    let calls =
        move |member: &MemberRow| matches!(caller, Caller::Extension(name) if *name == member.extension);
    group.members.iter().filter(move |member| !calls(member))
}

/// Follows schedules, unconditional forwardings, the tenant's own public numbers, and queues and ring groups
/// in which there is nobody to ring, to the target that a call reaches at a time.
pub fn resolve_target<'a>(
    view: &'a TenantView,
    caller: &Caller,
    target: &'a Target,
    now: Timestamp,
    tracer: Tracer<'_>,
) -> &'a Target {
    let mut target = target;
    for _ in 0..MAX_HOPS {
        let next = match target.kind {
            DestinationKind::Schedule => view.plan.schedules.get(&target.name).map(|schedule| {
                let zone = view.time_zone(&schedule.time_zone);
                let reading = schedule::read(schedule, &zone, now);
                let next = reading.target;
                tracer.record(|| {
                    let state = reading.describe(&zone);
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
                    tracer.record(|| Step { resource: view.target_key(target), matched: true, why: why() });
                }
                next
            }
            DestinationKind::ExternalNumber => view.own(&target.name).map(|(number, name, own)| {
                let next = view.number_target(own, &number);
                let why = || format!("{} is the tenant's own: {next}", target.name);
                tracer.record(|| Step { resource: view.key(Kind::Number, name), matched: true, why: why() });
                next
            }),
            DestinationKind::Queue => {
                let queue = view.plan.queues.get(&target.name).filter(|queue| queue.overflows_at_once());
                let next = queue.and_then(|queue| queue.overflow.as_ref());
                if let Some(next) = next {
                    let why = || format!("it has no agent, and callers do not wait for one: {next}");
                    tracer.record(|| Step { resource: view.target_key(target), matched: true, why: why() });
                }
                next
            }
            DestinationKind::RingGroup => {
                let group = view.plan.ring_groups.get(&target.name);
                let next = group
                    .filter(|group| ringing(group, caller).next().is_none())
                    .and_then(|group| group.no_answer.as_ref());
                if let Some(next) = next {
                    let why = || format!("the caller is its only member, and does not ring: {next}");
                    tracer.record(|| Step { resource: view.target_key(target), matched: true, why: why() });
                }
                next
            }
            _ => None,
        };
        match next {
            Some(next) => target = next,
            None => break,
        }
    }
    target
}
