//! Dialplan answers for each kind of target.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::decide::{Decision, external, resolve_target, ringing};
use super::dial_string::{DialString, Endpoint, Leg, LegVariable, Order};
use super::legal::Word;
use super::token::{Step, sign_step};
use super::{explain, names, outbound, recording};
use crate::plan::{ExtensionRow, MemberRow, RingGroupRow, Target};
use crate::resources::common::DestinationKind;
use crate::resources::ring_group::RingStrategy;

/// Milliseconds of silence after an answer, before a prompt plays.
const LEAD_IN_MILLISECONDS: i32 = 500;

/// Connects a call to a target. The call is recorded if the caller or the called extension asks for it, or
/// if `recorded`: the Number it came in by does.
pub fn to(call: &Call, target: &Target, recorded: bool) -> Actions {
    let own = reach(call, target)?;
    if let [DialplanApp::Hangup(_)] = own.as_slice() {
        return Some(own);
    }
    let mut actions = recording::of_target(call, target, recorded)?;
    actions.extend(own);
    Some(actions)
}

fn reach(call: &Call, target: &Target) -> Actions {
    let plan = &call.view.plan;
    let tenant = plan.tenant.id;
    call.tracer.record_target(target);
    match target.kind {
        DestinationKind::Extension => extension(call, target, plan.extensions.get(&target.name)?),
        DestinationKind::Voicemail => {
            let box_owner = plan.extensions.get(&target.name)?;
            Some(vec![
                DialplanApp::Answer,
                DialplanApp::Sleep { milliseconds: LEAD_IN_MILLISECONDS },
                DialplanApp::VoicemailLeave {
                    domain: Word::new(plan.tenant.main_domain())?,
                    id: Word::new(&box_owner.number)?,
                },
            ])
        }
        DestinationKind::RingGroup => ring_group(call, target, plan.ring_groups.get(&target.name)?),
        DestinationKind::Queue => {
            if plan.queues.get(&target.name)?.overflows_at_once() {
                // `resolve_target` follows the overflow; there is none.
                return Some(vec![DialplanApp::Hangup(Cause::NoAnswer)]);
            }
            let queue = Word::new(names::queue(tenant, &target.name))?;
            // The queue's result is known only after it: the dialplan continues in [`after`].
            let exports = DialplanApp::Set(Variable::QueueExportVars);
            Some(vec![
                exports,
                DialplanApp::Answer,
                DialplanApp::Callcenter { queue },
                transfer_back(call, Step::After, target)?,
            ])
        }
        DestinationKind::IvrMenu => {
            let menu = plan.ivr_menus.get(&target.name)?;
            let mut actions = vec![
                DialplanApp::Set(Variable::PoundEndsEntry(!menu.has_pound_option())),
                DialplanApp::Answer,
                DialplanApp::Sleep { milliseconds: LEAD_IN_MILLISECONDS },
                DialplanApp::Ivr { menu: Word::new(names::menu(tenant, &target.name))? },
            ];
            actions.push(match &menu.otherwise {
                Some(otherwise) => transfer_back(call, Step::To, otherwise)?,
                None => DialplanApp::Hangup(Cause::NormalClearing),
            });
            Some(actions)
        }
        DestinationKind::Conference => {
            plan.conferences.get(&target.name)?;
            Some(vec![
                DialplanApp::Answer,
                DialplanApp::Conference { room: Word::new(names::room(tenant, &target.name))? },
            ])
        }
        // `resolve_target` follows schedules and own numbers; one that remains is part of a loop.
        DestinationKind::Schedule => None,
        DestinationKind::ExternalNumber if call.view.own(&target.name).is_some() => None,
        DestinationKind::ExternalNumber => {
            match external(call.view, call.platform, &target.name, call.tracer) {
                Decision::Out(out) => outbound::out(call, &out),
                Decision::Refused(_) => Some(vec![DialplanApp::Hangup(Cause::CallRejected)]),
                _ => Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]),
            }
        }
    }
}

/// Continues a call after its target did not take it, or after a queue.
pub fn after(call: &Call, target: &Target) -> Actions {
    let plan = &call.view.plan;
    match target.kind {
        DestinationKind::Extension => {
            let forwarding = &plan.extensions.get(&target.name)?.forwarding;
            let (next, cause) = match &*call.disposition {
                "USER_BUSY" | "CALL_REJECTED" => (&forwarding.busy, Cause::UserBusy),
                "NO_ANSWER" | "NO_USER_RESPONSE" | "ALLOTTED_TIMEOUT" | "RECOVERY_ON_TIMER_EXPIRE" => {
                    (&forwarding.no_answer, Cause::NoAnswer)
                }
                // No phone is registered: without `unavailable`, the forwarding for no answer applies.
                _ if forwarding.unavailable.is_some() => (&forwarding.unavailable, Cause::UserNotRegistered),
                _ => (&forwarding.no_answer, Cause::UserNotRegistered),
            };
            follow(call, target, &call.disposition, next.as_ref(), cause)
        }
        DestinationKind::Queue => match &*call.queue_cause {
            "answered" => Some(vec![DialplanApp::Hangup(Cause::NormalClearing)]),
            left => {
                let overflow = plan.queues.get(&target.name)?.overflow.as_ref();
                follow(call, target, left, overflow, Cause::NormalClearing)
            }
        },
        _ => Some(vec![DialplanApp::Hangup(Cause::NormalClearing)]),
    }
}

