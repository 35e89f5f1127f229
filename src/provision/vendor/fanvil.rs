//! Fanvil.

use serde::Serialize;

use super::{Account, accounts, dialled, in_order, language, pick};
use crate::phones::Phone;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::time_zone::{Change, Clock};
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};

/// FreeSWITCH's names of codecs and Fanvil's.
const CODECS: &[(&str, &str)] = &[
    ("PCMU", "PCMU"),
    ("PCMA", "PCMA"),
    ("G722", "G722"),
    ("G729", "G729"),
    ("OPUS", "OPUS"),
    ("iLBC", "iLBC"),
    ("G726-32", "G726-32"),
];

const LANGUAGES: &[(&str, &str)] = &[
    ("cs", "cz"),
    ("de", "de"),
    ("en", "en"),
    ("es", "es"),
    ("fr", "fr"),
    ("it", "it"),
    ("nl", "nl"),
    ("pl", "pl"),
    ("pt", "pt"),
    ("ru", "ru"),
];

/// Numbers of countries' tones.
const TONES: &[(&str, i32)] = &[
    ("AT", 2),
    ("CA", 18),
    ("CH", 2),
    ("DE", 2),
    ("ES", 33),
    ("FR", 25),
    ("GB", 13),
    ("IT", 21),
    ("NL", 5),
    ("US", 11),
];

/// Values of the template.
#[derive(Serialize)]
pub struct Values {
    accounts: Vec<Account>,
    pages: Vec<Page>,
    codecs: String,
    transport: u8,
    media_crypto: u8,
    dtmf: u8,
    quarters: i32,
    time_zone: String,
    saving: Option<Saving>,
    language: &'static str,
    tones: i32,
    emergency: String,
}

#[derive(Serialize)]
struct Saving {
    minutes: i32,
    start: Day,
    end: Day,
}

#[derive(Serialize)]
struct Day {
    month: i8,
    /// -1 for the last.
    week: i8,
    /// From Sunday 0.
    weekday: i8,
    hour: i8,
}

#[derive(Serialize)]
struct Page {
    n: usize,
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    n: usize,
    kind: u8,
    value: String,
    title: String,
}

/// The values of a phone.
pub fn values(phone: &Phone) -> Values {
    let per_page = keys_per_page(phone.model.name.unwrap_or_default());
    let page = |(at, slots): (usize, &[Slot])| Page {
        n: at + 1,
        keys: slots.iter().enumerate().map(|(at, slot)| key(at + 1, slot)).collect(),
    };
    Values {
        accounts: accounts(phone, clean),
        pages: phone.keys.chunks(per_page).enumerate().map(page).collect(),
        codecs: in_order(phone, CODECS).join(","),
        transport: match phone.server.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 3,
        },
        media_crypto: match phone.srtp {
            Srtp::Disabled => 0,
            Srtp::Optional => 1,
            Srtp::Required => 2,
        },
        dtmf: match phone.dtmf {
            Dtmf::Inband => 0,
            Dtmf::Rfc2833 => 1,
            Dtmf::Info => 2,
        },
        quarters: phone.clock.base_minutes / 15,
        time_zone: time_zone(&phone.clock),
        saving: phone.clock.saving.map(|saving| Saving {
            minutes: saving.minutes,
            start: day(saving.start),
            end: day(saving.end),
        }),
        language: language(phone, LANGUAGES, "en"),
        tones: pick(TONES, phone.country.as_deref().unwrap_or_default(), 11),
        emergency: phone.dial_plan.emergency.join(","),
    }
}

/// Keys of a page.
fn keys_per_page(model: &str) -> usize {
    match model {
        "X210" => 32,
        "X7" => 28,
        "V67" => 29,
        "V64" => 21,
        _ => 6,
    }
}

/// Letters, digits, blanks and a few marks of a text: the phone's parser is said to stumble over others.
pub fn clean(text: &str, otherwise: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | '_' | '+' | '*');
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join(" ") }
}

fn time_zone(clock: &Clock) -> String {
    match clock.offset() {
        (_, 0, 0) => "UTC".to_owned(),
        (sign, hours, 0) => format!("UTC{sign}{hours}"),
        (sign, hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

fn day(change: Change) -> Day {
    Day {
        month: change.month,
        week: if change.is_last() { -1 } else { change.week },
        weekday: change.weekday_from_sunday(),
        hour: change.hour,
    }
}

fn key(n: usize, slot: &Slot) -> Key {
    let (value, line) = (dialled(&slot.value), slot.line);
    let (kind, value) = match slot.kind {
        Some(KeyKind::Line) => (2, format!("SIP{line}")),
        Some(KeyKind::BusyLamp | KeyKind::Park) => (1, format!("{value}@{line}/ba")),
        Some(KeyKind::SpeedDial) => (1, format!("{value}@{line}/f")),
        Some(KeyKind::Voicemail) => (1, format!("{value}@{line}/bc")),
        Some(KeyKind::DoNotDisturb) => (3, "F_DND".to_owned()),
        Some(KeyKind::Forward) => (3, "F_CFWD".to_owned()),
        None | Some(KeyKind::Url | KeyKind::Pickup | KeyKind::AgentLogin) => (0, String::new()),
    };
    let title = if kind == 0 { String::new() } else { clean(&slot.label, &slot.value) };
    Key { n, kind, value, title }
}
