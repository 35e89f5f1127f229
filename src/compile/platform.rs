//! The platform's rows: SIP profiles, trunks, dial rules.

use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::claims::Claims;
use super::problem::{Problem, Reason};
use super::secrets::{Unusable, password};
use super::{Compiled, countries, patterns};
use crate::plan::*;
use crate::resources::common::NumberFormat;
use crate::resources::dial_rule::DialActionKind;
use crate::resources::sip_profile::Role;
use crate::resources::{DialRule, SipProfile, Trunk};
use crate::source::object::created;
use crate::source::{ObjectKey, PlatformSnapshot};

/// Codecs of a SIP profile that names none.
const DEFAULT_CODECS: [&str; 4] = ["OPUS", "G722", "PCMA", "PCMU"];

/// Compiles what belongs to no tenant.
pub fn platform(snapshot: &PlatformSnapshot, claims: &Claims) -> Compiled<PlatformPlan> {
    let mut problems = Vec::new();
    let mut plan = PlatformPlan::default();
    sip_profiles(snapshot, &mut plan, &mut problems);
    for trunk in &snapshot.trunks {
        let key = trunk_key(trunk);
        if let Some(row) = trunk_row(trunk, &key, snapshot, &plan, &mut problems) {
            plan.trunks.insert(trunk_name(key.namespace.as_deref().unwrap_or(""), &key.name), row);
        }
    }
    for rule in &snapshot.dial_rules {
        let name = rule.metadata.name.clone().unwrap_or_default();
        if let Some(row) = dial_rule(rule, &name, claims, &plan, &mut problems) {
            plan.dial_rules.insert(name, row);
        }
    }
    problems.sort();
    Compiled { plan, problems }
}

/// The name of a trunk in plans.
pub(super) fn trunk_name(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn trunk_key(trunk: &Trunk) -> ObjectKey {
    ObjectKey {
        kind: "Trunk",
        namespace: trunk.metadata.namespace.clone(),
        name: trunk.metadata.name.clone().unwrap_or_default(),
    }
}

/// Profiles in order of age: two that would bind one port of one address cannot both start.
fn sip_profiles(snapshot: &PlatformSnapshot, plan: &mut PlatformPlan, problems: &mut Vec<Problem>) {
    let mut by_age: Vec<&SipProfile> = snapshot.sip_profiles.iter().map(|profile| &**profile).collect();
    by_age.sort_by_key(|profile| (created(&profile.metadata), profile.metadata.name.clone()));
    let mut bound: Vec<(Option<IpAddr>, i32, String)> = Vec::new();
    for profile in by_age {
        let spec = &profile.spec;
        let name = profile.metadata.name.clone().unwrap_or_default();
        let key = ObjectKey { kind: "SipProfile", namespace: None, name: name.clone() };
        let address: Option<IpAddr> = match spec.bind_address.as_deref().map(str::parse).transpose() {
            Ok(address) => address,
            Err(_) => {
                let message =
                    format!("{} is no IP address", spec.bind_address.as_deref().unwrap_or_default());
                problems.push(Problem::refused(key, "spec.bindAddress", Reason::InvalidValue, message));
                continue;
            }
        };
        let ports =
            [("sipPort", Some(spec.sip_port)), ("tlsPort", spec.tls_port), ("wssPort", spec.wss_port)];
        let ports: Vec<(&str, i32)> =
            ports.into_iter().filter_map(|(field, port)| Some((field, port?))).collect();
        let taken = ports.iter().find_map(|(field, port)| {
            let holder = bound.iter().find(|(other, held, _)| held == port && meet(*other, address))?;
            Some((*field, *port, holder.2.clone()))
        });
        if let Some((field, port, holder)) = taken {
            let message = format!("port {port} is taken by SipProfile {holder}");
            problems.push(Problem::refused(key, format!("spec.{field}"), Reason::Conflict, message));
            continue;
        }
        bound.extend(ports.into_iter().map(|(_, port)| (address, port, name.clone())));
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
            wss_port: spec.wss_port,
            codecs,
        };
        plan.sip_profiles.insert(name, row);
    }
}

/// Whether one port can be bound on one of two addresses only: on the same address, and where one
/// stands for all addresses of the switch. Which one the switch chooses by itself is not known
/// here; it is never loopback.
fn meet(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(address), None) | (None, Some(address)) => address.is_unspecified(),
        (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
    }
}

