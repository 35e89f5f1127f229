//! Invariants of every compiled system.

use std::collections::{BTreeMap, BTreeSet};

use centrex::compile::{CompiledPlans, Effect, KeptPart, LastGoodRow};
use centrex::plan::*;
use centrex::resources::Kind;
use centrex::resources::common::DestinationKind;
use centrex::route::TenantView;
use centrex::route::decide::{Decision, decide, external};
use centrex::route::{Caller, Tracer};
use centrex::source::{Object, ObjectKey};
use serde_json::{Value, json};

/// Checks all invariants.
pub fn check(objects: &[Object], compiled: &CompiledPlans) {
    check_with(objects, compiled, &[]);
}

/// The same, for a system with restored rows.
pub fn check_with(objects: &[Object], compiled: &CompiledPlans, kept: &[LastGoodRow]) {
    one_holder_each(compiled, kept);
    in_the_plan_or_explained(objects, compiled, kept);
    rights_are_not_kept(objects, compiled);
    for (_, plan) in &compiled.tenants {
        references_exist(plan, &compiled.platform);
        no_circles(plan);
        emergency_is_free(plan, &compiled.platform);
    }
    for trunk in compiled.platform.dial_rules.values().flat_map(rule_trunks) {
        assert!(compiled.platform.trunks.contains_key(trunk), "{trunk}");
    }
    for trunk in compiled.platform.trunks.values() {
        assert!(compiled.platform.sip_profiles.contains_key(&trunk.sip_profile));
        assert!(trunk.source_addresses.iter().all(|network| network.prefix_len() > 0));
    }
    inert(&json!(compiled.platform));
    compiled.tenants.iter().for_each(|(_, plan)| inert(&json!(plan)));
}

fn rule_trunks(rule: &DialRuleRow) -> &[String] {
    match &rule.action {
        DialActionRow::Block => &[],
        DialActionRow::Route { trunks } => trunks,
    }
}

/// Every unique identifier has one holder.
fn one_holder_each(compiled: &CompiledPlans, kept: &[LastGoodRow]) {
    let mut held = BTreeSet::new();
    for (key, plan) in &compiled.tenants {
        let mut hold = |what: String| assert!(held.insert(what.clone()), "two hold {what}");
        hold(format!("identity {}", plan.tenant.id));
        plan.tenant.domains.iter().for_each(|domain| hold(format!("domain {domain}")));
        plan.numbers.values().for_each(|row| hold(format!("number {}", row.number)));
        internal_numbers(plan).into_iter().for_each(|number| hold(format!("{key} {number}")));
        plan.feature_codes.values().for_each(|row| hold(format!("{key} {}", row.code)));
        // Another tenant may hold identifiers of a refused tenant by now.
        let is_kept = kept.iter().any(|kept| kept.resource == key.object());
        assert!(is_kept || !plan.tenant.domains.is_empty());
    }
}

fn internal_numbers(plan: &TenantPlan) -> Vec<&str> {
    fn of<T: Row>(rows: &Rows<T>) -> impl Iterator<Item = &str> {
        rows.values().filter_map(|row| row.number())
    }
    let numbers = of(&plan.extensions).chain(of(&plan.ring_groups)).chain(of(&plan.queues));
    numbers.chain(of(&plan.ivr_menus)).chain(of(&plan.conferences)).collect()
}

