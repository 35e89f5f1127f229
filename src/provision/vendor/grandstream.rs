//! Grandstream: named items for newer phones, P-values for all.

use serde::Serialize;

use super::super::secrets::PhoneSecrets;
use super::{Account, accounts, at_once, in_order, language, plain};
use crate::phones::Phone;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::time_zone::{Change, Clock};
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};

/// FreeSWITCH's names of codecs, and those of items.
const CODECS: &[(&str, &str)] = &[
    ("PCMU", "PCMU"),
    ("PCMA", "PCMA"),
    ("G722", "G.722"),
    ("G729", "G.729A/B"),
    ("OPUS", "OPUS"),
    ("iLBC", "iLBC"),
    ("G726-32", "G.726-32"),
];

/// The same with the numbers of P-values.
const CODEC_NUMBERS: &[(&str, &str)] = &[
    ("PCMU", "0"),
    ("PCMA", "8"),
    ("G722", "9"),
    ("G729", "18"),
    ("iLBC", "98"),
    ("G726-32", "2"),
    ("OPUS", "123"),
];

const LANGUAGES: &[(&str, &str)] = &[
    ("cs", "cs"),
    ("de", "de"),
    ("en", "en"),
    ("es", "es"),
    ("fr", "fr"),
    ("it", "it"),
    ("nl", "nl"),
    ("pl", "pl"),
    ("pt", "pt"),
    ("ru", "ru"),
    ("sv", "sv"),
];

/// Places of a list of codecs: the last codec is repeated in those that are left.
const CODEC_PLACES: usize = 8;

/// Values of the template of items.
#[derive(Serialize)]
pub struct Items {
    accounts: Vec<Account>,
    codecs: Vec<&'static str>,
    keys: Vec<Key>,
    host: String,
    proxy: String,
    transport: &'static str,
    srtp: &'static str,
    dtmf: [&'static str; 3],
    minutes: i32,
    time_zone: String,
    language: &'static str,
    dial_plan: String,
    poll_minutes: i32,
}

#[derive(Serialize)]
struct Key {
    /// `vpk` or `mpk`.
    section: &'static str,
    n: usize,
    mode: &'static str,
    account: String,
    label: String,
    value: String,
}

/// The values of a phone with items.
pub fn items(phone: &Phone) -> Items {
    let yes_no = |is: bool| if is { "Yes" } else { "No" };
    Items {
        accounts: accounts(phone, plain),
        codecs: filled(in_order(phone, CODECS), "PCMA"),
        keys: phone.keys.iter().map(|slot| key(slot, phone.model.line_keys)).collect(),
        host: host(phone),
        proxy: proxy(phone),
        transport: match phone.server.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TlsOrTcp",
        },
        srtp: match phone.srtp {
            Srtp::Disabled => "Disabled",
            Srtp::Optional => "EnabledButNotForced",
            Srtp::Required => "EnabledAndForced",
        },
        dtmf: [Dtmf::Inband, Dtmf::Rfc2833, Dtmf::Info].map(|way| yes_no(phone.dtmf == way)),
        minutes: minutes(phone.register_seconds),
        time_zone: time_zone(&phone.clock),
        language: language(phone, LANGUAGES, "en"),
        dial_plan: dial_plan(phone),
        poll_minutes: phone.provisioning.poll_hours * 60,
    }
}

/// A domain with the port of the transport.
fn host(phone: &Phone) -> String {
    format!("{}:{}", phone.domain, phone.server.port)
}

/// The SIP server, where it has another name than the domain.
fn proxy(phone: &Phone) -> String {
    if phone.server.is_domain {
        return String::new();
    }
    let host = &phone.server.host;
    let port = phone.server.port;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Seconds in whole minutes, at least one.
fn minutes(seconds: i32) -> i32 {
    (seconds / 60).max(1)
}

fn filled(mut codecs: Vec<&'static str>, otherwise: &'static str) -> Vec<&'static str> {
    codecs.truncate(CODEC_PLACES);
    let last = codecs.last().copied().unwrap_or(otherwise);
    codecs.resize(CODEC_PLACES, last);
    codecs
}