fn trunk_row(
    trunk: &Trunk,
    key: &ObjectKey,
    snapshot: &PlatformSnapshot,
    plan: &PlatformPlan,
    problems: &mut Vec<Problem>,
) -> Option<TrunkRow> {
    let spec = &trunk.spec;
    let mut refuse = |field: &str, reason, message: String| {
        problems.push(Problem::refused(key.clone(), field, reason, message));
    };
    let profile = &spec.sip_profile_ref.name;
    match plan.sip_profiles.get(profile).map(|row| row.role) {
        Some(Role::Trunks) => {}
        Some(Role::Phones) => {
            let message = format!("SipProfile {profile} is for phones; name one of role Trunks");
            refuse("spec.sipProfileRef.name", Reason::InvalidValue, message);
            return None;
        }
        None => {
            let exists = snapshot.sip_profiles.iter().any(|p| p.metadata.name.as_ref() == Some(profile));
            let (reason, message) = if exists {
                (Reason::RefRefused, format!("SipProfile {profile} is refused itself"))
            } else {
                (Reason::RefNotFound, format!("there is no SipProfile {profile}"))
            };
            refuse("spec.sipProfileRef.name", reason, message);
            return None;
        }
    }
    let mut source_addresses = Vec::new();
    for (index, text) in spec.source_addresses.iter().enumerate() {
        let field = format!("spec.sourceAddresses[{index}]");
        match network(text) {
            Some(net) if net.prefix_len() > 0 => source_addresses.push(net),
            Some(_) => {
                let message = format!("{text} is every address there is; name the carrier's networks");
                refuse(&field, Reason::InvalidValue, message);
                return None;
            }
            None => {
                refuse(&field, Reason::InvalidValue, format!("{text} is no IP address and no network"));
                return None;
            }
        }
    }
    source_addresses.extend(spec.gateways.iter().filter_map(|gateway| network(&gateway.host)));
    source_addresses.sort();
    source_addresses.dedup();
    let number_format = spec.number_format.unwrap_or_default();
    let national = match (number_format, spec.country.as_deref()) {
        (NumberFormat::National, Some(country)) => match countries::dialling(country) {
            Some(dialling) => Some(dialling),
            None => {
                let known = countries::known();
                let message = format!(
                    "how numbers are dialled in {country} is not known; use numberFormat E164, or one of {known}"
                );
                refuse("spec.country", Reason::InvalidValue, message);
                return None;
            }
        },
        _ => None,
    };
    let Some(id) = trunk.metadata.uid.as_deref().and_then(|uid| Uuid::parse_str(uid).ok()) else {
        refuse("metadata.uid", Reason::InvalidValue, "the UID must be a UUID".to_owned());
        return None;
    };
    let mut secrets = Secrets::default();
    let namespace = key.namespace.clone().unwrap_or_default();
    let registration = spec.registration.as_ref().and_then(|registration| {
        let secret = snapshot.secrets.get(&(namespace, registration.secret_ref.name.clone()));
        let field = "spec.registration.secretRef";
        match password(secret.map(|secret| &**secret), &registration.secret_ref, "password") {
            Ok(password) => {
                secrets.insert("password", password);
                Some(RegistrationRow {
                    username: registration.username.clone(),
                    realm: registration.realm.clone(),
                    expiry_seconds: registration.expiry_seconds.unwrap_or(600),
                })
            }
            Err(Unusable::Missing(why)) => {
                problems.push(Problem::waiting(key.clone(), field, Reason::CredentialsPending, why));
                None
            }
            Err(Unusable::Invalid(why)) => {
                problems.push(Problem::degraded(key.clone(), field, Reason::InvalidSecret, why));
                None
            }
        }
    });
    Some(TrunkRow {
        id,
        sip_profile: profile.clone(),
        gateways: spec
            .gateways
            .iter()
            .map(|gateway| GatewayRow {
                host: gateway.host.clone(),
                port: gateway.port.unwrap_or(5060),
                transport: gateway.transport.unwrap_or_default(),
            })
            .collect(),
        registration,
        source_addresses,
        codecs: spec.codecs.clone(),
        max_concurrent_calls: spec.max_concurrent_calls,
        number_format,
        national,
        progress_timeout_seconds: spec.progress_timeout_seconds.unwrap_or(8),
        secrets,
    })
}

/// A network in CIDR form, or a single address as one.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
        .map(|net| net.trunc())
}

fn dial_rule(
    rule: &DialRule,
    name: &str,
    claims: &Claims,
    plan: &PlatformPlan,
    problems: &mut Vec<Problem>,
) -> Option<DialRuleRow> {
    let key = ObjectKey { kind: "DialRule", namespace: None, name: name.to_owned() };
    let spec = &rule.spec;
    for (index, matches) in spec.matches.iter().enumerate() {
        let field = format!("spec.match[{index}]");
        if !patterns::possible(matches) {
            problems.push(Problem::refused(key, field, Reason::InvalidValue, patterns::IMPOSSIBLE));
            return None;
        }
        // The rule stays in force for everything else: a tenant's list of emergency numbers must
        // not take a rule of the platform away.
        if let Some(number) = patterns::shadows(matches, claims.emergency_numbers().iter()) {
            let message =
                format!("it matches {number}, an emergency number of a tenant, whose calls pass it by");
            let field = format!("{field}.prefix");
            problems.push(Problem::degraded(key.clone(), field, Reason::EmergencyShadowed, message));
        }
    }
    let action = match spec.action.kind {
        DialActionKind::Block => DialActionRow::Block,
        DialActionKind::Route => {
            let mut trunks = Vec::new();
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
                } else {
                    let message = format!("there is no usable Trunk {trunk}");
                    problems.push(Problem::degraded(key.clone(), field, Reason::RefNotFound, message));
                }
            }
            if trunks.is_empty() {
                let message = "none of its trunks can be used";
                problems.push(Problem::refused(key, "spec.action.trunks", Reason::RefNotFound, message));
                return None;
            }
            DialActionRow::Route { trunks }
        }
    };
    Some(DialRuleRow { phase: spec.phase, priority: spec.priority, matches: spec.matches.clone(), action })
}
