//! The platform's rows: SIP profiles, trunks, dial rules.

use super::countries::{unknown_country, unknown_country_of};
use std::net::{IpAddr, Ipv4Addr};

use super::claims::Claims;
use super::platform_last_good::PlatformLastGood;
use super::problem::{Effect, Problem, Reason};
use super::sources::Sources;
use super::trunk::trunk_row;
use super::{Compiled, patterns};
use crate::plan::*;
use crate::resources::Kind;
use crate::resources::common::DigitMatch;
use crate::resources::dial_rule::DialActionKind;
use crate::resources::{DialRule, SipProfile, Trunk};
use crate::source::object::created;
use crate::source::{ObjectKey, PlatformSnapshot};

/// Codecs of a SIP profile whose spec names none.
const DEFAULT_CODECS: [&str; 4] = ["OPUS", "G722", "PCMA", "PCMU"];

/// Compiles the resources that belong to no tenant, without previous rows.
pub fn platform(snapshot: &PlatformSnapshot, claims: &Claims) -> Compiled<PlatformPlan> {
    platform_after(snapshot, claims, None)
}

/// Like [`platform`], with the rows that are in force: the previous row of a resource that became invalid
/// by mistake stays in force.
pub fn platform_after(
    snapshot: &PlatformSnapshot,
    claims: &Claims,
    before: Option<&InForce<PlatformPlan>>,
) -> Compiled<PlatformPlan> {
    let mut problems = Vec::new();
    let mut plan = PlatformPlan::default();
    let mut last_good = PlatformLastGood::new(before);
    let bound = sip_profiles(snapshot, &mut plan, &mut problems);
    last_good.sip_profiles(snapshot, bound, &mut plan, &problems);
    let mut trunks: Vec<(ObjectKey, &Trunk)> =
        snapshot.trunks.iter().map(|trunk| (trunk_key(trunk), &**trunk)).collect();
    trunks.sort_by_cached_key(|(key, trunk)| (created(&trunk.metadata), key.clone()));
    let mut sources = Sources::default();
    for (key, trunk) in trunks {
        let row = trunk_row(trunk, &key, snapshot, &plan, &sources, &mut problems);
        if let Some(mut row) = last_good.trunk(trunk, &key, row, (snapshot, &plan), &problems) {
            // A previous row may have addresses that an older Trunk holds now.
            row.source_addresses.retain(|network| sources.holder(&key, *network).is_none());
            sources.claim(&key, &row.source_addresses);
            plan.trunks.insert(trunk_name(key.namespace.as_deref().unwrap_or(""), &key.name), row);
        }
    }
    for rule in &snapshot.dial_rules {
        let name = rule.metadata.name.clone().unwrap_or_default();
        let row = dial_rule(rule, &name, claims, snapshot, &plan, &mut problems);
        if let Some(row) = row.or_else(|| last_good.dial_rule(rule, &name, &plan, &problems)) {
            plan.dial_rules.insert(name, row);
        }
    }
    report_overlapping_rules(snapshot, &plan, &mut problems);
    problems.sort();
    let mut kept = last_good.last_good_rows;
    kept.sort();
    Compiled { plan, problems, kept }
}

