//! Gateways of trunks in sofia.conf.

use std::net::IpAddr;

use serde::Serialize;

use crate::plan::SecretName;
use crate::plan::{GatewayRow, PlatformPlan, TrunkRow};
use crate::resources::common::Transport;
use crate::resources::trunk::FromUser;
use crate::route::names;
use crate::secrets::signing_key::SigningKey;

/// A gateway. It sets no inbound variables, because a request that names a gateway gets its variables and its
/// context (contract §10.1).
#[derive(Serialize)]
pub(in crate::freeswitch) struct Gateway<'a> {
    pub name: String,
    /// What URIs have as host, and as port if there is one.
    pub proxy: String,
    /// Where packets go instead.
    pub next_hop: Option<NextHop>,
    pub realm: &'a str,
    pub from_domain: &'a str,
    pub transport: &'static str,
    pub register: bool,
    /// SIP user, as written in URIs; empty if the gateway has no password.
    pub username: String,
    /// User name for challenges.
    pub auth_username: &'a str,
    pub password: &'a str,
    /// User of the registered contact.
    pub contact_user: Option<&'a str>,
    /// Whether From has the caller's number, and not the user.
    pub caller_in_from: bool,
    /// Life of a registration in seconds.
    pub expiry: i32,
    /// Seconds between OPTIONS requests; `None` for none.
    pub ping: Option<i32>,
    pub context: &'static str,
}

/// Where packets to a gateway go. FreeSWITCH answers a challenge only if it comes from a host that it is
/// configured with (sofia_reg.c, `is_host_from_gateway`), and finds no host in a URI with a transport and
/// without a port: so the parameter `outbound-proxy` has no transport, and a variable of the calls has.
#[derive(Serialize)]
pub(in crate::freeswitch) struct NextHop {
    /// `sip:host` or `sip:host:port`.
    pub uri: String,
    /// The same with the transport, where that is not UDP.
    pub route: String,
}

/// The gateways of a profile: all, or only the named one.
pub(in crate::freeswitch) fn of_profile<'a>(
    platform: &'a PlatformPlan,
    profile: &str,
    only: Option<&str>,
    key: &SigningKey,
) -> Vec<Gateway<'a>> {
    let trunks = platform.trunks.values().filter(|trunk| trunk.sip_profile == profile);
    let all = trunks.flat_map(|trunk| {
        std::iter::zip(&trunk.gateways, key.gateway_names(trunk))
            .filter_map(|(row, name)| gateway(trunk, row, name))
    });
    all.filter(|gateway| only.is_none_or(|name| gateway.name == name)).collect()
}

/// One gateway; `None` if it should register but has no user name or password, which FreeSWITCH refuses.
fn gateway<'a>(trunk: &'a TrunkRow, row: &'a GatewayRow, name: String) -> Option<Gateway<'a>> {
    let registration = trunk.registration.as_ref();
    let password = trunk.secrets.get(SecretName::Password).filter(|password| !password.is_empty());
    if registration.is_some_and(|registration| registration.username.is_empty() || password.is_none()) {
        return None;
    }
    let username = registration.map(|registration| &registration.username).or(trunk.credentials.as_ref());
    let auth_username = registration.and_then(|registration| registration.auth_username.as_ref());
    let domain = trunk.domain.as_deref().unwrap_or(&row.host);
    let host = host_port(&row.host, row.port, row.transport);
    let next_hop = match &row.outbound_proxy {
        Some(proxy) => Some(host_port(&proxy.host, proxy.port, row.transport)),
        None => trunk.domain.as_ref().map(|_| host.clone()),
    };
    Some(Gateway {
        name,
        proxy: trunk.domain.as_deref().map_or(host, bracketed),
        next_hop: next_hop.map(|hop| NextHop::new(&hop, row.transport)),
        realm: registration.and_then(|registration| registration.realm.as_deref()).unwrap_or(domain),
        from_domain: domain,
        transport: name_of(row.transport),
        register: registration.is_some(),
        // A user may look like a mail address, and a URI has one `@`.
        username: username.map(|username| username.replace('@', "%40")).unwrap_or_default(),
        auth_username: auth_username.or(username).map(String::as_str).unwrap_or_default(),
        password: username.and(password).unwrap_or_default(),
        contact_user: registration.and_then(|registration| registration.contact_user.as_deref()),
        caller_in_from: trunk.from == FromUser::Caller,
        expiry: registration.map_or(0, |registration| registration.expiry_seconds),
        ping: trunk.ping_seconds,
        context: names::INBOUND_CONTEXT,
    })
}

impl NextHop {
    fn new(host_port: &str, transport: Transport) -> Self {
        let uri = format!("sip:{host_port}");
        let route = match transport {
            Transport::Udp => uri.clone(),
            other => format!("{uri};transport={}", name_of(other)),
        };
        Self { uri, route }
    }
}

fn name_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    }
}

