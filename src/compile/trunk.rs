//! Trunks: who brings and takes calls, from which addresses, and how numbers are written to them.

use crate::plan::SecretName;
use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::countries;
use super::platform_last_good::least;
use super::problem::{Problem, Reason};
use super::secrets::{SecretError, password};
use super::sources::Sources;
use crate::plan::{GatewayRow, PlatformPlan, RegistrationRow, Secrets, TrunkRow};
use crate::resources::Kind;
use crate::resources::Trunk;
use crate::resources::common::{NumberFormat, Transport};
use crate::resources::sip_profile::Role;
use crate::resources::trunk::Gateway;
use crate::source::{ObjectKey, PlatformSnapshot};

/// The row of a trunk; `None` when it is refused. The SIP profiles are in the plan already, and the
/// addresses of older trunks in `sources`.
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
    let wrong = |(index, gateway)| Some((index, no_carrier(gateway)?));
    if let Some((index, why)) = spec.gateways.iter().enumerate().find_map(wrong) {
        let message = format!("{}: {why}", spec.gateways[index].host);
        refuse(&format!("spec.gateways[{index}].host"), Reason::InvalidValue, message);
        return None;
    }
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
        national,
        progress_timeout_seconds: spec.progress_timeout_seconds.unwrap_or(8),
        ping_seconds: spec.ping_seconds,
        secrets,
    })
}

/// How a trunk registers, with its password; none when it does not.
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

/// A trunk's row from before, for a trunk that is refused by mistake: without the networks that it does not
/// trust any more, with no more calls than it allows now, and as it registers now. None where its SIP profile is not there.
pub fn trunk_row_from_before(
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

/// Where a trunk's calls come from. What is wrong is left out, rather than the trunk with all its
/// outbound and emergency calls.
fn source_addresses(
    trunk: &Trunk,
    key: &ObjectKey,
    sources: &Sources,
    problems: &mut Vec<Problem>,
) -> Vec<IpNet> {
    let mut addresses = Vec::new();
    let mut take = |field: String, net: IpNet, problems: &mut Vec<Problem>| match sources.holder(key, net) {
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
                take(field, net, problems);
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
            take(format!("spec.gateways[{index}].host"), net, problems);
        }
    }
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Shortest prefix of a carrier's network: the largest that registries gave to one network.
fn shortest_prefix(net: &IpNet) -> u8 {
    match net {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 16,
    }
}

/// Why no carrier can be where a gateway leads, if none can. What runs on the switch itself listens on TCP:
/// its event socket, Centrex, perhaps Postgres; a proxy beside it is reached over UDP. What a name
/// resolves to is not known here.
fn no_carrier(gateway: &Gateway) -> Option<&'static str> {
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

/// Whether text is an IP address, or a name that is none misspelt: labels with a letter among them.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && !label.contains(':');
    text.parse::<IpAddr>().is_ok()
        || (text.split('.').all(is_label) && text.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// A network in CIDR form, or a single address as one.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
        .map(|net| net.trunc())
}