/// The name of a trunk in plans: `namespace/name`.
pub(super) fn trunk_name(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn trunk_key(trunk: &Trunk) -> ObjectKey {
    ObjectKey {
        kind: Kind::Trunk,
        namespace: trunk.metadata.namespace.clone(),
        name: trunk.metadata.name.clone().unwrap_or_default(),
    }
}

/// A port that a profile binds: address (`None` when FreeSWITCH chooses it), port, and name of the profile.
pub(super) type BoundPort = (Option<IpAddr>, i32, String);

/// Compiles SIP profiles, the oldest first, and returns the ports they bind. Of two profiles that bind one
/// port of one address the younger is refused, because Sofia could not start both.
fn sip_profiles(
    snapshot: &PlatformSnapshot,
    plan: &mut PlatformPlan,
    problems: &mut Vec<Problem>,
) -> Vec<BoundPort> {
    let mut by_age: Vec<&SipProfile> = snapshot.sip_profiles.iter().map(|profile| &**profile).collect();
    by_age.sort_by_key(|profile| (created(&profile.metadata), profile.metadata.name.clone()));
    let mut bound: Vec<BoundPort> = Vec::new();
    for profile in by_age {
        let spec = &profile.spec;
        let name = profile.metadata.name.clone().unwrap_or_default();
        let key = ObjectKey { kind: Kind::SipProfile, namespace: None, name: name.clone() };
        let address: Option<IpAddr> = match spec.bind_address.as_deref().map(str::parse).transpose() {
            Ok(address) => address,
            Err(_) => {
                let message =
                    format!("{} is no IP address", spec.bind_address.as_deref().unwrap_or_default());
                problems.push(Problem::refused(key, "spec.bindAddress", Reason::InvalidValue, message));
                continue;
            }
        };
        let sockets = sockets(address, (spec.sip_port, spec.tls_port, spec.ws_port));
        let taken = sockets.iter().find_map(|(field, address, port)| {
            let holder =
                bound.iter().find(|(other, held, _)| held == port && addresses_overlap(*other, *address))?;
            Some((*field, *port, holder.2.clone()))
        });
        if let Some((field, port, holder)) = taken {
            let message = format!("port {port} is taken by SipProfile {holder}");
            let holder = ObjectKey { kind: Kind::SipProfile, namespace: None, name: holder };
            let problem = Problem::refused(key, format!("spec.{field}"), Reason::Conflict, message);
            problems.push(problem.held_by(holder));
            continue;
        }
        bound.extend(sockets.into_iter().map(|(_, address, port)| (address, port, name.clone())));
        let codecs = if spec.codecs.is_empty() {
            DEFAULT_CODECS.map(str::to_owned).to_vec()
        } else {
            spec.codecs.clone()
        };
        let row = SipProfileRow {
            role: spec.role,
            bind_address: spec.bind_address.clone(),
            external_address: spec.external_address.clone(),
            sip_port: spec.sip_port,
            tls_port: spec.tls_port,
            ws_port: spec.ws_port,
            codecs,
            update_policy: spec.update_policy.unwrap_or_default(),
        };
        plan.sip_profiles.insert(name, row);
    }
    bound
}

/// The sockets of a profile, from its address and its ports for SIP, TLS and WebSocket: the field, the address and the
/// port of each.
pub(super) fn sockets(
    address: Option<IpAddr>,
    (sip, tls, ws): (i32, Option<i32>, Option<i32>),
) -> Vec<(&'static str, Option<IpAddr>, i32)> {
    let loopback = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let all = [("sipPort", address, Some(sip)), ("tlsPort", address, tls), ("wsPort", loopback, ws)];
    all.into_iter().filter_map(|(field, address, port)| Some((field, address, port?))).collect()
}

/// Whether one port cannot be bound on both addresses: they are equal, or one is the wildcard address.
/// `None` is the address that FreeSWITCH chooses, which is unknown here and never loopback.
pub(super) fn addresses_overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(address), None) | (None, Some(address)) => address.is_unspecified(),
        (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
    }
}

/// Reports rules of one phase and priority that match some number alike and have different actions: their
/// order should be explicit. Both stay in force, so that no blocked number opens.
fn report_overlapping_rules(snapshot: &PlatformSnapshot, plan: &PlatformPlan, problems: &mut Vec<Problem>) {
    let mut by_age: Vec<&DialRule> = snapshot.dial_rules.iter().map(|rule| &**rule).collect();
    by_age.sort_by_key(|rule| (created(&rule.metadata), rule.metadata.name.clone()));
    let named = |rule: &DialRule| {
        let name = rule.metadata.name.clone().unwrap_or_default();
        Some((plan.dial_rules.get(&name)?, name))
    };
    let rules: Vec<_> = by_age.into_iter().filter_map(named).collect();
    for (index_of_rule, (rule, name)) in rules.iter().enumerate() {
        let older = rules.iter().take(index_of_rule).find_map(|(other, holder)| {
            let alike = (other.phase, other.priority) == (rule.phase, rule.priority);
            if !alike || other.action == rule.action {
                return None;
            }
            let meets =
                |mine: &DigitMatch| other.matches.iter().any(|theirs| patterns::overlap(mine, theirs));
            Some((rule.matches.iter().position(meets)?, holder))
        });
        if let Some((index, holder)) = older {
            let key = ObjectKey { kind: Kind::DialRule, namespace: None, name: name.clone() };
            let message = format!(
                "it overlaps with DialRule {holder}, which has the same phase and priority {}: rules that block come first, then the first by name; give one another priority",
                rule.priority
            );
            problems.push(Problem::degraded(key, format!("spec.match[{index}]"), Reason::Conflict, message));
        }
    }
}