/// Every link by which a call leaves a resource, and whether the call follows it without a choice of the
/// caller.
fn links(plan: &TenantPlan) -> Vec<(Target, Target, bool)> {
    use DestinationKind::*;
    let from = |kind, name: &str| Target { kind, name: name.to_owned() };
    let mut links = Vec::new();
    for (name, row) in &plan.extensions {
        let ForwardingRow { always, busy, no_answer, unavailable } = &row.forwarding;
        let to = [always, busy, no_answer, unavailable].into_iter().flatten();
        links.extend(to.map(|to| (from(Extension, name), to.clone(), true)));
    }
    let ring_groups = plan.ring_groups.iter().map(|(name, row)| (from(RingGroup, name), &row.no_answer));
    let queues = plan.queues.iter().map(|(name, row)| (from(Queue, name), &row.overflow));
    let menus = plan.ivr_menus.iter().map(|(name, row)| (from(IvrMenu, name), &row.otherwise));
    let after = ring_groups.chain(queues).chain(menus);
    links.extend(after.filter_map(|(from, to)| Some((from, to.clone()?, true))));
    for (name, row) in &plan.ivr_menus {
        let to = [&row.no_input, &row.invalid_input].into_iter().flatten();
        links.extend(to.map(|to| (from(IvrMenu, name), to.clone(), true)));
        let chosen = row.options.iter().map(|option| (from(IvrMenu, name), option.target.clone(), false));
        links.extend(chosen);
    }
    for (name, row) in &plan.schedules {
        let overridden = row.overridden.as_ref().and_then(|row| row.target.as_ref());
        let to = [Some(&row.open), Some(&row.closed), row.holiday.as_ref(), overridden].into_iter().flatten();
        links.extend(to.map(|to| (from(Schedule, name), to.clone(), true)));
    }
    for row in plan.numbers.values().filter(|row| row.range.is_none()) {
        links.push((from(ExternalNumber, &row.number), row.target.clone(), true));
    }
    let view = TenantView::new(plan.clone());
    let called = links.iter().map(|(_, to, _)| to).filter(|to| to.kind == ExternalNumber);
    let in_block = called.filter_map(|to| {
        let (number, _, row) =
            view.own(&to.name).filter(|(_, _, row)| row.range.is_some() || row.number != to.name)?;
        Some((to.clone(), view.number_target(row, &number).clone(), true))
    });
    let in_block: Vec<_> = in_block.collect();
    links.extend(in_block);
    links
}

/// Every reference in a plan is to a resource in the same plan, or to an existing trunk.
fn references_exist(plan: &TenantPlan, platform: &PlatformPlan) {
    let view = TenantView::new(plan.clone());
    for (from, to, _) in links(plan) {
        let there = match to.kind {
            DestinationKind::Extension => plan.extensions.contains_key(&to.name),
            DestinationKind::RingGroup => plan.ring_groups.contains_key(&to.name),
            DestinationKind::Queue => plan.queues.contains_key(&to.name),
            DestinationKind::IvrMenu => plan.ivr_menus.contains_key(&to.name),
            DestinationKind::Conference => plan.conferences.contains_key(&to.name),
            DestinationKind::Schedule => plan.schedules.contains_key(&to.name),
            DestinationKind::Voicemail => {
                plan.extensions.get(&to.name).is_some_and(|row| row.voicemail.is_some())
            }
            DestinationKind::ExternalNumber => {
                view.own(&to.name).is_some()
                    || matches!(external(&view, platform, &to.name, Tracer::OFF), Decision::Out(_))
            }
        };
        assert!(there, "{from:?} leads to {to:?}, which does not exist");
    }
    for (name, group) in &plan.ring_groups {
        assert!(!group.members.is_empty(), "{name}");
        assert!(group.members.iter().all(|member| plan.extensions.contains_key(&member.extension)), "{name}");
    }
    for (name, queue) in &plan.queues {
        assert!(queue.agents.iter().all(|agent| plan.extensions.contains_key(&agent.extension)), "{name}");
    }
    for (name, route) in &plan.outbound_routes {
        assert!(!route.trunks.is_empty(), "{name}");
        assert!(route.trunks.iter().all(|trunk| platform.trunks.contains_key(trunk)), "{name}");
    }
    for (name, number) in &plan.numbers {
        let trunk = platform.trunks.get(&number.trunk).unwrap_or_else(|| panic!("{name}: no trunk"));
        assert!(!trunk.source_addresses.is_empty(), "{name}");
    }
    if let Some(emergency) = &plan.tenant.emergency {
        let trunks: Vec<&str> = emergency.trunks().collect();
        assert!(trunks.iter().all(|trunk| platform.trunks.contains_key(*trunk)));
        assert_eq!(trunks.iter().collect::<BTreeSet<_>>().len(), trunks.len(), "{trunks:?}");
    }
}

