//! Routing tests: each asks the plan what a call does, by the code that answers switches.
//!
//! A test that fails is a problem of the test alone: the plan is what it is. Whether the tenant is
//! suspended is not asked: the rules are tested, not whether they are served.

use crate::resources::Kind;
use std::borrow::Cow;
use std::cell::RefCell;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use super::compiler::{TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::plan::{TenantPlan, TrunkRow};
use crate::resources::RoutingTest;
use crate::resources::routing_test::{EndKind, Expectation};
use crate::route::explain::{End, Explanation};
use crate::route::media::MediaRoot;
use crate::route::{Call, Caller, TenantView, Tracer};
use crate::secrets::signing_key::SigningKey;

/// Who calls, and the trunk it comes in by.
type From<'a> = (Caller, Option<(String, &'a TrunkRow)>);

/// Asks every routing test of the tenant; the plan is given back as it was.
pub fn run(draft: &mut TenantCompiler, plan: TenantPlan) -> TenantPlan {
    if draft.snapshot.routing_tests.is_empty() {
        return plan;
    }
    let view = TenantView::new(plan);
    let key = SigningKey::of_nobody();
    for test in &draft.snapshot.routing_tests {
        let name = name_of(&**test);
        let asked = caller(draft, test).and_then(|from| {
            expected(draft, &test.spec.expect)?;
            Ok((from, time(&view, test)?))
        });
        match asked {
            Ok((from, now)) => {
                if let Err(why) = ask(draft, &view, &key, test, from, now) {
                    draft.degrade(Kind::RoutingTest, name, "spec.expect", (Reason::TestFailed, why));
                }
            }
            Err((field, why)) => {
                draft.refuse((Kind::RoutingTest, name.to_owned()), field, why);
            }
        }
    }
    view.plan
}

fn caller<'a>(draft: &TenantCompiler<'a>, test: &RoutingTest) -> Result<From<'a>, (&'static str, RefError)> {
    let from = &test.spec.from;
    if let Some(reference) = &from.trunk_ref {
        let trunk = draft.trunk(reference).map_err(|why| ("spec.from.trunkRef", why))?;
        return Ok((Caller::Outside, Some(trunk)));
    }
    let name = from.extension_ref.as_ref().map(|reference| reference.name.clone()).unwrap_or_default();
    draft.resolve(Kind::Extension, &name).map_err(|why| ("spec.from.extensionRef.name", why))?;
    Ok((Caller::Extension(name), None))
}

/// Whether there is what the call is to end at.
fn expected(draft: &TenantCompiler, expect: &Expectation) -> Result<(), (&'static str, RefError)> {
    let kind = match expect.kind {
        EndKind::Extension | EndKind::Voicemail => Kind::Extension,
        EndKind::RingGroup => Kind::RingGroup,
        EndKind::Queue => Kind::Queue,
        EndKind::IvrMenu => Kind::IvrMenu,
        EndKind::Conference => Kind::Conference,
        EndKind::FeatureCode => Kind::FeatureCode,
        // Its namespace is not named: any trunk of that name that the tenant may use.
        EndKind::Trunk | EndKind::Rejected => return Ok(()),
    };
    let name = expect.name.as_deref().unwrap_or_default();
    draft.resolve(kind, name).map_err(|why| ("spec.expect.name", why))
}

/// The time that is asked about, on the tenant's clock. Of a time that comes twice, when clocks are
/// set back, the first is meant.
fn time(view: &TenantView, test: &RoutingTest) -> Result<Timestamp, (&'static str, RefError)> {
    let at = &test.spec.at;
    let wrong = |message| ("spec.at", RefError::from((Reason::InvalidValue, message)));
    let none = || wrong(format!("{at} is no time of the calendar; write YYYY-MM-DDTHH:MM:SS"));
    let local = at.parse::<DateTime>().map_err(|_| none())?;
    // A leap second is read as the second before it, which is another time than is written.
    if local.to_string() != *at {
        return Err(none());
    }
    let zone = &view.plan.tenant.time_zone;
    let time = view.time_zone(zone).to_ambiguous_timestamp(local);
    if matches!(time.offset(), AmbiguousOffset::Gap { .. }) {
        let message = format!("{at} does not exist in {zone}: clocks are set forward over it; write another");
        return Err(wrong(message));
    }
    time.earlier().map_err(|_| none())
}

/// Asks what becomes of the call; why it fails where that is something else than expected.
fn ask(
    draft: &TenantCompiler,
    view: &TenantView,
    key: &SigningKey,
    test: &RoutingTest,
    (caller, trunk): From<'_>,
    now: Timestamp,
) -> Result<(), String> {
    let notes = RefCell::new(Explanation::default());
    let who = match (&caller, &trunk) {
        (Caller::Extension(name), _) => format!("Extension {name}"),
        (Caller::Outside, Some((trunk, _))) => format!("a caller by Trunk {trunk}"),
        (Caller::Outside, None) => "a caller".to_owned(),
    };
    let call = Call {
        view,
        platform: draft.platform,
        key,
        extension: view.caller(&caller),
        caller,
        leg: Cow::Borrowed("routing-test"),
        caller_name: Cow::Borrowed(""),
        disposition: Cow::Borrowed(""),
        queue_cause: Cow::Borrowed(""),
        now,
        media: &MediaRoot::of_nobody(),
        is_recorded: false,
        is_answered: false,
        listener: Tracer::new(&notes),
    };
    match &trunk {
        Some((name, row)) => call.brought(name, row, &test.spec.dial),
        None => call.dialled(&test.spec.dial),
    };
    let Explanation { steps, end } = notes.into_inner();
    let expect = &test.spec.expect;
    if end.as_ref().is_some_and(|end| meets(end, expect)) {
        return Ok(());
    }
    let found = end.map_or_else(|| "nowhere".to_owned(), |end| end.to_string());
    let wanted = match &expect.name {
        Some(name) => format!("{:?} {name}", expect.kind),
        None => format!("{:?}", expect.kind),
    };
    let mut why = format!("{who} who dials {} then ends at {found}, not at {wanted}", test.spec.dial);
    if let Some(last) = steps.last() {
        why.push_str(&format!("; decided by {}: {}", last.resource, last.why));
    }
    Err(why)
}

fn meets(end: &End, expect: &Expectation) -> bool {
    let name = match end.kind {
        EndKind::Rejected => None,
        EndKind::Trunk => end.name.split_once('/').map(|(_, name)| name),
        _ => Some(end.name.as_str()),
    };
    end.kind == expect.kind && name == expect.name.as_deref()
}