/// Rules in POSIX's form with both offsets, which count westwards. The list of zones that phones bring is old, so it is
/// not used.
fn time_zone(clock: &Clock) -> String {
    let offset = |minutes: i32| {
        let sign = if minutes > 0 { "-" } else { "" };
        let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        if minutes == 0 { format!("{sign}{hours}") } else { format!("{sign}{hours}:{minutes:02}") }
    };
    let change = |change: Change| {
        let (month, week, weekday) = (change.month, change.week, change.weekday_from_sunday());
        format!("M{month}.{week}.{weekday}/{:02}:{:02}:00", change.hour, change.minute)
    };
    match clock.saving {
        None => format!("STD{}", offset(clock.base_minutes)),
        Some(saving) => format!(
            "STD{}DST{},{},{}",
            offset(clock.base_minutes),
            offset(clock.base_minutes + saving.minutes),
            change(saving.start),
            change(saving.end)
        ),
    }
}

/// Emergency numbers, and everything else after a pause or `#`.
fn dial_plan(phone: &Phone) -> String {
    let rest = ["x+", "\\+x+", "*x+", "*xx*x+", "#x+"].map(str::to_owned);
    let all: Vec<String> = at_once(phone).into_iter().chain(rest).collect();
    format!("{{ {} }}", all.join(" | "))
}

fn key(slot: &Slot, line_keys: usize) -> Key {
    let is_virtual = slot.position <= line_keys;
    let mode = match slot.kind {
        // Physical keys are no lines.
        Some(KeyKind::Line) if is_virtual => "Line",
        Some(KeyKind::BusyLamp | KeyKind::Park) => "BLF",
        Some(KeyKind::SpeedDial) => "SpeedDial",
        Some(KeyKind::Voicemail) => "VoiceMail",
        _ => "None",
    };
    let account = slot.line.max(1);
    let is_off = mode == "None";
    Key {
        section: if is_virtual { "vpk" } else { "mpk" },
        n: if is_virtual { slot.position } else { slot.position - line_keys },
        mode,
        account: if is_virtual { (account - 1).to_string() } else { format!("Account{account}") },
        label: if is_off { String::new() } else { slot.label.clone() },
        value: if is_off { String::new() } else { slot.value.clone() },
    }
}

/// A P-value.
#[derive(Serialize)]
struct PValue {
    n: usize,
    value: String,
}

/// Values of the template of P-values.
#[derive(Serialize)]
pub struct PValues {
    /// Those of lines and keys, whose numbers follow no order.
    values: Vec<PValue>,
    time_zone: String,
    custom_time_zone: String,
    language: &'static str,
    poll_minutes: i32,
}

/// Numbers of an account's P-values.
struct Numbers {
    active: usize,
    name: usize,
    display_name: usize,
    user: usize,
    auth: usize,
    password: usize,
    server: usize,
    proxy: usize,
    /// 0 where the number is not known.
    voicemail: usize,
    expiry: usize,
    transport: usize,
    srtp: usize,
    codecs: usize,
    dial_plan: usize,
}

impl Numbers {
    /// Those of an account, from 1; `None` where they are not known.
    fn of(account: usize, is_two_port_adapter: bool) -> Option<Self> {
        if account == 1 {
            return Some(Self {
                active: 271,
                name: 270,
                display_name: 3,
                user: 35,
                auth: 36,
                password: 34,
                server: 47,
                proxy: 48,
                voicemail: 33,
                expiry: 32,
                transport: 130,
                srtp: 183,
                codecs: 57,
                dial_plan: 290,
            });
        }
        if is_two_port_adapter {
            // The second port has numbers of its own.
            return (account == 2).then_some(Self {
                active: 401,
                name: 0,
                display_name: 0,
                user: 735,
                auth: 736,
                password: 734,
                server: 747,
                proxy: 0,
                voicemail: 0,
                expiry: 0,
                transport: 830,
                srtp: 0,
                codecs: 0,
                dial_plan: 0,
            });
        }
        let base = *[400, 500, 600, 1700, 1800].get(account - 2)?;
        Some(Self {
            active: base + 1,
            name: base + 17,
            display_name: base + 7,
            user: base + 4,
            auth: base + 5,
            password: base + 6,
            server: base + 2,
            proxy: base + 3,
            voicemail: base + 26,
            expiry: base + 12,
            transport: base + 48,
            srtp: base + 43,
            codecs: base + 51,
            dial_plan: base + 59,
        })
    }
}

