//! The dialplan of a call: determines the caller from what FreeSWITCH vouches for, and renders the answer
//! of `route`.
//!
//! From, To, Contact, display names and X- headers are the phone's text and decide nothing. A caller is an
//! extension because FreeSWITCH authenticated it (contract §3.1), a carrier because its packets come from
//! its addresses, or the caller that our own signed variable names.

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use super::carrier::OutsideCaller;
use super::field::Field;
use super::form::Form;
use super::{Answer, AnswerError, Answers, carrier, render};
use crate::plan::{PlatformPlan, TrunkRow};
use crate::replica::tenants::LoadState;
use crate::route;
use crate::route::app::{Cause, DialplanApp};
use crate::route::names::INBOUND_CONTEXT;
use crate::route::token::verify_call;
use crate::route::{Call, Caller, SipUser, TenantView, Tracer};
use crate::secrets::signing_key::SigningKey;

/// Longest SIP user and longest header of a call that is routed, in bytes. Longer ones crash FreeSWITCH
/// 1.10.12 when a phone subscribes to the call later (contract §12.1); no honest phone sends them.
const MAX_SIP_USER: usize = 64;
const MAX_SIP_HEADER: usize = 256;

/// Answers a dialplan lookup. A call that must not be routed is not found: the caller gets a 404.
///
/// # Errors
/// See [`Answers::answer`].
pub fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    let key = answers.key()?;
    let platform = answers.replica.platform();
    if oversized(form) {
        return Ok(Answer::NotFound);
    }
    // On transfers and `execute_extension` the hunt fields differ from the caller's (§3.1).
    let context = form.text(Field::HuntContext);
    let destination = form.text(Field::HuntDestinationNumber);
    let routed = if context == INBOUND_CONTEXT {
        from_carrier(form, answers, key, &platform, &destination)
    } else {
        from_tenant(form, answers, key, &platform, &context, &destination)
    };
    match routed {
        Some(routed) => {
            let document = render::dialplan(&answers.templates, &context, &routed.rule, &routed.actions)?;
            Ok(Answer::Document(document))
        }
        None => Ok(Answer::NotFound),
    }
}

/// Routes a call in a tenant's context.
fn from_tenant(
    form: &Form<'_>,
    answers: &Answers,
    key: &SigningKey,
    platform: &PlatformPlan,
    context: &str,
    destination: &str,
) -> Option<route::Answer> {
    let view = answers.replica.of_callers(Uuid::try_parse(context).ok()?)?;
    if view.context() != context {
        return None; // another spelling of the UUID
    }
    let phone = authenticated(form, &view);
    let caller = match form.get(Field::VariableCentrexCall) {
        Some(token) => {
            let (tenant, caller) = verify_call(key, &token)?;
            (tenant == view.plan.tenant.id).then_some(caller)?
        }
        None => Caller::Extension(phone?.extension.to_owned()),
    };
    // A call that goes on for somebody else is not made from this phone.
    let is_from = |phone: &SipUser| matches!(&caller, Caller::Extension(name) if name == phone.extension);
    let device = phone.filter(is_from).and_then(|phone| phone.device);
    let call = Call { device, ..call(form, answers, key, platform, &view, caller) };
    let answer = call.dialled(destination);
    if let Some(emergency) = &answer.emergency {
        answers.emergencies.report(&call, emergency);
    }
    Some(answer)
}

/// The phone that FreeSWITCH authenticated: `directory/auth.xml` of this tenant had its password, and `;gw=` did
/// not put the call into a gateway's context (contract §10.1). The realm is the same for all tenants, and so is
/// `domain_name` of their calls: FreeSWITCH sets it to the domain that the directory was asked for (switch_ivr.c,
/// switch_ivr_set_user_xml).
fn authenticated<'a>(form: &Form<'_>, view: &'a TenantView) -> Option<SipUser<'a>> {
    let user = form.text(Field::VariableUserName);
    let vouched = form.is(Field::CallerSource, "mod_sofia")
        && form.is(Field::VariableSipAuthorized, "true")
        && !form.has(Field::VariableSipGateway)
        && form.is(Field::VariableSipAuthUsername, &user)
        && form.is(Field::VariableCentrexTenant, view.context());
    view.sip_user(&user).filter(|_| vouched)
}

