//! Emergency calls: by every trunk that there is for the tenant, and again, until one takes them.

use super::app::{Cause, ContinueOnFail, DialplanApp, Variable};
use super::call::{Actions, Call};
use super::explain::Tracer;
use super::legal::Text;
use super::outbound::{RING_SECONDS, Terms, ways};

/// Seconds that a gateway may take to show progress at first, where there are others: one that is
/// silent must not hold up those that work.
const FIRST_PROGRESS_SECONDS: i32 = 6;

/// Milliseconds of rest before all gateways are tried again, each time for as long as its trunk says.
/// A trunk that registers is back within seconds after it was made anew.
const PAUSES_MS: [i32; 2] = [2_000, 4_000];

/// Sends an emergency call out. No limit of number or duration stands before it, and nothing that a
/// carrier answers ends it, a busy line neither: only that it is taken, that the caller hangs up, or
/// that all gateways failed again and again. One that does not know the number does no harm.
pub fn call(call: &Call, number: &str) -> Actions {
    let emergency = call.view.plan.tenant.emergency.as_ref()?;
    let tenant = call.view.plan.tenant.caller_id.as_ref().and_then(|caller_id| caller_id.number.as_deref());
    let shown = emergency.caller_id_number.as_deref().or(tenant);
    let terms = Terms { number, shown, limited: false, most_progress_seconds: None };
    let round = |terms, listener| ways(call, emergency.trunks(), terms, listener);
    let again = round(terms, Tracer::NOBODY)?;
    let gateways = again.iter().filter(|action| matches!(action, DialplanApp::Bridge(_))).count();
    if gateways == 0 {
        return Some(vec![DialplanApp::Hangup(Cause::NormalTemporaryFailure)]);
    }
    let most_progress_seconds = (gateways > 1).then_some(FIRST_PROGRESS_SECONDS);
    let first = round(Terms { most_progress_seconds, ..terms }, call.listener)?;
    let shown_name = shown.map(|shown| DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new(shown))));
    let mut actions: Vec<DialplanApp> = shown_name.into_iter().collect();
    actions.extend([
        DialplanApp::Set(Variable::CallTimeout(RING_SECONDS)),
        DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Always)),
        // Who heard one carrier's announcement hears that it rings at the next.
        DialplanApp::Set(Variable::Ringback),
    ]);
    actions.extend(first);
    for milliseconds in PAUSES_MS {
        actions.push(DialplanApp::Sleep { milliseconds });
        actions.extend(again.iter().cloned());
    }
    // A phone that is told 503 tries elsewhere, where it can; one that is told 404 or 603 does not.
    actions.extend([
        DialplanApp::Set(Variable::NoCarrierAnswer),
        DialplanApp::Hangup(Cause::NormalTemporaryFailure),
    ]);
    Some(actions)
}
