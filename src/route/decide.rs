//! What a dialled number means: the order of the rules, and the first that matches.
//!
//! Emergency numbers come before everything. Then the platform's rules before, the tenant's own
//! numbers and feature codes, its outbound routes by priority, and the platform's rules after.

use jiff::Timestamp;

use super::digits;
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
    Target(Target),
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
) -> Decision<'a> {
    if !digits::is_dialled(dialled) {
        return Decision::Unknown;
    }
    let inside = matches!(caller, Caller::Extension(_));
    let emergency = view.plan.tenant.emergency.as_ref();
    if inside && emergency.is_some_and(|emergency| emergency.numbers.iter().any(|n| n == dialled)) {
        return Decision::Emergency { number: dialled.to_owned() };
    }
    if let Some(decision) = dial_rules(platform, Phase::Before, inside, dialled) {
        return decision;
    }
    if let Some(target) = view.number(dialled) {
        return Decision::Target(target.clone());
    }
    if !inside {
        return match dial_rules(platform, Phase::After, inside, dialled) {
            Some(decision) => decision,
            None => Decision::Refused(Refusal::Outside),
        };
    }
    if let Some(decision) = feature(view, dialled) {
        return decision;
    }
    if let Some(decision) = outbound(view, caller, dialled) {
        return decision;
    }
    dial_rules(platform, Phase::After, inside, dialled).unwrap_or(Decision::Unknown)
}

/// Decides how a public number leaves that a destination names: as if it were dialled, but the
/// tenant's administrator chose it, so that no toll class is asked. The tenant's own numbers do
/// not leave: [`settle`] follows them before.
pub fn external<'a>(view: &'a TenantView, platform: &'a PlatformPlan, number: &str) -> Decision<'a> {
    if let Some(decision) = dial_rules(platform, Phase::Before, true, number) {
        return decision;
    }
    // A destination is written in E.164; routes match what people dial. One whose edits give the
    // number leads to it.
    let route = view.routes().find(|(_, route)| route.matches.iter().any(|m| digits::reaches(m, number)));
    match route {
        Some((name, route)) => Decision::Out(Outbound {
            rule: name,
            number: number.to_owned(),
            trunks: &route.trunks,
            caller_id: route.caller_id.as_ref(),
        }),
        None => dial_rules(platform, Phase::After, true, number).unwrap_or(Decision::Unknown),
    }
}

/// What the platform's rules of a phase say of a number.
pub fn dial_rules<'a>(
    platform: &'a PlatformPlan,
    phase: Phase,
    inside: bool,
    dialled: &str,
) -> Option<Decision<'a>> {
    let mut rules: Vec<_> = platform.dial_rules.iter().filter(|(_, rule)| rule.phase == phase).collect();
    rules.sort_by_key(|(_, rule)| rule.priority);
    rules.into_iter().find_map(|(name, rule)| {
        let number = rule.matches.iter().find_map(|matches| digits::apply(matches, dialled))?;
        Some(match &rule.action {
            DialActionRow::Block => Decision::Refused(Refusal::Blocked),
            DialActionRow::Route { .. } if !inside => Decision::Refused(Refusal::Outside),
            DialActionRow::Route { trunks } => {
                Decision::Out(Outbound { rule: name, number, trunks, caller_id: None })
            }
        })
    })
}

/// The longest code that matches.
fn feature<'a>(view: &'a TenantView, dialled: &str) -> Option<Decision<'a>> {
    let codes = view.plan.feature_codes.iter().filter_map(|(name, code)| {
        let digits = dialled.strip_prefix(&code.code)?;
        let fits = digits.is_empty() != code.action.takes_digits();
        (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some((name, code, digits))
    });
    let (name, code, digits) = codes.max_by_key(|(_, code, _)| code.code.len())?;
    Some(Decision::Feature { name, code, digits: digits.to_owned() })
}

/// The first route that matches decides, also when the caller lacks its toll class: a number that
/// one route guards does not slip out by a later one.
fn outbound<'a>(view: &'a TenantView, caller: &Caller, dialled: &str) -> Option<Decision<'a>> {
    let (name, route, number) = view.routes().find_map(|(name, route)| {
        let number = route.matches.iter().find_map(|matches| digits::apply(matches, dialled))?;
        Some((name, route, number))
    })?;
    if let Some((_, own)) = view.public_number(&number) {
        return Some(Decision::Target(own.target.clone()));
    }
    let Caller::Extension(extension) = caller else { return Some(Decision::Refused(Refusal::Outside)) };
    let classes =
        view.plan.extensions.get(extension).map(|row| row.toll_classes.as_slice()).unwrap_or_default();
    let permitted = route.toll_class.as_ref().is_none_or(|class| classes.contains(class));
    Some(if permitted {
        Decision::Out(Outbound {
            rule: name,
            number,
            trunks: &route.trunks,
            caller_id: route.caller_id.as_ref(),
        })
    } else {
        Decision::Refused(Refusal::TollClass)
    })
}

/// Follows schedules, forwardings of every call, and public numbers that are the tenant's own, to
/// where a call really goes at a time.
pub fn settle(view: &TenantView, target: &Target, now: Timestamp) -> Target {
    let mut target = target;
    for _ in 0..MAX_HOPS {
        let next = match target.kind {
            DestinationKind::Schedule => view.plan.schedules.get(&target.name).map(|schedule| {
                let zone = view.time_zone(&schedule.time_zone);
                schedule::target(schedule, &zone, now)
            }),
            DestinationKind::Extension => {
                view.plan.extensions.get(&target.name).and_then(|row| row.forwarding.always.as_ref())
            }
            DestinationKind::ExternalNumber => view.public_number(&target.name).map(|(_, own)| &own.target),
            _ => None,
        };
        match next {
            Some(next) => target = next,
            None => break,
        }
    }
    target.clone()
}
