//! Yealink.

use serde::Serialize;

use super::{Account, Codec, accounts, at_once, codecs, language, pick};
use crate::phones::Phone;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::models::Series;
use crate::phones::time_zone::{Change, Clock};
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};

/// FreeSWITCH's names of codecs and Yealink's.
const CODECS: &[(&str, &str)] = &[
    ("PCMU", "pcmu"),
    ("PCMA", "pcma"),
    ("G722", "g722"),
    ("G729", "g729"),
    ("OPUS", "opus"),
    ("iLBC", "ilbc"),
    ("G726-32", "g726_32"),
];

const LANGUAGES: &[(&str, &str)] = &[
    ("de", "German"),
    ("en", "English"),
    ("es", "Spanish"),
    ("fr", "French"),
    ("it", "Italian"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("ru", "Russian"),
    ("tr", "Turkish"),
];

const TONES: &[(&str, &str)] = &[
    ("AT", "Austria"),
    ("AU", "Australia"),
    ("BE", "Belgium"),
    ("BR", "Brazil"),
    ("CH", "Switzerland"),
    ("CZ", "Czech"),
    ("DE", "Germany"),
    ("DK", "Denmark"),
    ("ES", "Spain"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("GB", "Great Britain"),
    ("IT", "Italy"),
    ("JP", "Japan"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("NZ", "New Zealand"),
    ("PT", "Portugal"),
    ("SE", "Sweden"),
    ("US", "United States"),
];

/// Numbers that are sent as soon as they are complete: the template clears those above.
const DIAL_NOW: usize = 20;

/// Values of the template.
#[derive(Serialize)]
pub struct Values {
    accounts: Vec<Account>,
    codecs: Vec<Codec>,
    keys: Vec<Key>,
    /// Whether it is a DECT base, and one of several cells.
    dect: bool,
    cells: bool,
    transport: u8,
    srtp: u8,
    dtmf: u8,
    time_zone: String,
    saving: Option<Saving>,
    language: &'static str,
    tones: &'static str,
    dial_now: Vec<String>,
    emergency: String,
    poll_minutes: i32,
}

#[derive(Serialize)]
struct Saving {
    minutes: i32,
    start: String,
    end: String,
}

#[derive(Serialize)]
struct Key {
    /// What its settings begin with, such as `linekey.1`.
    name: String,
    kind: u8,
    line: usize,
    value: String,
    label: String,
}

/// The values of a phone.
pub fn values(phone: &Phone) -> Values {
    let mut dial_now = at_once(phone);
    dial_now.resize(DIAL_NOW.max(dial_now.len()), String::new());
    let model = phone.model.name.unwrap_or_default();
    Values {
        accounts: accounts(phone, clean),
        codecs: codecs(phone, CODECS),
        keys: phone.keys.iter().map(key).collect(),
        dect: phone.model.series == Series::YealinkDect,
        cells: ["W75", "W80", "W90"].iter().any(|base| model.starts_with(base)),
        transport: match phone.server.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        },
        srtp: match phone.srtp {
            Srtp::Disabled => 0,
            Srtp::Optional => 1,
            Srtp::Required => 2,
        },
        dtmf: match phone.dtmf {
            Dtmf::Inband => 0,
            Dtmf::Rfc2833 => 1,
            Dtmf::Info => 2,
        },
        time_zone: time_zone(&phone.clock),
        saving: phone.clock.saving.map(|saving| Saving {
            minutes: saving.minutes,
            start: change(saving.start),
            end: change(saving.end),
        }),
        language: language(phone, LANGUAGES, "English"),
        tones: pick(TONES, phone.country.as_deref().unwrap_or_default(), "United States"),
        dial_now,
        emergency: phone.dial_plan.emergency.join(","),
        poll_minutes: phone.provisioning.poll_hours * 60,
    }
}

/// Text that the phone reads as it is: no word that means no value.
fn clean(text: &str, otherwise: &str) -> String {
    let is_word = matches!(text.to_ascii_uppercase().as_str(), "%NULL%" | "%EMPTY%");
    if is_word { otherwise.to_owned() } else { text.to_owned() }
}

fn time_zone(clock: &Clock) -> String {
    match clock.offset() {
        (_, 0, 0) => "0".to_owned(),
        (sign, hours, 0) => format!("{sign}{hours}"),
        (sign, hours, minutes) => format!("{sign}{hours}:{minutes:02}"),
    }
}

/// Month, week, day of the week from Monday 1, and hour; there is no minute.
fn change(change: Change) -> String {
    format!("{}/{}/{}/{}", change.month, change.week, change.weekday, change.hour)
}

fn key(slot: &Slot) -> Key {
    let name = match slot.module {
        0 => format!("linekey.{}", slot.position),
        module => format!("expansion_module.{module}.key.{}", slot.position),
    };
    let kind = match slot.kind {
        None => 0,
        Some(KeyKind::Forward) => 2,
        Some(KeyKind::DoNotDisturb) => 5,
        Some(KeyKind::SpeedDial | KeyKind::Voicemail) => 13,
        Some(KeyKind::Line) => 15,
        Some(KeyKind::BusyLamp | KeyKind::Park) => 16,
        Some(KeyKind::Url) => 17,
        Some(KeyKind::Pickup) => 23,
        Some(KeyKind::AgentLogin) => 42,
    };
    Key { name, kind, line: slot.line, value: slot.value.clone(), label: clean(&slot.label, &slot.value) }
}