fn follow(call: &Call, from: &Target, why: &str, next: Option<&Target>, cause: Cause) -> Actions {
    call.tracer.record(|| {
        let then = next.map_or_else(|| "nothing follows".to_owned(), Target::to_string);
        let why = format!("did not take the call ({why}): {then}");
        explain::Step { resource: call.view.target_key(from), matched: next.is_some(), why }
    });
    match next {
        Some(next) => to(call, resolve_target(call.view, &call.caller, next, call.now, call.tracer), false),
        None => Some(vec![DialplanApp::Hangup(cause)]),
    }
}

/// A transfer back into the tenant's dialplan, to a signed destination.
pub fn transfer_back(call: &Call, step: Step, target: &Target) -> Option<DialplanApp> {
    Some(DialplanApp::Transfer {
        destination: sign_step(call.key, call.view.plan.tenant.id, step, target)?,
        context: Word::new(call.view.context())?,
    })
}

fn extension(call: &Call, target: &Target, row: &ExtensionRow) -> Actions {
    let mut actions = vec![DialplanApp::Set(Variable::CallTimeout(row.ring_seconds))];
    let dial = DialString {
        variables: Vec::new(),
        legs: vec![Leg { variables: Vec::new(), endpoint: user(call, row)? }],
        order: Order::Together,
    };
    if row.forwarding.is_empty() {
        // The call ends with the cause of the failure.
        actions.push(DialplanApp::Bridge(dial));
    } else {
        actions.push(DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Always)));
        actions.push(DialplanApp::Bridge(dial));
        actions.push(transfer_back(call, Step::After, target)?);
    }
    Some(actions)
}

fn ring_group(call: &Call, target: &Target, group: &RingGroupRow) -> Actions {
    let mut members: Vec<&MemberRow> = ringing(group, &call.caller).collect();
    if members.is_empty() {
        // `resolve_target` follows the destination for no answer; there is none.
        return Some(vec![DialplanApp::Hangup(Cause::NoAnswer)]);
    }
    if members.len() < group.members.len() {
        call.tracer.record(|| {
            let why = "the caller is a member, and does not ring".to_owned();
            explain::Step { resource: call.view.target_key(target), matched: false, why }
        });
    }
    let order = match group.strategy {
        RingStrategy::Simultaneous => Order::Together,
        RingStrategy::Sequential => Order::OneByOne,
        RingStrategy::Random => {
            shuffle(&mut members, chance(&call.leg));
            Order::OneByOne
        }
    };
    let mut legs = Vec::new();
    let mut longest = 0;
    for member in members {
        let Some(row) = call.view.plan.extensions.get(&member.extension) else { continue };
        let mut variables = vec![(LegVariable::LegTimeout, Word::from(member.ring_seconds))];
        if order == Order::Together {
            longest = longest.max(member.delay_seconds.saturating_add(member.ring_seconds));
            if member.delay_seconds > 0 {
                variables.push((LegVariable::LegDelayStart, Word::from(member.delay_seconds)));
            }
        } else {
            longest = longest.max(member.ring_seconds);
        }
        legs.push(Leg { variables, endpoint: user(call, row)? });
    }
    let dial = DialString { variables: Vec::new(), legs, order };
    let mut actions = vec![
        DialplanApp::Set(Variable::CallTimeout(longest)),
        DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Always)),
        DialplanApp::Bridge(dial),
    ];
    actions.push(match &group.no_answer {
        Some(next) => transfer_back(call, Step::To, next)?,
        None => DialplanApp::Hangup(Cause::NoAnswer),
    });
    Some(actions)
}

fn user(call: &Call, row: &ExtensionRow) -> Option<Endpoint> {
    Some(Endpoint::User {
        user: Word::new(&row.number)?,
        domain: Word::new(call.view.plan.tenant.main_domain())?,
    })
}

/// A random seed for each leg: FreeSWITCH's leg UUIDs are random.
fn chance(leg: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(leg)
}

/// Shuffles by a seed (Fisher–Yates over an xorshift sequence): fair enough for ringing, and reproducible
/// for tests.
fn shuffle<T>(items: &mut [T], random: u64) {
    let mut state = random | 1;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bound = u64::try_from(last + 1).unwrap_or(1);
        items.swap(last, usize::try_from(state % bound).unwrap_or(0));
    }
}
