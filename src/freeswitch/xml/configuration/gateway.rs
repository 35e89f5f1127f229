//! Gateways of trunks, as Sofia knows them.

use crate::plan::SecretName;
use serde::Serialize;

use crate::plan::{GatewayRow, PlatformPlan, TrunkRow};
use crate::resources::common::Transport;
use crate::route::names;
use crate::secrets::signing_key::SigningKey;

/// A gateway. No variable goes with it: whoever names a gateway in a request gets its variables
/// and its context (contract §10.1).
#[derive(Serialize)]
pub(in crate::freeswitch) struct Gateway<'a> {
    pub name: String,
    pub proxy: String,
    pub realm: &'a str,
    pub from_domain: &'a str,
    pub transport: &'static str,
    /// Empty: it does not register.
    pub username: &'a str,
    pub password: &'a str,
    /// Life of a registration in seconds.
    pub expiry: i32,
    /// Seconds between OPTIONS requests, if any are sent.
    pub ping: Option<i32>,
    pub context: &'static str,
}

/// The gateways of a profile: all, or the one with a name.
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

/// None when it is to register and its name or password is missing: FreeSWITCH would refuse it.
fn gateway<'a>(trunk: &'a TrunkRow, row: &'a GatewayRow, name: String) -> Option<Gateway<'a>> {
    let registration = trunk.registration.as_ref();
    let password = trunk.secrets.get(SecretName::Password).filter(|password| !password.is_empty());
    if registration.is_some_and(|registration| registration.username.is_empty() || password.is_none()) {
        return None;
    }
    Some(Gateway {
        name,
        proxy: format!("{}:{}", bracketed(&row.host), row.port),
        realm: registration.and_then(|registration| registration.realm.as_deref()).unwrap_or(&row.host),
        from_domain: &row.host,
        transport: match row.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        },
        username: registration.map(|registration| registration.username.as_str()).unwrap_or_default(),
        password: registration.and(password).unwrap_or_default(),
        expiry: registration.map_or(0, |registration| registration.expiry_seconds),
        ping: trunk.ping_seconds,
        context: names::INBOUND_CONTEXT,
    })
}

/// A host as it stands before a port: an IPv6 address in brackets.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
