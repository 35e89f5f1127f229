//! Properties of compile for every input.

mod hostile;
mod invariants;
mod random;

use std::collections::BTreeMap;

use centrex::compile::{self, Claims, CompiledPlans};
use centrex::plan::TenantPlan;
use centrex::resources::common::DestinationKind;
use centrex::route::media::MediaRoot;
use centrex::route::token::{Step, sign_step};
use centrex::route::{Call, Caller, TenantView, Tracer};
use centrex::secrets::signing_key::SigningKey;
use centrex::source::{Change, Object, ResourceIndex, TenantKey};
use proptest::prelude::*;
use random::{Drawn, built, indexed, surroundings};

use crate::last_good::{InForcePlans, compile_after};

/// Shrinks a failure for a bounded time, and writes no file: the failing case is printed.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_time: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

/// The objects of a system, each key once: the last wins, as in a source.
fn objects(drawn: &[Drawn]) -> Vec<Object> {
    let all = surroundings().into_iter().chain(drawn.iter().filter_map(built));
    all.map(|object| (object.key(), object)).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn same(a: &CompiledPlans, b: &CompiledPlans) -> bool {
    a.platform == b.platform && a.tenants == b.tenants && a.problems == b.problems
}

/// Dials every number and continues after every failure: no answer may panic or recurse.
fn dial_all(compiled: &CompiledPlans) {
    let key = SigningKey::new([5; 32]);
    let media = MediaRoot::dummy();
    for (_, plan) in &compiled.tenants {
        let view = TenantView::new(plan.clone());
        for caller in [Caller::Extension("a".into()), Caller::Outside] {
            let call = Call {
                view: &view,
                platform: &compiled.platform,
                key: &key,
                extension: view.caller(&caller),
                device: None,
                caller,
                leg: "leg".into(),
                caller_name: "Somebody".into(),
                caller_number: "".into(),
                is_caller_hidden: false,
                called: "0301".into(),
                disposition: "NO_ANSWER".into(),
                queue_cause: "timeout".into(),
                now: jiff::Timestamp::UNIX_EPOCH,
                media: &media,
                is_recorded: false,
                is_answered: false,
                tracer: Tracer::OFF,
            };
            for number in dialled(plan) {
                assert!(!call.dialled(&number).actions.is_empty());
            }
            for row in plan.numbers.values() {
                let last = row.range.as_ref().map_or("", |range| range.first.as_str());
                let number = format!("{}{last}", row.number);
                assert!(!call.inbound(&row.trunk, &number).unwrap().actions.is_empty());
            }
            for (kind, name) in [
                (DestinationKind::Extension, "a"),
                (DestinationKind::Queue, "a"),
                (DestinationKind::Schedule, "a"),
                (DestinationKind::ExternalNumber, "+442079460123"),
                (DestinationKind::ExternalNumber, "+493012345600"),
            ] {
                let target = centrex::plan::Target { kind, name: name.into() };
                for step in [Step::To, Step::After] {
                    let word = sign_step(&key, plan.tenant.id, step, &target).unwrap();
                    assert!(!call.dialled(word.as_str()).actions.is_empty());
                }
            }
        }
    }
}

fn dialled(plan: &TenantPlan) -> Vec<String> {
    let extensions = plan.extensions.values().map(|row| row.number.clone());
    let numbers = plan.numbers.values().map(|row| row.number.clone());
    let codes = plan.feature_codes.values().flat_map(|row| [row.code.clone(), format!("{}1001", row.code)]);
    let fixed = ["112", "20", "0", "00", "0301234567", "00442079460123", "+493012345601", "0900123"];
    extensions.chain(numbers).chain(codes).chain(fixed.map(str::to_owned)).collect()
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn a_compiled_system_is_consistent(drawn in random::valid()) {
        let objects = objects(&drawn);
        let compiled = compile::all(&indexed(objects.clone()));
        invariants::check(&objects, &compiled);
        dial_all(&compiled);
    }

    /// Whatever was in force before, the result is as consistent as one without restored rows.
    #[test]
    fn restored_rows_are_consistent(states in prop::collection::vec(random::valid(), 2..4)) {
        let mut in_force = InForcePlans::default();
        for drawn in states {
            let objects = objects(&drawn);
            let index = indexed(objects.clone());
            let after = compile_after(&index, &in_force);
            invariants::check_with(&objects, &after.compiled, &after.kept);
            dial_all(&after.compiled);
            in_force = after.in_force;
            let again = compile_after(&index, &in_force);
            prop_assert!(same(&after.compiled, &again.compiled), "what is in force stays the same");
        }
    }

    #[test]
    fn the_order_of_objects_does_not_matter(drawn in random::valid(), seed in any::<u64>()) {
        let mut objects = objects(&drawn);
        let first = indexed(objects.clone());
        let compiled = compile::all(&first);
        prop_assert!(same(&compiled, &compile::all(&first)), "compiled twice");
        objects.sort_by_key(|object| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            (seed, object.key()).hash(&mut hasher);
            hasher.finish()
        });
        prop_assert!(same(&compiled, &compile::all(&indexed(objects))), "in another order");
    }

    #[test]
    fn no_input_makes_compile_panic(drawn in random::wild(), before in random::valid()) {
        let wild = indexed(objects(&drawn));
        let compiled = compile::all(&wild);
        prop_assert!(same(&compiled, &compile::all(&indexed(objects(&drawn)))));
        dial_all(&compiled);
        let before = compile_after(&indexed(objects(&before)), &InForcePlans::default());
        dial_all(&compile_after(&wild, &before.in_force).compiled);
    }

    /// The loop compiles only the tenants that a change affects: all other plans must be unchanged.
    #[test]
    fn a_change_affects_only_the_tenants_it_reports(drawn in random::valid(), change in random::valid(), remove in any::<bool>()) {
        let mut now = indexed(objects(&drawn));
        let before = (Claims::new(&now), tenants(&now));
        let Some(object) = change.iter().filter_map(built).next_back() else { return Ok(()) };
        let change = if remove { Change::Remove(object.key()) } else { Change::Upsert(object) };
        let touched = now.apply(change);
        let after = (Claims::new(&now), tenants(&now));
        prop_assert!(touched.claims || before.0 == after.0, "claims changed unannounced");
        if touched.platform || before.0.emergency_numbers() != after.0.emergency_numbers() {
            return Ok(());
        }
        let moved = before.0.moved(&after.0);
        for (key, compiled) in &after.1 {
            if !touched.tenants.contains(key) && !moved.contains(key) {
                prop_assert_eq!(Some(compiled), before.1.get(key), "{} changed unannounced", key);
            }
        }
    }
}