fn dial_rule(
    rule: &DialRule,
    name: &str,
    claims: &Claims,
    snapshot: &PlatformSnapshot,
    plan: &PlatformPlan,
    problems: &mut Vec<Problem>,
) -> Option<DialRuleRow> {
    let key = ObjectKey { kind: Kind::DialRule, namespace: None, name: name.to_owned() };
    let spec = &rule.spec;
    if let Some((field, code)) = unknown_country_of(&spec.matches) {
        let field = format!("spec.{field}");
        problems.push(Problem::refused(key, field, Reason::InvalidValue, unknown_country(code)));
        return None;
    }
    for (index, matches) in spec.matches.iter().enumerate() {
        let field = format!("spec.match[{index}]");
        if !patterns::possible(matches) {
            problems.push(Problem::refused(key, field, Reason::InvalidValue, patterns::IMPOSSIBLE));
            return None;
        }
        // The rule stays in force for all other numbers: a tenant's list of emergency numbers must not
        // remove a rule of the platform.
        if let Some(number) =
            patterns::shadows(matches, claims.emergency_numbers().iter().map(String::as_str))
        {
            let message = format!(
                "it matches {number}, an emergency number of a tenant: the rule does not apply to calls to it"
            );
            let field = format!("{field}.prefix");
            problems.push(Problem::noted(key.clone(), field, Reason::EmergencyShadowed, message));
        }
    }
    let action = match spec.action.kind {
        DialActionKind::Block => DialActionRow::Block,
        DialActionKind::Route => {
            let (mut trunks, mut broken) = (Vec::new(), Vec::new());
            for (index, reference) in spec.action.trunks.iter().enumerate() {
                let field = format!("spec.action.trunks[{index}]");
                let Some(namespace) = &reference.namespace else {
                    let message = "a dial rule has no namespace of its own; name the trunk's";
                    let field = format!("{field}.namespace");
                    problems.push(Problem::refused(key, field, Reason::InvalidValue, message));
                    return None;
                };
                let trunk = trunk_name(namespace, &reference.name);
                if plan.trunks.contains_key(&trunk) {
                    trunks.push(trunk);
                    continue;
                }
                let exists = snapshot.trunks.iter().any(|other| {
                    other.metadata.namespace.as_ref() == Some(namespace)
                        && other.metadata.name.as_ref() == Some(&reference.name)
                });
                let (reason, message) = if exists {
                    (Reason::RefRefused, format!("Trunk {trunk} is refused itself"))
                } else {
                    (Reason::RefNotFound, format!("there is no Trunk {trunk}"))
                };
                let trunk = ObjectKey {
                    kind: Kind::Trunk,
                    namespace: Some(namespace.clone()),
                    name: reference.name.clone(),
                };
                broken.push(Problem::degraded(key.clone(), field, reason, message).about(trunk));
            }
            if trunks.is_empty() {
                problems.extend(broken.into_iter().map(|p| Problem { effect: Effect::Refused, ..p }).take(1));
                return None;
            }
            problems.extend(broken);
            DialActionRow::Route { trunks }
        }
    };
    Some(DialRuleRow { phase: spec.phase, priority: spec.priority, matches: spec.matches.clone(), action })
}