/// The values of a phone with P-values.
pub fn p_values(phone: &Phone, secrets: &PhoneSecrets) -> PValues {
    let model = phone.model.name.unwrap_or_default();
    let mut values = Vec::new();
    for account in accounts(phone, plain) {
        if let Some(numbers) = Numbers::of(account.n, model.starts_with("HT802")) {
            add_account(&mut values, phone, secrets, &account, &numbers);
        }
    }
    values.extend(phone.keys.iter().flat_map(p_key));
    values.retain(|value| value.n > 0);
    // Android phones know IANA's zones.
    let is_android = ["GXV33", "GXV34", "WP820", "WP856"].iter().any(|name| model.starts_with(name));
    PValues {
        values,
        time_zone: if is_android { phone.clock.name.clone() } else { "customize".to_owned() },
        custom_time_zone: time_zone(&phone.clock),
        language: language(phone, LANGUAGES, "en"),
        poll_minutes: phone.provisioning.poll_hours * 60,
    }
}

fn add_account(
    values: &mut Vec<PValue>,
    phone: &Phone,
    secrets: &PhoneSecrets,
    account: &Account,
    numbers: &Numbers,
) {
    let mut add = |n: usize, value: &str| values.push(PValue { n, value: value.to_owned() });
    add(numbers.active, if account.on { "1" } else { "0" });
    add(numbers.name, &account.label);
    add(numbers.display_name, &account.display_name);
    add(numbers.user, &account.user);
    add(numbers.auth, &account.user);
    let password = secrets.sip_password.as_deref().filter(|_| account.on);
    add(numbers.password, password.unwrap_or_default());
    add(numbers.server, &if account.on { host(phone) } else { String::new() });
    add(numbers.proxy, &if account.on { proxy(phone) } else { String::new() });
    add(numbers.voicemail, &account.voicemail);
    if !account.on {
        return;
    }
    add(numbers.expiry, &minutes(phone.register_seconds).to_string());
    let transport = match phone.server.transport {
        Transport::Udp => "0",
        Transport::Tcp => "1",
        Transport::Tls => "2",
    };
    add(numbers.transport, transport);
    let srtp = match phone.srtp {
        Srtp::Disabled => "0",
        Srtp::Optional => "1",
        Srtp::Required => "2",
    };
    add(numbers.srtp, srtp);
    add(numbers.dial_plan, &dial_plan(phone));
    if numbers.codecs > 0 {
        // Phones with P-values have six places.
        for (at, codec) in filled(in_order(phone, CODEC_NUMBERS), "8").iter().take(6).enumerate() {
            add(numbers.codecs + at, codec);
        }
    }
    if account.n == 1 {
        for (n, way) in [(2301, Dtmf::Inband), (2302, Dtmf::Rfc2833), (2303, Dtmf::Info)] {
            add(n, if phone.dtmf == way { "1" } else { "0" });
        }
    }
}

/// The P-values of a key: there are seven.
fn p_key(slot: &Slot) -> Vec<PValue> {
    let k = slot.position;
    if slot.module > 0 || k > 7 {
        return Vec::new();
    }
    let mode = match slot.kind {
        Some(KeyKind::SpeedDial | KeyKind::Voicemail) => "0",
        Some(KeyKind::BusyLamp | KeyKind::Park) => "1",
        // Lines have keys of their own.
        _ => "",
    };
    let (label, value) = match mode {
        "" => (String::new(), String::new()),
        _ => (slot.label.clone(), slot.value.clone()),
    };
    let mode = if mode.is_empty() { "0" } else { mode };
    let account = slot.line.saturating_sub(1).to_string();
    let numbers = [322 + k, 300 + 3 * k - 2, 300 + 3 * k - 1, 300 + 3 * k];
    let texts = [mode.to_owned(), account, label, value];
    numbers.into_iter().zip(texts).map(|(n, value)| PValue { n, value }).collect()
}
