//! Softphones: Linphone, Acrobits, MicroSIP.

use md5::{Digest, Md5};
use serde::Serialize;

use super::super::secrets::PhoneSecrets;
use super::{Account, accounts};
use crate::phones::Phone;
use crate::phones::phone::Line;
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};
use crate::secrets::a1_hash::REALM;

/// Values of Linphone's template.
#[derive(Serialize)]
pub struct Linphone {
    lines: Vec<LinphoneLine>,
    realm: &'static str,
    transport: &'static str,
    host: String,
    srtp: &'static str,
    needs_srtp: bool,
    info: bool,
    rfc2833: bool,
}

#[derive(Serialize)]
struct LinphoneLine {
    /// From 0.
    n: usize,
    /// The name in front of the address, with its quotes escaped (RFC 3261 §25.1, quoted-string).
    name: String,
    user: String,
    /// HA1 of the password, which is not written.
    ha1: String,
    voicemail: String,
}

/// The values for Linphone.
pub fn linphone(phone: &Phone, secrets: &PhoneSecrets) -> Linphone {
    let line = |(n, line): (usize, &Line)| LinphoneLine {
        n,
        name: line.display_name.replace('\\', "\\\\").replace('"', "\\\""),
        user: line.user.clone(),
        ha1: ha1(&line.user, secrets),
        voicemail: line.voicemail.clone().unwrap_or_default(),
    };
    Linphone {
        lines: phone.active_lines().enumerate().map(line).collect(),
        realm: REALM,
        transport: transport(phone),
        host: host(phone),
        srtp: if phone.srtp == Srtp::Disabled { "none" } else { "srtp" },
        needs_srtp: phone.srtp == Srtp::Required,
        info: phone.dtmf == Dtmf::Info,
        rfc2833: phone.dtmf == Dtmf::Rfc2833,
    }
}

fn ha1(user: &str, secrets: &PhoneSecrets) -> String {
    let password = secrets.sip_password.as_deref().unwrap_or_default();
    if secrets.is_hidden() {
        return password.to_owned();
    }
    hex::encode(Md5::digest(format!("{user}:{REALM}:{password}")))
}

fn transport(phone: &Phone) -> &'static str {
    match phone.server.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    }
}

/// Host and port of the SIP server, an IPv6 address in brackets.
fn host(phone: &Phone) -> String {
    let (host, port) = (&phone.server.host, phone.server.port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Values of the other templates.
#[derive(Serialize)]
pub struct Plain {
    accounts: Vec<Account>,
    transport: &'static str,
    host: String,
    srtp: &'static str,
}

/// The values for Acrobits and MicroSIP.
pub fn plain(phone: &Phone) -> Plain {
    Plain {
        accounts: accounts(phone, clean).into_iter().filter(|account| account.on).collect(),
        transport: transport(phone),
        host: host(phone),
        srtp: match phone.srtp {
            Srtp::Disabled => "disabled",
            Srtp::Optional => "optional",
            Srtp::Required => "mandatory",
        },
    }
}

/// Text without a quote at its beginning, which Windows would remove.
fn clean(text: &str, otherwise: &str) -> String {
    let legal = text.trim_start_matches(|c: char| matches!(c, '"' | '\'') || c.is_whitespace());
    if legal.is_empty() { otherwise.to_owned() } else { legal.to_owned() }
}
