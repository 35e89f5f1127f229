//! Calls that leave by trunks.

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::decide::Outbound;
use super::dial_string::{DialString, Endpoint, Leg, LegVariable, Order};
use super::explain::{End, Step, Tracer, trunk_key};
use super::legal::{DialNumber, Text, Word};
use super::recording;
use crate::plan::TrunkRow;
use crate::resources::routing_test::EndKind;

/// Seconds that a called party outside may ring. Without it, a forwarded call would keep the ring time of
/// the extension that was tried before.
pub(super) const RING_SECONDS: i32 = 120;

/// Answers a dialled call that leaves by trunks, recorded if the caller's outbound calls are.
pub fn dialled(call: &Call, outbound: &Outbound) -> Actions {
    let own = out(call, outbound)?;
    if let [DialplanApp::Hangup(_)] = own.as_slice() {
        return Some(own);
    }
    let mut actions = recording::of_caller(call)?;
    actions.extend(own);
    Some(actions)
}

/// Answers a call that leaves: tries each gateway of each trunk in order, as long as the carrier is the
/// cause of the failure.
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
    // Without a configured name the number is shown: an extension's display name is internal.
    if let Some(name) = name.or(number).or(call.extension.map(|row| row.number.as_str())) {
        actions.push(DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new(name))));
    }
    by_trunks(call, out.trunks, &out.number, number, actions)
}

/// Counts an international call against the daily limit, or ends the call when the limit is 0.
fn abroad(call: &Call, out: &Outbound) -> Option<DialplanApp> {
    let tenant = &call.view.plan.tenant;
    let most = tenant.max_calls_abroad_per_day.filter(|_| out.is_abroad)?;
    call.tracer.record(|| {
        let why = format!("{} is abroad, where it may call {most} times a day by each switch", out.number);
        Step { resource: call.view.tenant_key(), matched: most > 0, why }
    });
    // FreeSWITCH lets the first call of a day pass whatever the limit is (mod_hash.c, limit_incr_hash).
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
    let terms = Terms { number, shown, limited: true, max_progress_seconds: None };
    let gateway_bridges = gateway_bridges(call, trunks.iter().map(String::as_str), terms, call.tracer)?;
    // Runs when every gateway failed, or no gateway exists.
    let end = DialplanApp::Hangup(Cause::NormalTemporaryFailure);
    if gateway_bridges.is_empty() {
        return Some(vec![end]);
    }
    actions.extend(gateway_bridges);
    actions.push(end);
    Some(actions)
}

/// Parameters for every gateway that a call tries.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    /// The called number.
    pub number: &'a str,
    /// The caller id number that is shown.
    pub shown: Option<&'a str>,
    /// Whether the trunks' limits on concurrent calls apply.
    pub limited: bool,
    /// Upper bound for the trunks' progress timeout; `None` leaves the trunk's own.
    pub max_progress_seconds: Option<i32>,
}

/// Bridges to every gateway of the existing trunks, in order; empty without a gateway.
pub(super) fn gateway_bridges<'a>(
    call: &Call,
    trunks: impl Iterator<Item = &'a str>,
    terms: Terms<'_>,
    tracer: Tracer<'_>,
) -> Actions {
    let mut actions = Vec::new();
    for name in trunks {
        let Some(trunk) = call.platform.trunks.get(name) else { continue };
        tracer.record(|| tried(name, terms.number, trunk));
        if trunk.gateways.is_empty() {
            continue;
        }
        if actions.is_empty() {
            tracer.record_end(|| End { kind: EndKind::Trunk, name: name.to_owned() });
        }
        if let Some(shown) = terms.shown {
            let shown = trunk.carrier_format().write(shown);
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
    let sent = trunk.carrier_format().write(number);
    let why = format!("{sent} is tried by {}", gateways.join(", then "));
    Step { resource: trunk_key(name), matched: !gateways.is_empty(), why }
}

fn by_gateway(call: &Call, trunk: &TrunkRow, index: usize, terms: Terms<'_>) -> Option<DialplanApp> {
    let number = DialNumber::new(&trunk.carrier_format().write(terms.number))?;
    let progress_seconds = terms
        .max_progress_seconds
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
