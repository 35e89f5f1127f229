//! Routing tests: each routes a call under the plan, with the code that answers the switches.
//!
//! A failed test degrades only the test, never the plan. Tests of a suspended tenant run too: they test the
//! rules, not the service.

use std::borrow::Cow;
use std::cell::RefCell;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use super::compiler::{TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::plan::{TenantPlan, TrunkRow};
use crate::resources::Kind;
use crate::resources::RoutingTest;
use crate::resources::routing_test::{EndKind, Expectation};
use crate::route::explain::{End, Explanation};
use crate::route::media::MediaRoot;
use crate::route::{Call, Caller, TenantView, Tracer};
use crate::secrets::signing_key::SigningKey;

/// Who calls, and the trunk of a call from outside.
type TestCaller<'a> = (Caller, Option<(String, &'a TrunkRow)>);

/// Runs every routing test of the tenant; returns the plan unchanged.
pub fn run(compiler: &mut TenantCompiler, plan: TenantPlan) -> TenantPlan {
    if compiler.snapshot.routing_tests.is_empty() {
        return plan;
    }
    let mut plan = plan;
    let suspended = std::mem::take(&mut plan.tenant.suspended);
    let mut view = TenantView::new(plan);
    let key = SigningKey::dummy();
    for test in &compiler.snapshot.routing_tests {
        let name = name_of(&**test);
        let prepared = caller(compiler, test).and_then(|from| {
            expected(compiler, &test.spec.expect)?;
            Ok((from, time(&view, test)?))
        });
        match prepared {
            Ok((from, now)) => {
                if let Err(why) = run_test(compiler, &view, &key, test, from, now) {
                    compiler.degrade(Kind::RoutingTest, name, "spec.expect", (Reason::TestFailed, why));
                }
            }
            Err((field, why)) => {
                compiler.refuse((Kind::RoutingTest, name.to_owned()), field, why);
            }
        }
    }
    view.plan.tenant.suspended = suspended;
    view.plan
}

fn caller<'a>(
    compiler: &TenantCompiler<'a>,
    test: &RoutingTest,
) -> Result<TestCaller<'a>, (&'static str, RefError)> {
    let from = &test.spec.from;
    if let Some(reference) = &from.trunk_ref {
        let trunk = compiler.trunk(reference).map_err(|why| ("spec.from.trunkRef", why))?;
        return Ok((Caller::Outside, Some(trunk)));
    }
    let name = from.extension_ref.as_ref().map(|reference| reference.name.clone()).unwrap_or_default();
    compiler.resolve(Kind::Extension, &name).map_err(|why| ("spec.from.extensionRef.name", why))?;
    Ok((Caller::Extension(name), None))
}

/// Checks that the expected destination exists.
fn expected(compiler: &TenantCompiler, expect: &Expectation) -> Result<(), (&'static str, RefError)> {
    let kind = match expect.kind {
        EndKind::Extension | EndKind::Voicemail => Kind::Extension,
        EndKind::RingGroup => Kind::RingGroup,
        EndKind::Queue => Kind::Queue,
        EndKind::IvrMenu => Kind::IvrMenu,
        EndKind::Conference => Kind::Conference,
        EndKind::FeatureCode => Kind::FeatureCode,
        // The test names no namespace: any trunk of that name may match.
        EndKind::Trunk | EndKind::Rejected => return Ok(()),
    };
    let name = expect.name.as_deref().unwrap_or_default();
    compiler.resolve(kind, name).map_err(|why| ("spec.expect.name", why))
}

/// The time of the test, in the tenant's time zone. Of a time that occurs twice, when clocks are set back,
/// the first is meant.
fn time(view: &TenantView, test: &RoutingTest) -> Result<Timestamp, (&'static str, RefError)> {
    let at = &test.spec.at;
    let wrong = |message| ("spec.at", RefError::from((Reason::InvalidValue, message)));
    let none = || wrong(format!("there is no time {at} in the calendar"));
    let local = at.parse::<DateTime>().map_err(|_| none())?;
    // jiff reads a leap second as the second before it.
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

/// Routes the call; the error says where it ends if that is not the expected end.
fn run_test(
    compiler: &TenantCompiler,
    view: &TenantView,
    key: &SigningKey,
    test: &RoutingTest,
    (caller, trunk): TestCaller<'_>,
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
        platform: compiler.platform,
        key,
        extension: view.caller(&caller),
        device: None,
        caller,
        leg: Cow::Borrowed("routing-test"),
        caller_name: Cow::Borrowed(""),
        caller_number: Cow::Borrowed(""),
        is_caller_hidden: false,
        called: Cow::Borrowed(&test.spec.dial),
        disposition: Cow::Borrowed(""),
        queue_cause: Cow::Borrowed(""),
        now,
        media: &MediaRoot::dummy(),
        is_recorded: false,
        is_answered: false,
        tracer: Tracer::new(&notes),
    };
    match &trunk {
        Some((name, row)) => call.inbound_from_trunk(name, row, &test.spec.dial),
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
        why.push_str(&format!("; the last step: {}: {}", last.resource, last.why));
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