type Compiled = compile::Compiled<Option<TenantPlan>>;

fn tenants(index: &ResourceIndex) -> BTreeMap<TenantKey, Compiled> {
    let (claims, snapshot) = (Claims::new(index), index.platform());
    let platform = compile::platform(&snapshot, &claims).plan;
    let keys = index.tenants().filter_map(|tenant| centrex::source::index::key_of(tenant));
    keys.map(|key| {
        let tenant = index.tenant(&key).unwrap();
        (key, compile::tenant(&tenant, &snapshot, &platform, &claims))
    })
    .collect()
}

/// Loops in every direction between thousands of extensions: all are broken, much faster than one at a time.
#[test]
fn thousands_of_loops_are_broken_at_once() {
    const COUNT: usize = 1500;
    let tenant = ("Tenant", "acme", "a", 1, serde_json::json!({"domains": ["a.example.com"]}));
    let extensions = (0..COUNT).map(|index| {
        let to =
            |index: usize| serde_json::json!({"kind": "Extension", "name": format!("e{}", index % COUNT)});
        let forwarding = serde_json::json!({
            "always": to(index + 1), "busy": to(index), "noAnswer": to(0), "unavailable": to(index * 7),
        });
        let spec = serde_json::json!({
            "tenantRef": {"name": "a"}, "number": (10_000 + index).to_string(), "forwarding": forwarding,
        });
        let mut object = built(&("Extension", "acme", "e", 1, spec)).unwrap();
        object.metadata_mut().name = Some(format!("e{index}"));
        object
    });
    let objects: Vec<Object> = extensions.chain(built(&tenant)).collect();
    let compiled = compile::all(&indexed(objects.clone()));
    assert_eq!(compiled.tenants[0].1.extensions.len(), COUNT);
    invariants::check(&objects, &compiled);
}

/// The properties above are worth something only if the random systems have rows and problems of all kinds.
#[test]
fn random_systems_have_rows_of_every_kind_and_every_problem() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let draw = random::valid();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut see = |what: &str, count: usize| *seen.entry(what.to_owned()).or_default() += count;
    for _ in 0..100 {
        let compiled = compile::all(&indexed(objects(&draw.new_tree(&mut runner).unwrap().current())));
        for problem in &compiled.problems {
            see(&format!("{:?} {:?}", problem.reason, problem.effect), 1);
        }
        for (_, plan) in &compiled.tenants {
            see("extensions", plan.extensions.len());
            see("ring groups", plan.ring_groups.len());
            see("queues", plan.queues.len());
            see("menus", plan.ivr_menus.len());
            see("conferences", plan.conferences.len());
            see("schedules", plan.schedules.len());
            see("numbers", plan.numbers.len());
            see("routes", plan.outbound_routes.len());
            see("feature codes", plan.feature_codes.len());
            see("emergencies", usize::from(plan.tenant.emergency.is_some()));
        }
    }
    // Ten kinds of rows, and every reason of a refusal, most with two effects.
    assert!(seen.len() >= 25, "{seen:#?}");
    let rare: Vec<_> = seen.iter().filter(|(_, count)| **count < 5).collect();
    assert!(rare.len() <= 3, "{rare:?}");
}
