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
use crate::plan::{GatewayRow, PlatformPlan, ProxyRow, RegistrationRow, Secrets, TrunkRow};
use crate::resources::Kind;
use crate::resources::Trunk;
use crate::resources::common::{SecretKeyRef, Transport};
use crate::resources::sip_profile::Role;
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
    if let Some((field, message)) = hosts(trunk).find_map(|host| Some((host.field.clone(), host.wrong()?))) {
        refuse(&field, Reason::InvalidValue, message);
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
    if plan.sip_profiles.get(profile).is_some_and(|profile| profile.tls_port.is_none()) {
        let gateways = spec.gateways.iter().enumerate();
        for (index, _) in gateways.filter(|(_, gateway)| gateway.transport == Some(Transport::Tls)) {
            let message = format!(
                "calls by this gateway fail: FreeSWITCH uses TLS once SipProfile {profile} has spec.tlsPort"
            );
            let field = format!("spec.gateways[{index}].transport");
            problems.push(Problem::degraded(key.clone(), field, Reason::InvalidValue, message));
        }
    }
    let source_addresses = source_addresses(trunk, key, sources, problems);
    let mut secrets = Secrets::default();
    let field = match &spec.registration {
        Some(_) => "spec.registration.secretRef",
        None => "spec.credentials.secretRef",
    };
    let Login { registration, credentials } = match login(trunk, snapshot) {
        Ok(None) => Login::default(),
        Ok(Some((login, password))) => {
            secrets.insert(SecretName::Password, password);
            login
        }
        Err(SecretError::Missing { secret, why }) => {
            let secret = ObjectKey { kind: Kind::Secret, namespace: key.namespace.clone(), name: secret };
            let problem = Problem::waiting(key.clone(), field, Reason::CredentialsPending, why);
            problems.push(problem.about(secret));
            Login::default()
        }
        Err(SecretError::Invalid(why)) => {
            problems.push(Problem::degraded(key.clone(), field, Reason::InvalidSecret, why));
            Login::default()
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
                port: gateway.port,
                transport: gateway.transport.unwrap_or_default(),
                outbound_proxy: gateway
                    .outbound_proxy
                    .as_ref()
                    .map(|proxy| ProxyRow { host: proxy.host.clone(), port: proxy.port }),
            })
            .collect(),
        domain: spec.domain.clone(),
        registration,
        credentials,
        source_addresses,
        codecs: spec.codecs.clone(),
        max_concurrent_calls: spec.max_concurrent_calls,
        max_calls_per_second: spec.max_calls_per_second,
        inbound_number: spec.inbound_number,
        trusted_identity: spec.trusted_identity,
        identity: spec.identity.unwrap_or_default(),
        from: spec.from.unwrap_or_default(),
        user_phone: spec.user_phone.unwrap_or(false),
        number_format,
        country: spec.country.clone(),
        progress_timeout_seconds: spec.progress_timeout_seconds.unwrap_or(8),
        ping_seconds: spec.ping_seconds,
        secrets,
    })
}

/// How a trunk answers the carrier's challenges: by at most one of the two.
#[derive(Default)]
struct Login {
    registration: Option<RegistrationRow>,
    /// User name of a trunk that does not register.
    credentials: Option<String>,
}

/// The login of a trunk with its password; `None` for a trunk without one.
fn login(trunk: &Trunk, snapshot: &PlatformSnapshot) -> Result<Option<(Login, String)>, SecretError> {
    let namespace = trunk.metadata.namespace.clone().unwrap_or_default();
    let password_of = |reference: &SecretKeyRef| {
        let secret = snapshot.secrets.get(&(namespace.clone(), reference.name.clone()));
        password(secret.map(|secret| &**secret), reference, "password")
    };
    if let Some(spec) = &trunk.spec.registration {
        let password = password_of(&spec.secret_ref)?;
        let row = RegistrationRow {
            username: spec.username.clone(),
            auth_username: spec.auth_username.clone(),
            contact_user: spec.contact_user.clone(),
            realm: spec.realm.clone(),
            expiry_seconds: spec.expiry_seconds.unwrap_or(600),
        };
        return Ok(Some((Login { registration: Some(row), credentials: None }, password)));
    }
    let Some(spec) = &trunk.spec.credentials else { return Ok(None) };
    let password = password_of(&spec.secret_ref)?;
    Ok(Some((Login { registration: None, credentials: Some(spec.username.clone()) }, password)))
}

/// The previous row of a trunk that is refused by mistake, limited to what its spec still allows: only
/// networks that the spec still names, no more calls than its present limits, and its present login.
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
    row.max_calls_per_second = least(row.max_calls_per_second, trunk.spec.max_calls_per_second);
    let declared: Vec<IpNet> = trunk.spec.source_addresses.iter().filter_map(|text| network(text)).collect();
    let proxies = row.gateways.iter().filter_map(|gateway| Some(&gateway.outbound_proxy.as_ref()?.host));
    let hosts = row.gateways.iter().map(|gateway| &gateway.host).chain(proxies);
    let gateways: Vec<IpNet> = hosts.filter_map(|host| network(host)).collect();
    row.source_addresses.retain(|net| declared.contains(net) || gateways.contains(net));
    match login(trunk, snapshot) {
        Ok(Some((login, password))) => {
            (row.registration, row.credentials) = (login.registration, login.credentials);
            row.secrets.insert(SecretName::Password, password);
        }
        Ok(None) | Err(SecretError::Missing { .. }) => {
            (row.registration, row.credentials) = (None, None);
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
    for host in hosts(trunk).filter(|host| host.transport.is_some()) {
        if let Some(net) = network(host.name) {
            claim(host.field, net, problems);
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

/// A host that a trunk names.
struct Host<'a> {
    name: &'a str,
    field: String,
    /// How packets are carried to it; `None` for a name that is only in URIs.
    transport: Option<Transport>,
}

/// All hosts of a trunk.
fn hosts(trunk: &Trunk) -> impl Iterator<Item = Host<'_>> {
    let domain = trunk.spec.domain.iter();
    let domain = domain.map(|name| Host { name, field: "spec.domain".to_owned(), transport: None });
    let gateways = trunk.spec.gateways.iter().enumerate().flat_map(|(index, gateway)| {
        let transport = Some(gateway.transport.unwrap_or_default());
        let host = move |name, field: &str| Host {
            name,
            field: format!("spec.gateways[{index}].{field}"),
            transport,
        };
        let proxy = gateway.outbound_proxy.iter().map(move |proxy| host(&proxy.host, "outboundProxy.host"));
        std::iter::once(host(&gateway.host, "host")).chain(proxy)
    });
    domain.chain(gateways)
}

impl Host<'_> {
    /// Why it cannot be used, if it cannot.
    fn wrong(&self) -> Option<String> {
        if !is_host(self.name) {
            let port = match self.field.strip_suffix(".host") {
                Some(gateway) => format!("; a port goes into {gateway}.port"),
                None => String::new(),
            };
            return Some(format!("{} is no name of a host and no IP address{port}", self.name));
        }
        let why = unusable_host(self.name, self.transport?)?;
        Some(format!("{}: {why}", self.name))
    }
}

/// Why a host cannot be a carrier, if it cannot. Programs on the switch's own host listen on TCP (event
/// socket, Centrex, Postgres), so loopback is allowed over UDP only, for a SIP proxy. DNS names are not
/// resolved here.
fn unusable_host(host: &str, transport: Transport) -> Option<&'static str> {
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let own = match address {
        Some(address) => address.is_loopback(),
        None => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    };
    if own && transport != Transport::Udp {
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
