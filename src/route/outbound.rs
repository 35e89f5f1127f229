//! Calls that leave by trunks.

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::decide::Outbound;
use super::dial_string::{DialString, Endpoint, Leg, LegVariable, LegVariables, Order};
use super::explain::{End, Step, Tracer, trunk_key};
use super::legal::{DialNumber, Text, Word};
use super::recording;
use super::token::Caller;
use crate::plan::TrunkRow;
use crate::resources::common::{CallerId, Privacy};
use crate::resources::routing_test::EndKind;
use crate::resources::trunk::{FromUser, Identity};

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
    let direct = |id: &CallerId| match (&call.caller, id.direct) {
        (Caller::Extension(name), Some(true)) => call.view.direct_number(name),
        _ => None,
    };
    let number = ids.iter().flatten().find_map(|id| direct(id).or(id.number.as_deref()));
    let privacy = ids.iter().flatten().find_map(|id| id.privacy);
    let mut actions = Vec::new();
    match abroad(call, out) {
        Some(DialplanApp::Hangup(cause)) => return Some(vec![DialplanApp::Hangup(cause)]),
        limit => actions.extend(limit),
    }
    if let Some(seconds) = tenant.max_call_duration_seconds {
        actions.push(DialplanApp::SchedHangup { seconds });
    }
    // Without a configured name the number is shown, as an extension's display name is internal; so it is where
    // nothing of the name can be sent.
    let own_number = call.extension.map(|row| row.number.as_str());
    let mut names = [name, number, own_number].into_iter().flatten().map(Text::new);
    if let Some(name) = names.find(|name| !name.is_empty()) {
        actions.push(DialplanApp::Set(Variable::EffectiveCallerIdName(name)));
    }
    let hidden = privacy == Some(Privacy::Id);
    let terms =
        Terms { number: &out.number, shown: number, hidden, limited: true, max_progress_seconds: None };
    by_trunks(call, out.trunks, terms, actions)
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

fn by_trunks(call: &Call, trunks: &[String], terms: Terms<'_>, mut actions: Vec<DialplanApp>) -> Actions {
    actions.push(DialplanApp::Set(Variable::CallTimeout(RING_SECONDS)));
    actions.push(DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::CarrierFailure)));
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
    /// Whether only the carrier sees it.
    pub hidden: bool,
    /// Whether the trunks' limits on calls apply.
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
    let gateway = Word::new(call.key.gateway_name(trunk.id, index))?;
    let called = called_first(call);
    let mut variables = vec![
        (LegVariable::OutboundRedirectFatal, Word::own("true")),
        (LegVariable::LegProgressTimeout, Word::from(progress_seconds)),
        (LegVariable::OriginationCalleeIdName, called.clone()),
        (LegVariable::OriginationCalleeIdNumber, called),
    ];
    variables.extend(identity(trunk, terms.hidden));
    if trunk.registration.is_some() || trunk.credentials.is_some() {
        variables.push((LegVariable::SipUseGateway, gateway.clone()));
    }
    if !trunk.codecs.is_empty() {
        variables.push((LegVariable::AbsoluteCodecString, Word::list(&trunk.codecs)?));
    }
    let leg = Leg { variables: Vec::new(), endpoint: Endpoint::Gateway { gateway, number } };
    let dial = DialString { variables, legs: vec![leg], order: Order::OneByOne };
    Some(match (trunk.max_concurrent_calls, trunk.max_calls_per_second) {
        (None, None) => DialplanApp::Bridge(dial),
        (most, per_second) if terms.limited => {
            DialplanApp::LimitedBridge { realm: Word::new(trunk.id.to_string())?, most, per_second, dial }
        }
        _ => DialplanApp::Bridge(dial),
    })
}

/// The number that the caller called, which is all that the caller may learn of where the call went: the
/// number of a forwarding is private. Without it, FreeSWITCH tells the number that is sent to the carrier.
fn called_first(call: &Call) -> Word {
    DialNumber::new(&call.called).map_or_else(|| Word::own("unknown"), Word::from)
}

/// How a carrier learns the caller's number, and whether others may.
fn identity(trunk: &TrunkRow, hidden: bool) -> LegVariables {
    let mut variables = LegVariables::new();
    let mut set = |variable, value| variables.push((variable, Word::own(value)));
    let (header, screen) = match trunk.identity {
        Identity::PAssertedIdentity => ("pid", true),
        Identity::PPreferredIdentity => ("pid", false),
        Identity::RemotePartyId => ("rpid", true),
        Identity::FromOnly => ("none", true),
    };
    set(LegVariable::SipCidType, header);
    match (screen, hidden) {
        (true, false) => {}
        (true, true) => set(LegVariable::OriginationPrivacy, "screen+hide_name+hide_number"),
        (false, false) => set(LegVariable::OriginationPrivacy, "none"),
        (false, true) => set(LegVariable::OriginationPrivacy, "hide_name+hide_number"),
    }
    match (header, hidden) {
        ("pid", false) => set(LegVariable::SipCidSuppressPrivacyNone, "true"),
        ("none", true) => set(LegVariable::SipHPrivacy, "id"),
        _ => {}
    }
    if trunk.user_phone {
        const USER_PHONE: &str = "user=phone";
        set(LegVariable::SipInviteParams, USER_PHONE);
        set(LegVariable::SipInviteToParams, USER_PHONE);
        set(LegVariable::SipInvitePidParams, USER_PHONE);
        if !hidden && trunk.from == FromUser::Caller {
            set(LegVariable::SipInviteFromParams, USER_PHONE);
        }
    }
    if hidden {
        // RFC 3323 4.1.1.3.
        set(LegVariable::SipFromDisplay, "Anonymous");
        set(LegVariable::SipFromUri, "anonymous@anonymous.invalid");
    }
    variables
}
