//! Trunks: gateways, registration, source addresses and number format.

use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::countries::unknown_country;
use super::platform_last_good::least;
use super::problem::{Problem, Reason};
use super::secrets::{SecretError, password};
use super::sources::Sources;
use crate::numbers::Country;
use crate::plan::SecretName;
use crate::plan::{GatewayRow, PlatformPlan, RegistrationRow, Secrets, TrunkRow};
use crate::resources::Kind;
use crate::resources::Trunk;
use crate::resources::common::Transport;
use crate::resources::sip_profile::Role;
use crate::resources::trunk::Gateway;
use crate::source::{ObjectKey, PlatformSnapshot};

/// The row of a trunk; `None` when the trunk is refused. The plan must hold the SIP profiles already, and
/// `sources` the addresses of older trunks.
pub fn trunk_row(
    trunk: &Trunk,
    key: &ObjectKey,
    snapshot: &PlatformSnapshot,
    plan: &PlatformPlan,
    sources: &Sources,
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
            let profile = ObjectKey { kind: Kind::SipProfile, namespace: None, name: profile.clone() };
            let problem = Problem::refused(key.clone(), "spec.sipProfileRef.name", reason, message);
            problems.push(problem.about(profile));
            return None;
        }
    }
    let mut hosts = spec.gateways.iter().map(|gateway| &gateway.host).enumerate();
    if let Some((index, host)) = hosts.find(|(_, host)| !is_host(host)) {
        let message = format!(
            "{host} is no name of a host and no IP address; a port goes into spec.gateways[{index}].port"
        );
        refuse(&format!("spec.gateways[{index}].host"), Reason::InvalidValue, message);
        return None;
    }
    let wrong = |(index, gateway)| Some((index, unusable_host(gateway)?));
    if let Some((index, why)) = spec.gateways.iter().enumerate().find_map(wrong) {
        let message = format!("{}: {why}", spec.gateways[index].host);
        refuse(&format!("spec.gateways[{index}].host"), Reason::InvalidValue, message);
        return None;
    }
    let number_format = spec.number_format.unwrap_or_default();
    if let Some(country) = spec.country.as_deref().filter(|code| Country::by_code(code).is_none()) {
        refuse("spec.country", Reason::InvalidValue, unknown_country(country));
        return None;
    }
    let Some(id) = trunk.metadata.uid.as_deref().and_then(|uid| Uuid::parse_str(uid).ok()) else {
        refuse("metadata.uid", Reason::InvalidValue, "the UID must be a UUID".to_owned());
        return None;
    };
    let source_addresses = source_addresses(trunk, key, sources, problems);
    let mut secrets = Secrets::default();
    let field = "spec.registration.secretRef";
    let registration = match registration(trunk, snapshot) {
        Ok(None) => None,
        Ok(Some((registration, password))) => {
            secrets.insert(SecretName::Password, password);
            Some(registration)
        }
        Err(SecretError::Missing { secret, why }) => {
            let secret = ObjectKey { kind: Kind::Secret, namespace: key.namespace.clone(), name: secret };
            let problem = Problem::waiting(key.clone(), field, Reason::CredentialsPending, why);
            problems.push(problem.about(secret));
            None
        }
        Err(SecretError::Invalid(why)) => {
            problems.push(Problem::degraded(key.clone(), field, Reason::InvalidSecret, why));
            None
        }
    };
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
        country: spec.country.clone(),
        progress_timeout_seconds: spec.progress_timeout_seconds.unwrap_or(8),
        ping_seconds: spec.ping_seconds,
        secrets,
    })
}

/// The registration of a trunk with its password; `None` for a trunk without one.
fn registration(
    trunk: &Trunk,
    snapshot: &PlatformSnapshot,
) -> Result<Option<(RegistrationRow, String)>, SecretError> {
    let Some(spec) = &trunk.spec.registration else { return Ok(None) };
    let namespace = trunk.metadata.namespace.clone().unwrap_or_default();
    let secret = snapshot.secrets.get(&(namespace, spec.secret_ref.name.clone()));
    let password = password(secret.map(|secret| &**secret), &spec.secret_ref, "password")?;
    let row = RegistrationRow {
        username: spec.username.clone(),
        realm: spec.realm.clone(),
        expiry_seconds: spec.expiry_seconds.unwrap_or(600),
    };
    Ok(Some((row, password)))
}