/// Routes a call from a carrier. The packets must come from the carrier's addresses to its profile, and the
/// number must be assigned to its trunk.
fn from_carrier(
    form: &Form<'_>,
    answers: &Answers,
    key: &SigningKey,
    platform: &PlatformPlan,
    destination: &str,
) -> Option<route::Answer> {
    if form.has(Field::VariableSipAuthUsername) || !form.is(Field::CallerSource, "mod_sofia") {
        return None;
    }
    let address: IpAddr = form.text(Field::VariableSipNetworkIp).parse().ok()?;
    let profile = form.text(Field::VariableSofiaProfileName);
    let mut is_carrier = false;
    for (name, trunk) in &platform.trunks {
        let from_trunk = trunk.sip_profile == profile
            && trunk.source_addresses.iter().any(|network| network.contains(&address));
        if !from_trunk || !is_own_gateway(form, key, trunk) {
            continue;
        }
        is_carrier = true;
        let sent = carrier::called(form, trunk, destination);
        let OutsideCaller { number: caller_number, name: caller_name, hidden } = carrier::caller(form, trunk);
        for number in trunk.carrier_format().read(&sent) {
            let Some(view) = answers.replica.by_number(number.as_str()) else { continue };
            let call = Call {
                caller_name: Cow::Borrowed(&caller_name),
                caller_number: Cow::Borrowed(&caller_number),
                is_caller_hidden: hidden,
                called: Cow::Borrowed(number.as_str()),
                ..call(form, answers, key, platform, &view, Caller::Outside)
            };
            if let Some(answer) = call.inbound(name, number.as_str()) {
                return Some(answer);
            }
        }
    }
    // While tenants are missing, the carrier should try another switch.
    let cause = match answers.replica.load_state() {
        LoadState::Complete => Cause::UnallocatedNumber,
        LoadState::Partial | LoadState::Empty => Cause::NormalTemporaryFailure,
    };
    is_carrier.then(|| route::Answer {
        rule: "Unknown".to_owned(),
        actions: vec![DialplanApp::Hangup(cause).action()],
        emergency: None,
    })
}

/// Whether the gateway that a request names belongs to the trunk that its packets come from. FreeSWITCH uses
/// the named gateway's context; carriers that we register with name theirs.
fn is_own_gateway(form: &Form<'_>, key: &SigningKey, trunk: &TrunkRow) -> bool {
    let named = form.get(Field::VariableSipGateway);
    named.is_none_or(|named| key.gateway_names(trunk).any(|gateway| gateway == named))
}

/// The call as input of `route`.
fn call<'a>(
    form: &'a Form<'_>,
    answers: &'a Answers,
    key: &'a SigningKey,
    platform: &'a PlatformPlan,
    view: &'a TenantView,
    caller: Caller,
) -> Call<'a> {
    Call {
        view,
        platform,
        key,
        extension: view.caller(&caller),
        device: None,
        caller,
        leg: form.text(Field::VariableUuid),
        caller_name: form.text(Field::HuntCallerIdName),
        caller_number: form.text(Field::HuntCallerIdNumber),
        is_caller_hidden: false,
        called: form.get(Field::VariableCentrexCalled).unwrap_or_else(|| form.text(Field::VariableSipToUser)),
        disposition: form.text(Field::VariableOriginateDisposition),
        queue_cause: form.text(Field::VariableCcCause),
        now: Timestamp::now(),
        media: &answers.media,
        is_recorded: form.has(Field::VariableCentrexRecording),
        is_answered: form.is(Field::AnswerState, "answered"),
        tracer: Tracer::OFF,
    }
}

fn oversized(form: &Form<'_>) -> bool {
    let users = [Field::VariableSipToUser, Field::VariableSipFromUser, Field::VariableSipContactUser];
    let headers = [Field::VariableSipFullTo, Field::VariableSipFullFrom, Field::VariableSipContactParams];
    let longer = |fields: &[Field], most| fields.iter().any(|field| form.is_longer(*field, most));
    longer(&users, MAX_SIP_USER) || longer(&headers, MAX_SIP_HEADER)
}
