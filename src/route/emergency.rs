//! Emergency calls: every trunk of the tenant is tried, repeatedly, until one takes the call.

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::explain::Tracer;
use super::legal::Text;
use super::outbound::{RING_SECONDS, Terms, gateway_bridges};

/// Seconds that a gateway may take to show progress in the first round, if there are other gateways: a
/// silent one must not delay the rest.
const FIRST_PROGRESS_SECONDS: i32 = 6;

/// Milliseconds before the second and third round of all gateways. In those rounds each trunk's own
/// progress timeout applies. A restarted trunk registers again within seconds.
const PAUSES_MS: [i32; 2] = [2_000, 4_000];

/// Answers an emergency call. No limit on calls or duration applies, and no answer of a carrier ends the
/// call, not even busy: it ends when a gateway takes it, when the caller hangs up, or when all gateways
/// failed in every round. A carrier that does not know the number does no harm.
pub fn call(call: &Call, number: &str) -> Actions {
    let emergency = call.view.plan.tenant.emergency.as_ref()?;
    let tenant = call.view.plan.tenant.caller_id.as_ref().and_then(|caller_id| caller_id.number.as_deref());
    let shown = emergency.caller_id_number.as_deref().or(tenant);
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