/// No call loops without a choice of the caller.
fn no_circles(plan: &TenantPlan) {
    let links: Vec<(Target, Target)> =
        links(plan).into_iter().filter(|link| link.2).map(|(from, to, _)| (from, to)).collect();
    let mut ways: BTreeMap<&Target, usize> = BTreeMap::new();
    let mut back: BTreeMap<&Target, Vec<&Target>> = BTreeMap::new();
    for (from, to) in &links {
        *ways.entry(from).or_default() += 1;
        ways.entry(to).or_default();
        back.entry(to).or_default().push(from);
    }
    // Removes resources that lead nowhere, then those that led only there: the rest are loops.
    let mut ends: Vec<&Target> = ways.iter().filter(|(_, count)| **count == 0).map(|(to, _)| *to).collect();
    while let Some(end) = ends.pop() {
        ways.remove(end);
        for from in back.remove(end).into_iter().flatten() {
            let count = ways.get_mut(from).unwrap();
            *count -= 1;
            if *count == 0 {
                ends.push(from);
            }
        }
    }
    assert!(ways.is_empty(), "calls go round: {ways:#?}");
}

/// No number hides an emergency number, and no pattern takes its calls.
fn emergency_is_free(plan: &TenantPlan, platform: &PlatformPlan) {
    let view = TenantView::new(plan.clone());
    for number in plan.tenant.emergency.iter().flat_map(|emergency| &emergency.numbers) {
        let decision = decide(&view, platform, &Caller::Extension("anybody".into()), number, Tracer::OFF);
        assert!(matches!(decision, Decision::Emergency { .. }), "{number}: {decision:?}");
        assert!(!internal_numbers(plan).contains(&number.as_str()));
    }
}

/// No extension dials what its resource does not allow, and no tenant exceeds its profile.
fn rights_are_not_kept(objects: &[Object], compiled: &CompiledPlans) {
    let object = |key: &ObjectKey| objects.iter().find(|object| object.key() == *key);
    for (tenant, plan) in &compiled.tenants {
        let key = |kind, name: &str| ObjectKey {
            kind,
            namespace: Some(tenant.namespace.clone()),
            name: name.to_owned(),
        };
        for (name, row) in &plan.extensions {
            let Some(Object::Extension(extension)) = object(&key(Kind::Extension, name)) else {
                panic!("{name}")
            };
            assert!(
                row.toll_classes.iter().all(|class| extension.spec.toll_classes.contains(class)),
                "{name}"
            );
        }
        for (name, row) in &plan.outbound_routes {
            let Some(Object::OutboundRoute(route)) = object(&key(Kind::OutboundRoute, name)) else {
                panic!("{name}")
            };
            assert!(route.spec.toll_class.is_none() || route.spec.toll_class == row.toll_class, "{name}");
        }
        let Some(Object::Tenant(of)) = object(&key(Kind::Tenant, &tenant.name)) else { panic!("{tenant}") };
        let profile = of.spec.profile_ref.as_ref().and_then(|reference| {
            let name = reference.name.clone();
            object(&ObjectKey { kind: Kind::TenantProfile, namespace: None, name })
        });
        let Some(Object::TenantProfile(profile)) = profile else { continue };
        for (most, count) in [
            (profile.spec.max_extensions, plan.extensions.len()),
            (profile.spec.max_devices, plan.devices.len()),
            (profile.spec.max_queues, plan.queues.len()),
            (profile.spec.max_numbers, plan.numbers.len()),
            (profile.spec.max_ring_groups, plan.ring_groups.len()),
        ] {
            assert!(most.is_none_or(|most| count <= usize::try_from(most).unwrap()), "{tenant}");
        }
    }
}

/// A resource is in the plan, or a problem says why not; a refused one is not in the plan, a degraded one is.
fn in_the_plan_or_explained(objects: &[Object], compiled: &CompiledPlans, kept: &[LastGoodRow]) {
    let planned = planned(compiled);
    let mut effects: BTreeMap<&ObjectKey, BTreeSet<Effect>> = BTreeMap::new();
    for problem in &compiled.problems {
        effects.entry(&problem.resource).or_default().insert(problem.effect);
    }
    for object in objects {
        let key = object.key();
        let effects = effects.get(&key).cloned().unwrap_or_default();
        let outside =
            [Kind::TenantProfile, Kind::MediaFile, Kind::Secret, Kind::Namespace].contains(&key.kind);
        let inside = planned.contains(&key);
        assert!(outside || inside || !effects.is_empty(), "no problem explains why {key} is not in the plan");
        let stays = kept.iter().any(|kept| kept.resource == key && matches!(kept.part, KeptPart::Whole(_)));
        assert!(
            !(inside && !stays && effects.contains(&Effect::Refused)),
            "{key} is refused and in the plan"
        );
        assert!(!stays || inside, "{key} stays, and is not in the plan");
        let waits = effects.contains(&Effect::Waiting) || effects.contains(&Effect::Refused);
        assert!(inside || outside || waits, "{key} lost more than a part: {effects:?}");
    }
    let known: BTreeSet<ObjectKey> = objects.iter().map(Object::key).collect();
    assert!(planned.is_subset(&known), "a row without a resource");
    for problem in &compiled.problems {
        assert!(known.contains(&problem.resource), "{problem}");
        assert!(!problem.field.is_empty() && !problem.message.is_empty(), "{problem:?}");
    }
}

