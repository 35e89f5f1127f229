//! Emergency calls: which numbers are, and how they leave. Every trunk of the tenant is tried, repeatedly, until
//! one takes the call.

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::explain::{Step, Tracer};
use super::legal::Text;
use super::outbound::{RING_SECONDS, Terms, gateway_bridges};
use super::view::TenantView;
use crate::numbers::known_emergency_numbers;
use crate::resources::emergency::EmergencyLocation;

/// Seconds that a gateway may take to show progress in the first round, if there are other gateways: a
/// silent one must not delay the rest.
const FIRST_PROGRESS_SECONDS: i32 = 6;

/// Milliseconds before the second and third round of all gateways. In those rounds each trunk's own
/// progress timeout applies. A restarted trunk registers again within seconds.
const PAUSES_MS: [i32; 2] = [2_000, 4_000];

/// An emergency call, for those who have to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmergencyCall {
    /// The number that was called.
    pub number: String,
    /// The number that is shown to the emergency service, in E.164 form.
    pub shown: Option<String>,
    /// Name of the caller's location.
    pub location: Option<String>,
}

impl EmergencyCall {
    /// A call to an emergency number.
    pub(super) fn new(call: &Call, number: &str) -> Self {
        Self {
            number: number.to_owned(),
            shown: shown(call).map(str::to_owned),
            location: location(call).map(|location| location.name.clone()),
        }
    }
}

/// The emergency number that a number is, also where it has the calling code of the tenant's country: a carrier that
/// wants national numbers is sent 112 for +49112.
pub(super) fn within_country(view: &TenantView, number: &str) -> Option<String> {
    let national = view.country().and_then(|home| home.digits_within(number));
    let found = [Some(number), national].into_iter().flatten().find(|number| is_number(view, number));
    found.map(str::to_owned)
}

/// Whether a number is an emergency number: one that the tenant lists, or one of its country, for which there is
/// a trunk.
fn is_number(view: &TenantView, number: &str) -> bool {
    let row = view.plan.tenant.emergency.as_ref();
    row.is_some_and(|row| row.numbers.iter().any(|listed| listed == number) || is_known(view, number))
}

/// Whether a dialled number is an emergency number: as [`is_number`], but a number of the country that the tenant
/// does not list may be an internal number.
pub(super) fn is_dialled(view: &TenantView, dialled: &str, tracer: Tracer<'_>) -> bool {
    let row = view.plan.tenant.emergency.as_ref();
    let listed = row.map_or(&[][..], |row| &row.numbers);
    let is_listed = listed.iter().any(|number| number == dialled);
    let is_of_country = !is_listed && row.is_some() && is_known(view, dialled);
    let matched = is_listed || (is_of_country && view.number(dialled).is_none());
    tracer.record(|| {
        let why = match listed {
            _ if is_listed => format!("{dialled} is an emergency number"),
            _ if matched => format!("{dialled} is an emergency number of its country"),
            _ if is_of_country => {
                format!("{dialled} is an emergency number of its country, and an internal one")
            }
            [] => "it lists no emergency numbers".to_owned(),
            numbers => format!("{dialled} is no emergency number ({})", numbers.join(", ")),
        };
        Step { resource: view.tenant_key(), matched, why }
    });
    matched
}

/// The number that is sent for a dialled one, after the digit edits: no edit changes an emergency number.
pub(super) fn unedited(view: &TenantView, dialled: &str, edited: String) -> String {
    if is_known(view, dialled) { dialled.to_owned() } else { edited }
}

fn is_known(view: &TenantView, number: &str) -> bool {
    known_emergency_numbers(view.plan.tenant.country.as_deref()).contains(&number)
}

/// The location of the caller: the Device's that the call is made from, else the extension's, else the tenant's default.
fn location<'a>(call: &Call<'a>) -> Option<&'a EmergencyLocation> {
    let of_device = call.device.and_then(|(_, device)| device.emergency_location.as_deref());
    let of_extension = || call.extension.and_then(|extension| extension.emergency_location.as_deref());
    call.view.plan.tenant.emergency.as_ref()?.location(of_device.or_else(of_extension))
}

/// The number that is shown to the emergency service: the location's, else the one of all emergency calls, else
/// the tenant's.
fn shown<'a>(call: &Call<'a>) -> Option<&'a str> {
    let tenant = &call.view.plan.tenant;
    let of_location = location(call).and_then(|location| location.caller_id_number.as_deref());
    let of_all = || tenant.emergency.as_ref()?.caller_id_number.as_deref();
    of_location.or_else(of_all).or_else(|| tenant.caller_id.as_ref()?.number.as_deref())
}

/// Answers an emergency call. No limit on calls or duration applies, and no answer of a carrier ends the
/// call, not even busy: it ends when a gateway takes it, when the caller hangs up, or when all gateways
/// failed in every round. A carrier that does not know the number does no harm.
pub fn call(call: &Call, number: &str) -> Actions {
    let emergency = call.view.plan.tenant.emergency.as_ref()?;
    let shown = shown(call);
    call.tracer.record(|| {
        let from =
            location(call).map_or_else(String::new, |location| format!(" from location {}", location.name));
        let why = format!("{number} is called{from}, showing {}", shown.unwrap_or("no number"));
        Step { resource: call.view.tenant_key(), matched: true, why }
    });
    let terms = Terms { number, shown, hidden: false, limited: false, max_progress_seconds: None };
    let round = |terms, tracer| gateway_bridges(call, emergency.trunks(), terms, tracer);
    let again = round(terms, Tracer::OFF)?;
    let gateways = again.iter().filter(|action| matches!(action, DialplanApp::Bridge(_))).count();
    if gateways == 0 {
        return Some(vec![DialplanApp::Hangup(Cause::NormalTemporaryFailure)]);
    }
    let max_progress_seconds = (gateways > 1).then_some(FIRST_PROGRESS_SECONDS);
    let first = round(Terms { max_progress_seconds, ..terms }, call.tracer)?;
    let shown_name = shown.map(|shown| DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new(shown))));
    let mut actions: Vec<DialplanApp> = shown_name.into_iter().collect();
    actions.extend([
        DialplanApp::Set(Variable::CallTimeout(RING_SECONDS)),
        DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Always)),
        // After one carrier's announcement the caller hears ringing from the next.
        DialplanApp::Set(Variable::Ringback),
    ]);
    actions.extend(first);
    for milliseconds in PAUSES_MS {
        actions.push(DialplanApp::Sleep { milliseconds });
        actions.extend(again.iter().cloned());
    }
    // After 503 a phone may try another server; after 404 or 603 it does not.
    actions.extend([
        DialplanApp::Set(Variable::NoCarrierAnswer),
        DialplanApp::Hangup(Cause::NormalTemporaryFailure),
    ]);
    Some(actions)
}
