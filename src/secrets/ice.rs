//! STUN and TURN servers of browsers, and the credentials of TURN servers that share a secret with us (coturn's
//! `use-auth-secret`; draft-uberti-behave-turn-rest-00 §2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Serialize;
use sha1::Sha1;

/// Longest URL of a server, in bytes.
const MAX_URL: usize = 300;

/// A server as a browser's `RTCPeerConnection` takes it (W3C WebRTC §4.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// Its URL.
    pub urls: String,
    /// User name at a TURN server: when it expires, in seconds since 1970, and who uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// The URL of a STUN server (RFC 7064) or of a TURN server (RFC 7065).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceUrl(String);

impl std::str::FromStr for IceUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write it as stun:HOST:PORT, stuns:…, turn:HOST:PORT?transport=udp, or turns:…";
        let (scheme, rest) = text.split_once(':').ok_or(ALLOWED)?;
        let is_turn = match scheme {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(ALLOWED),
        };
        let (address, transport) =
            rest.split_once('?').map_or((rest, None), |(host, query)| (host, Some(query)));
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let good_transport = match transport {
            None => true,
            Some(query) => is_turn && matches!(query, "transport=udp" | "transport=tcp"),
        };
        let good =
            !address.is_empty() && address.chars().all(is_host) && good_transport && text.len() <= MAX_URL;
        if good { Ok(Self(text.to_owned())) } else { Err(ALLOWED) }
    }
}

impl IceUrl {
    /// Whether it is a TURN server, which wants credentials.
    pub fn is_turn(&self) -> bool {
        self.0.starts_with("turn")
    }
}

/// The servers of an installation.
#[derive(Clone, Default)]
pub struct IceServers {
    urls: Vec<IceUrl>,
    turn_secret: Vec<u8>,
}

/// A TURN server without the secret that its credentials are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TURN server wants credentials: the secret that it shares with Centrex is missing")]
pub struct NoTurnSecret;

impl IceServers {
    /// Servers by their URLs, with the secret of TURN servers, which is empty when there are none.
    ///
    /// # Errors
    /// A TURN server without a secret.
    pub fn new(urls: Vec<IceUrl>, turn_secret: &str) -> Result<Self, NoTurnSecret> {
        if turn_secret.is_empty() && urls.iter().any(IceUrl::is_turn) {
            return Err(NoTurnSecret);
        }
        Ok(Self { urls, turn_secret: turn_secret.as_bytes().to_vec() })
    }

    /// The servers for a user, with credentials that work until a time.
    pub fn for_user(&self, user: &str, expires: Timestamp) -> Vec<IceServer> {
        let name = format!("{}:{user}", expires.as_second());
        // HMAC takes a key of any length.
        let credential = Hmac::<Sha1>::new_from_slice(&self.turn_secret).ok().map(|mut mac| {
            mac.update(name.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        });
        let server = |url: &IceUrl| IceServer {
            urls: url.0.clone(),
            username: url.is_turn().then(|| name.clone()),
            credential: credential.clone().filter(|_| url.is_turn()),
        };
        self.urls.iter().map(server).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> IceUrl {
        text.parse().unwrap()
    }

    #[test]
    fn urls_are_those_of_the_rfcs() {
        for good in ["stun:192.0.2.1", "stun:[2001:db8::1]:3478", "turn:turn.example.com:3478?transport=tcp"]
        {
            assert_eq!(good.parse::<IceUrl>().map(|url| url.is_turn()), Ok(good.starts_with("turn")));
        }
        for bad in
            ["", "stun", "stun:", "http://x", "stun:x?transport=udp", "turn:x?a=b", "turn:u@x", "stun:x y"]
        {
            assert!(bad.parse::<IceUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_turn_server_gets_credentials_and_they_are_coturns() {
        assert_eq!(IceServers::new(vec![url("turn:x")], "").err(), Some(NoTurnSecret));
        let servers = IceServers::new(vec![url("stun:x"), url("turn:x")], "north").unwrap();
        let both = servers.for_user("1001@acme.example.com", "2001-09-09T01:46:40Z".parse().unwrap());
        assert_eq!((&both[0].username, &both[0].credential), (&None, &None));
        assert_eq!(both[1].username.as_deref(), Some("1000000000:1001@acme.example.com"));
        // printf '%s' 1000000000:1001@acme.example.com | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(both[1].credential.as_deref(), Some("cvo1yUX7l78gSoe/WqDpmOknI5I="));
    }
}