/// The previous row of a trunk that is refused by mistake, limited to what its spec still allows: only
/// networks that the spec still names, no more calls than its present limit, and its present registration.
/// `None` when the row's SIP profile is missing.
pub fn last_good_trunk_row(
    trunk: &Trunk,
    before: &TrunkRow,
    snapshot: &PlatformSnapshot,
    plan: &PlatformPlan,
) -> Option<TrunkRow> {
    plan.sip_profiles.get(&before.sip_profile).filter(|profile| profile.role == Role::Trunks)?;
    let mut row = before.clone();
    row.max_concurrent_calls = least(row.max_concurrent_calls, trunk.spec.max_concurrent_calls);
    let declared: Vec<IpNet> = trunk.spec.source_addresses.iter().filter_map(|text| network(text)).collect();
    let gateways: Vec<IpNet> = row.gateways.iter().filter_map(|gateway| network(&gateway.host)).collect();
    row.source_addresses.retain(|net| declared.contains(net) || gateways.contains(net));
    match registration(trunk, snapshot) {
        Ok(Some((registration, password))) => {
            row.registration = Some(registration);
            row.secrets.insert(SecretName::Password, password);
        }
        Ok(None) | Err(SecretError::Missing { .. }) => {
            row.registration = None;
            row.secrets.remove(SecretName::Password);
        }
        Err(SecretError::Invalid(_)) => {}
    }
    Some(row)
}

/// The source networks of a trunk. An invalid address degrades the trunk and does not refuse it: outbound
/// and emergency calls still leave by it.
fn source_addresses(
    trunk: &Trunk,
    key: &ObjectKey,
    sources: &Sources,
    problems: &mut Vec<Problem>,
) -> Vec<IpNet> {
    let mut addresses = Vec::new();
    let mut claim = |field: String, net: IpNet, problems: &mut Vec<Problem>| match sources.holder(key, net) {
        None => addresses.push(net),
        Some(holder) => {
            let message = format!(
                "calls from {net} are those of a Trunk in another namespace; Trunks of one carrier stand in one namespace, and allow others by spec.allowedNamespaces"
            );
            let problem = Problem::degraded(key.clone(), field, Reason::Conflict, message);
            problems.push(problem.held_by(holder.clone()));
        }
    };
    for (index, text) in trunk.spec.source_addresses.iter().enumerate() {
        let field = format!("spec.sourceAddresses[{index}]");
        let message = match network(text) {
            Some(net) if net.prefix_len() >= shortest_prefix(&net) => {
                claim(field, net, problems);
                continue;
            }
            Some(net) => format!(
                "{text} is too wide a network to be a carrier's; name networks of /{} or longer prefixes",
                shortest_prefix(&net)
            ),
            None => format!("{text} is no IP address and no network"),
        };
        problems.push(Problem::degraded(key.clone(), field, Reason::InvalidValue, message));
    }
    for (index, gateway) in trunk.spec.gateways.iter().enumerate() {
        if let Some(net) = network(&gateway.host) {
            claim(format!("spec.gateways[{index}].host"), net, problems);
        }
    }
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Shortest prefix that is accepted as a carrier's: regional registries allocated no larger network to one
/// holder.
fn shortest_prefix(net: &IpNet) -> u8 {
    match net {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 16,
    }
}

/// Why a gateway's host cannot be a carrier, if it cannot. Programs on the switch's own host listen on TCP
/// (event socket, Centrex, Postgres), so loopback is allowed over UDP only, for a SIP proxy. DNS names are
/// not resolved here.
fn unusable_host(gateway: &Gateway) -> Option<&'static str> {
    let address = gateway.host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let own = match address {
        Some(address) => address.is_loopback(),
        None => {
            let name = gateway.host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    };
    if own && gateway.transport.unwrap_or_default() != Transport::Udp {
        return Some(
            "over TCP or TLS this leads to other programs of the switch; a proxy on the switch's host needs transport UDP",
        );
    }
    let nowhere = address.is_some_and(|address| match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    });
    let of_many = address.is_some_and(|address| address.is_unspecified() || address.is_multicast());
    (nowhere || of_many).then_some(
        "no carrier has this address; allowed are addresses of one host, and not of one link alone",
    )
}

/// Whether text is an IP address or a host name. A name needs a letter, so that a misspelt address is no
/// name.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && !label.contains(':');
    text.parse::<IpAddr>().is_ok()
        || (text.split('.').all(is_label) && text.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// Parses a network in CIDR form, or a single address as a network of one.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
        .map(|net| net.trunc())
}