fn planned(compiled: &CompiledPlans) -> BTreeSet<ObjectKey> {
    let mut keys = BTreeSet::new();
    let mut add = |kind: Kind, namespace: Option<&str>, names: Vec<&String>| {
        let namespace = namespace.map(str::to_owned);
        let key = |name: &String| ObjectKey { kind, namespace: namespace.clone(), name: name.clone() };
        keys.extend(names.into_iter().map(key));
    };
    let platform = &compiled.platform;
    add(Kind::SipProfile, None, platform.sip_profiles.keys().collect());
    add(Kind::DialRule, None, platform.dial_rules.keys().collect());
    for name in platform.trunks.keys() {
        let (namespace, name) = name.split_once('/').unwrap();
        add(Kind::Trunk, Some(namespace), vec![&name.to_owned()]);
    }
    for (key, plan) in &compiled.tenants {
        let namespace = Some(key.namespace.as_str());
        add(Kind::Tenant, namespace, vec![&key.name]);
        add(Kind::Extension, namespace, plan.extensions.keys().collect());
        add(Kind::Device, namespace, plan.devices.keys().collect());
        add(Kind::RingGroup, namespace, plan.ring_groups.keys().collect());
        add(Kind::Queue, namespace, plan.queues.keys().collect());
        add(Kind::IvrMenu, namespace, plan.ivr_menus.keys().collect());
        add(Kind::Conference, namespace, plan.conferences.keys().collect());
        add(Kind::Schedule, namespace, plan.schedules.keys().collect());
        add(Kind::Number, namespace, plan.numbers.keys().collect());
        add(Kind::OutboundRoute, namespace, plan.outbound_routes.keys().collect());
        add(Kind::FeatureCode, namespace, plan.feature_codes.keys().collect());
    }
    keys
}

/// No text of a plan contains anything that FreeSWITCH expands, splits or reads as a line.
pub fn inert(plan: &Value) {
    inert_at("", plan);
}

fn inert_at(path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                inert_text(path, key);
                let path = format!("{path}.{key}");
                // Text for people is free: `tests/inert.rs` proves what becomes of it.
                match key.as_str() {
                    "displayName" | "callerIdPrefix" | "callerId" | "address" | "label" => {
                        printable(&path, value)
                    }
                    "name" if path.ends_with(".holidays.name") => printable(&path, value),
                    // A phone gets these, and no switch: `tests/provision.rs` proves what becomes of them.
                    "settings" => {
                        value.as_object().into_iter().flatten().for_each(|(_, value)| printable(&path, value))
                    }
                    _ => inert_at(&path, value),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| inert_at(path, item)),
        Value::String(text) => inert_text(path, text),
        _ => {}
    }
}

fn printable(path: &str, value: &Value) {
    match value {
        Value::Object(map) => map.values().for_each(|value| printable(path, value)),
        Value::String(text) => {
            assert!(!text.contains(char::is_control), "{path}: {text:?}");
            assert!(!text.to_ascii_lowercase().contains("x-pre-process"), "{path}: {text:?}");
        }
        _ => {}
    }
}

fn inert_text(path: &str, text: &str) {
    let harmful = |c: char| c.is_control() || "\"'`<>\\,[]{}|$;^".contains(c);
    assert!(!text.contains(harmful), "{path}: {text:?}");
    assert!(!text.to_ascii_lowercase().contains("x-pre-process"), "{path}: {text:?}");
}
