//! One registration. All text is the phone's own, and shortened.

use std::net::IpAddr;

use jiff::Timestamp;

/// Most characters of a phone's own text that are kept.
const MAX_TEXT: usize = 128;
/// Longest Call-ID that is kept, in bytes; the directory refuses a REGISTER with a longer one.
pub const MAX_CALL_ID: usize = 256;

/// A SIP user as registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SipUser {
    /// User part.
    pub user: String,
    /// Host, as the phone spells it.
    pub host: String,
}

/// A registration (sofia_reg.c, `sofia_reg_handle_register_token`; mod_sofia.c, `show_reg_callback_xml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Call-ID of its REGISTER requests; `None` if it is too long.
    pub call_id: Option<String>,
    /// Address that the phone's packets come from.
    pub address: Option<IpAddr>,
    /// Port that they come from.
    pub port: Option<u16>,
    /// What the phone says that it is.
    pub user_agent: String,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`; empty where FreeSWITCH does not say.
    pub transport: String,
    /// When it began. After a restart of the sidecar, when it was first listed.
    pub registered_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

impl Registration {
    /// A Call-ID, if it is not too long.
    pub fn call_id(text: &str) -> Option<String> {
        (!text.is_empty() && text.len() <= MAX_CALL_ID).then(|| text.to_owned())
    }
}

/// A phone's own text without control characters, shortened.
pub fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// The transport in mod_sofia's status of a registration, such as `Registered(TLS-NAT)`.
pub fn transport(status: &str) -> String {
    let of = status.split_once('(').map(|(_, rest)| rest).unwrap_or_default();
    let name = of.split(['-', ')']).next().unwrap_or_default().to_ascii_lowercase();
    if ["udp", "tcp", "tls", "ws", "wss"].contains(&name.as_str()) { name } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_is_in_the_status() {
        for (status, expected) in [
            ("Registered(UDP)(unknown) exp(2026-11-30 12:00:00) expsecs(300)", "udp"),
            ("Registered(TLS-NAT)", "tls"),
            ("Registered(WSS-NAT)", "wss"),
            ("Registered(AUTO-NAT-2.0)", ""),
            ("Registered", ""),
        ] {
            assert_eq!(transport(status), expected, "{status}");
        }
    }

    #[test]
    fn hostile_text_is_shortened_and_has_no_control_characters() {
        let hostile = format!("Phone\0\r\n\u{1b}[31m{}", "x".repeat(1000));
        let text = shortened(&hostile);
        assert!(text.starts_with("Phone[31mx") && text.chars().count() == MAX_TEXT, "{text}");
    }
}