/// A host with its port. A name without a port stays without one: only then FreeSWITCH asks for NAPTR and
/// SRV records (RFC 3263).
fn host_port(host: &str, port: Option<i32>, transport: Transport) -> String {
    let default = || match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
    };
    let port = port.or_else(|| host.parse::<IpAddr>().is_ok().then(default));
    match port {
        Some(port) => format!("{}:{port}", bracketed(host)),
        None => bracketed(host),
    }
}

/// A host as written before a port: an IPv6 address in brackets.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ProxyRow, RegistrationRow};

    fn row(host: &str, port: Option<i32>, transport: Transport) -> GatewayRow {
        GatewayRow { host: host.to_owned(), port, transport, outbound_proxy: None }
    }

    /// Proxy, next hop as REGISTER has it, and host in From, of a gateway of a trunk with a domain.
    fn ways(domain: Option<&str>, row: &GatewayRow) -> (String, Option<String>, String) {
        let trunk = TrunkRow { domain: domain.map(str::to_owned), ..TrunkRow::default() };
        let gateway = gateway(&trunk, row, "gw".to_owned()).unwrap();
        (gateway.proxy, gateway.next_hop.map(|hop| hop.route), gateway.from_domain.to_owned())
    }

    fn expected(proxy: &str, hop: Option<&str>, from: &str) -> (String, Option<String>, String) {
        (proxy.to_owned(), hop.map(str::to_owned), from.to_owned())
    }

    #[test]
    fn a_name_without_a_port_stays_without_one_and_an_address_has_its_transports_own() {
        for (host, port, transport, proxy) in [
            ("tel.example", None, Transport::Udp, "tel.example"),
            ("tel.example", None, Transport::Tls, "tel.example"),
            ("tel.example", Some(5070), Transport::Tls, "tel.example:5070"),
            ("192.0.2.1", None, Transport::Udp, "192.0.2.1:5060"),
            ("192.0.2.1", None, Transport::Tcp, "192.0.2.1:5060"),
            ("192.0.2.1", None, Transport::Tls, "192.0.2.1:5061"),
            ("2001:db8::1", None, Transport::Tls, "[2001:db8::1]:5061"),
        ] {
            assert_eq!(ways(None, &row(host, port, transport)), expected(proxy, None, host));
        }
    }

    #[test]
    fn a_domain_is_in_uris_and_packets_go_to_the_host_or_the_outbound_proxy() {
        let domain = "voip.telco.example";
        let edge = row("edge1.voip.telco.example", None, Transport::Udp);
        let hop = Some("sip:edge1.voip.telco.example");
        assert_eq!(ways(Some(domain), &edge), expected(domain, hop, domain));
        // The other way to say it.
        let proxy = Some(ProxyRow { host: edge.host.clone(), port: None });
        let host = GatewayRow { outbound_proxy: proxy.clone(), ..row(domain, None, Transport::Udp) };
        assert_eq!(ways(None, &host), expected(domain, hop, domain));
        // A registrar of another name, and SRV records for TCP.
        let host = GatewayRow { outbound_proxy: proxy, ..row("reg.example", Some(5070), Transport::Tcp) };
        let hop = Some("sip:edge1.voip.telco.example;transport=tcp");
        assert_eq!(ways(Some(domain), &host), expected(domain, hop, domain));
    }

    #[test]
    fn a_login_is_the_registrations_or_that_of_calls_alone() {
        let mut trunk = TrunkRow {
            registration: Some(RegistrationRow {
                username: "acct77@telco.example".to_owned(),
                ..RegistrationRow::default()
            }),
            ..TrunkRow::default()
        };
        let row = row("telco.example", None, Transport::Udp);
        assert!(gateway(&trunk, &row, String::new()).is_none(), "FreeSWITCH refuses it without a password");
        trunk.secrets.insert(SecretName::Password, "a-dummy-password");
        let login = |trunk: &TrunkRow| {
            let gateway = gateway(trunk, &row, String::new()).unwrap();
            let [username, auth, password] =
                [&gateway.username, gateway.auth_username, gateway.password].map(str::to_owned);
            (gateway.register, username, auth, password)
        };
        let said = |register, username: &str, auth: &str, password: &str| {
            (register, username.to_owned(), auth.to_owned(), password.to_owned())
        };
        let password = "a-dummy-password";
        assert_eq!(login(&trunk), said(true, "acct77%40telco.example", "acct77@telco.example", password));
        trunk.registration.as_mut().unwrap().auth_username = Some("login".to_owned());
        assert_eq!(login(&trunk), said(true, "acct77%40telco.example", "login", password));
        trunk.registration = None;
        assert_eq!(login(&trunk), said(false, "", "", ""), "the secret of a registration that is gone");
        trunk.credentials = Some("acct77".to_owned());
        assert_eq!(login(&trunk), said(false, "acct77", "acct77", password));
    }
}
