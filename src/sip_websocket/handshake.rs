//! The request that opens a WebSocket, and what is checked before it is accepted.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::metrics::Refusal;
use super::{MAX_MESSAGE, Relay, browser};
use crate::http::connection_limit::{ConnectionSlot, Peer};
use crate::http::listener::Connection;

/// Subprotocol of SIP (RFC 7118 §4).
const SUBPROTOCOL: &str = "sip";

/// The origin of a page, as browsers send it in `Origin` (RFC 6454 §6.2): `https://portal.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl std::str::FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_host = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b);
        match host {
            Some(host) if !host.is_empty() && host.bytes().all(is_host) => Ok(Self(text.to_owned())),
            _ => Err(
                "write it as a browser does: https://HOST or https://HOST:PORT, in small letters, without a path",
            ),
        }
    }
}

/// A profile whose WebSocket browsers use.
pub(super) struct Profile {
    /// Its name.
    pub name: String,
    /// Port of its WebSocket on 127.0.0.1.
    pub port: u16,
}

/// Answers `/sip`: the only profile that has a WebSocket.
pub(super) async fn only_profile(
    relay: State<Arc<Relay>>,
    connection: Extension<Connection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    answer(relay.0, &connection.0, &headers, None, upgrade).unwrap_or_else(|refused| *refused)
}

/// Answers `/sip/PROFILE`.
pub(super) async fn named_profile(
    relay: State<Arc<Relay>>,
    connection: Extension<Connection>,
    Path(profile): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    answer(relay.0, &connection.0, &headers, Some(&profile), upgrade).unwrap_or_else(|refused| *refused)
}

fn answer(
    relay: Arc<Relay>,
    connection: &Connection,
    headers: &HeaderMap,
    profile: Option<&str>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Box<Response>> {
    let refuse = |reason, status: StatusCode, text: &'static str| {
        relay.metrics.refuse(reason);
        Box::new((status, text).into_response())
    };
    let origin = headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    if headers.get_all(ORIGIN).iter().count() != 1
        || !relay.options.origins.iter().any(|allowed| Some(allowed.0.as_str()) == origin)
    {
        return Err(refuse(Refusal::Origin, StatusCode::FORBIDDEN, "this origin may not connect\n"));
    }
    let upgrade = upgrade.map_err(|rejection| {
        relay.metrics.refuse(Refusal::Handshake);
        Box::new(rejection.into_response())
    })?;
    if !offers_sip(headers) {
        return Err(refuse(Refusal::Handshake, StatusCode::BAD_REQUEST, "the subprotocol is sip\n"));
    }
    let profile =
        relay.profile(profile).map_err(|why| refuse(Refusal::Profile, StatusCode::NOT_FOUND, why))?;
    let Some(slot) = relay.slot(connection, headers) else {
        let text = "too many WebSockets of this address are open\n";
        return Err(refuse(Refusal::Address, StatusCode::TOO_MANY_REQUESTS, text));
    };
    let (connection, token) = (connection.clone(), relay.tasks.token());
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .write_buffer_size(0)
        .max_write_buffer_size(8 * MAX_MESSAGE);
    Ok(upgrade.on_upgrade(async move |socket| {
        browser::serve(relay, profile, socket).await;
        drop((connection, slot, token));
    }))
}

fn offers_sip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|name| name.trim() == SUBPROTOCOL)
}

impl Relay {
    /// The profile of a name, or the only one.
    fn profile(&self, name: Option<&str>) -> Result<Profile, &'static str> {
        let platform = self.replica.platform();
        let mut all = platform.sip_profiles.iter().filter_map(|(name, row)| {
            Some(Profile { name: name.clone(), port: u16::try_from(row.ws_port?).ok()? })
        });
        match name {
            Some(name) => all
                .find(|profile| profile.name == name)
                .ok_or("no SIP profile of this name has a WebSocket\n"),
            None => match (all.next(), all.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err("no SIP profile has a WebSocket\n"),
                (Some(_), Some(_)) => Err("several SIP profiles have a WebSocket: use /sip/PROFILE\n"),
            },
        }
    }

    /// Counts a socket of the browser's address; `None` when that has too many.
    fn slot(&self, connection: &Connection, headers: &HeaderMap) -> Option<ConnectionSlot> {
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let forwarded: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        let address = client(connection.address, &forwarded, |address| self.is_trusted(address));
        // Without a proxy, this host is a peer with a limit of its own.
        let peer = if address == connection.address { connection.peer } else { Peer::remote(address) };
        self.addresses.try_acquire(peer)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.options.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// The address of a client: the last one that no trusted proxy has. Each proxy adds the address of its peer at the
/// end, and only a trusted one is believed.
fn client(peer: IpAddr, forwarded: &[&str], is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut address = peer.to_canonical();
    for before in forwarded.iter().rev() {
        match before.parse::<IpAddr>() {
            Ok(before) if is_trusted(address) => address = before.to_canonical(),
            _ => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for good in ["https://portal.example.com", "http://127.0.0.1:8080", "https://[::1]:8443"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in
            ["", "null", "*", "https://", "portal.example.com", "https://x/", "https://X", "https://a b"]
        {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
        let net: IpNet = "10.0.0.0/8".parse().unwrap();
        let of = |peer: &str, forwarded: &[&str]| {
            client(peer.parse().unwrap(), forwarded, |address| net.contains(&address)).to_string()
        };
        assert_eq!(of("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["203.0.113.9", "198.51.100.7", "10.0.0.2"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["198.51.100.7", "unknown"]), "10.0.0.1");
        assert_eq!(of("::ffff:10.0.0.1", &["2001:db8::7"]), "2001:db8::7");
    }

    use ipnet::IpNet;
}
