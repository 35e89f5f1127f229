//! Calls that leave by trunks.

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::decide::Outbound;
use super::dial_string::{DialString, Endpoint, Leg, LegVariable, Order};
use super::digits::to_carrier;
use super::explain::{End, Step, Tracer, trunk_key};
use super::legal::{DialNumber, Text, Word};
use super::recording;
use crate::plan::TrunkRow;
use crate::resources::routing_test::EndKind;

/// Seconds a called party outside may ring. Without it the time that a phone of ours was rung
/// before, on a call that is forwarded, would hold.
pub(super) const RING_SECONDS: i32 = 120;

/// Sends a call out that its caller dialled, and records it where the caller is recorded.
pub fn dialled(call: &Call, outbound: &Outbound) -> Actions {
    let own = out(call, outbound)?;
    if let [DialplanApp::Hangup(_)] = own.as_slice() {
        return Some(own);
    }
    let mut actions = recording::of_caller(call)?;
    actions.extend(own);
    Some(actions)
}

/// Sends a call out: trunk after trunk, gateway after gateway, as long as the carrier is the
/// reason that it fails.
pub fn out(call: &Call, out: &Outbound) -> Actions {
    let tenant = &call.view.plan.tenant;
    let own = call.extension.and_then(|row| row.caller_id.as_ref());
    let ids = [out.caller_id, own, tenant.caller_id.as_ref()];
    let name = ids.iter().flatten().find_map(|id| id.name.as_deref());
    let number = ids.iter().flatten().find_map(|id| id.number.as_deref());
    let mut actions = Vec::new();
    match abroad(call, out) {
        Some(DialplanApp::Hangup(cause)) => return Some(vec![DialplanApp::Hangup(cause)]),
        limit => actions.extend(limit),
    }
    if let Some(seconds) = tenant.max_call_duration_seconds {
        actions.push(DialplanApp::SchedHangup { seconds });
    }
    // Without a name of its own the number stands in: the extension's name is not for outside.
    if let Some(name) = name.or(number).or(call.extension.map(|row| row.number.as_str())) {
        actions.push(DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new(name))));
    }
    by_trunks(call, out.trunks, &out.number, number, actions)
}

/// What counts a call abroad, or ends it where the tenant may make none.
fn abroad(call: &Call, out: &Outbound) -> Option<DialplanApp> {
    let tenant = &call.view.plan.tenant;
    let most = tenant.max_calls_abroad_per_day.filter(|_| out.is_abroad)?;
    call.listener.hears(|| {
        let why = format!("{} is abroad, where it may call {most} times a day by each switch", out.number);
        Step { resource: call.view.tenant_key(), matched: most > 0, why }
    });
    // The first of a day is let through whatever the limit is (mod_hash.c, limit_incr_hash).
    let realm = Word::new(tenant.id.to_string()).filter(|_| most > 0);
    Some(realm.map_or(DialplanApp::Hangup(Cause::OutgoingCallBarred), |realm| DialplanApp::LimitPerDay {
        realm,
        most,
    }))
}

fn by_trunks(
    call: &Call,
    trunks: &[String],
    number: &str,
    shown: Option<&str>,
    mut actions: Vec<DialplanApp>,
) -> Actions {
    actions.push(DialplanApp::Set(Variable::CallTimeout(RING_SECONDS)));
    actions.push(DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::CarrierFailure)));
    let terms = Terms { number, shown, limited: true, most_progress_seconds: None };
    let ways = ways(call, trunks.iter().map(String::as_str), terms, call.listener)?;
    // Reached when every gateway failed, or when there is none.
    let end = DialplanApp::Hangup(Cause::NormalTemporaryFailure);
    if ways.is_empty() {
        return Some(vec![end]);
    }
    actions.extend(ways);
    actions.push(end);
    Some(actions)
}

/// What holds for each gateway that a call is tried by.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    /// The number that is called.
    pub number: &'a str,
    /// The number that is shown.
    pub shown: Option<&'a str>,
    /// Whether the trunks' limits count.
    pub limited: bool,
    /// The longest that a gateway may take to show progress; as long as its trunk says when there is
    /// no such limit.
    pub most_progress_seconds: Option<i32>,
}

/// Every gateway of trunks that are there, in order; nothing where there is none.
pub(super) fn ways<'a>(
    call: &Call,
    trunks: impl Iterator<Item = &'a str>,
    terms: Terms<'_>,
    listener: Tracer<'_>,
) -> Actions {
    let mut actions = Vec::new();
    for name in trunks {
        let Some(trunk) = call.platform.trunks.get(name) else { continue };
        listener.hears(|| tried(name, terms.number, trunk));
        if trunk.gateways.is_empty() {
            continue;
        }
        if actions.is_empty() {
            listener.ends(|| End { kind: EndKind::Trunk, name: name.to_owned() });
        }
        if let Some(shown) = terms.shown {
            let shown = to_carrier(shown, trunk.number_format, trunk.national.as_ref());
            actions.push(DialplanApp::Set(Variable::EffectiveCallerIdNumber(DialNumber::new(&shown)?)));
        }
        for index in 0..trunk.gateways.len() {
            actions.push(by_gateway(call, trunk, index, terms)?);
        }
    }
    Some(actions)
}

fn tried(name: &str, number: &str, trunk: &TrunkRow) -> Step {
    let gateways: Vec<&str> = trunk.gateways.iter().map(|gateway| gateway.host.as_str()).collect();
    let sent = to_carrier(number, trunk.number_format, trunk.national.as_ref());
    let why = format!("{sent} is tried by {}", gateways.join(", then "));
    Step { resource: trunk_key(name), matched: !gateways.is_empty(), why }
}

fn by_gateway(call: &Call, trunk: &TrunkRow, index: usize, terms: Terms<'_>) -> Option<DialplanApp> {
    let number = DialNumber::new(&to_carrier(terms.number, trunk.number_format, trunk.national.as_ref()))?;
    let progress_seconds = terms
        .most_progress_seconds
        .map_or(trunk.progress_timeout_seconds, |most| most.min(trunk.progress_timeout_seconds));
    let mut variables = vec![
        (LegVariable::OutboundRedirectFatal, Word::new("true")?),
        (LegVariable::LegProgressTimeout, Word::from(progress_seconds)),
    ];
    if !trunk.codecs.is_empty() {
        variables.push((LegVariable::AbsoluteCodecString, Word::list(&trunk.codecs)?));
    }
    let gateway = Word::new(call.key.gateway_name(trunk.id, index))?;
    let leg = Leg { variables: Vec::new(), endpoint: Endpoint::Gateway { gateway, number } };
    let dial = DialString { variables, legs: vec![leg], order: Order::OneByOne };
    Some(match trunk.max_concurrent_calls {
        Some(most) if terms.limited => {
            DialplanApp::LimitedBridge { realm: Word::new(trunk.id.to_string())?, most, dial }
        }
        _ => DialplanApp::Bridge(dial),
    })
}
