//! Poly.

use serde::Serialize;
use tera::Context;

use super::{Account, Codec, accounts, at_once, codecs, dialled, language, plain};
use crate::phones::Phone;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::time_zone::Change;
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};

/// FreeSWITCH's names of codecs and Poly's. Those without a name of FreeSWITCH are always off.
const CODECS: &[(&str, &str)] = &[
    ("PCMU", "G711_Mu"),
    ("PCMA", "G711_A"),
    ("G722", "G722"),
    ("G729", "G729_AB"),
    ("OPUS", "Opus"),
    ("iLBC", "iLBC.13_33kbps"),
    ("", "iLBC.15_2kbps"),
    ("", "G7221.24kbps"),
    ("", "G7221.32kbps"),
    ("", "G7221_C.24kbps"),
    ("", "G7221_C.32kbps"),
    ("", "G7221_C.48kbps"),
    ("", "Siren14.24kbps"),
    ("", "Siren14.32kbps"),
    ("", "Siren14.48kbps"),
    ("", "Siren22.32kbps"),
    ("", "Siren22.48kbps"),
    ("", "Siren22.64kbps"),
];

const LANGUAGES: &[(&str, &str)] = &[
    ("da", "Danish_Denmark"),
    ("de", "German_Germany"),
    ("en", "English_United_States"),
    ("en-GB", "English_United_Kingdom"),
    ("es", "Spanish_Spain"),
    ("fr", "French_France"),
    ("it", "Italian_Italy"),
    ("nb", "Norwegian_Norway"),
    ("nl", "Dutch_Netherlands"),
    ("pl", "Polish_Poland"),
    ("pt", "Portuguese_Portugal"),
    ("sv", "Swedish_Sweden"),
];

/// Values of the template.
#[derive(Serialize)]
pub struct Values {
    accounts: Vec<Account>,
    codecs: Vec<Codec>,
    keys: Vec<Key>,
    lamps: Vec<Lamp>,
    /// Keys of the phone, of which a line can have several: each that it has.
    line_keys: Vec<usize>,
    transport: &'static str,
    has_srtp: bool,
    needs_srtp: bool,
    rfc2833: u8,
    info: u8,
    gmt_offset: i32,
    start: Option<Day>,
    stop: Option<Day>,
    language: &'static str,
    digit_map: String,
    timeouts: String,
    poll_seconds: i32,
}

#[derive(Serialize)]
struct Day {
    month: i8,
    /// From Sunday 1.
    weekday: i8,
    is_last: u8,
    /// First day of the month on which it can be.
    date: i8,
    hour: i8,
}

#[derive(Serialize)]
struct Key {
    n: usize,
    category: &'static str,
    index: usize,
}

#[derive(Serialize)]
struct Lamp {
    n: usize,
    /// Empty for a place of the list that is not used.
    address: String,
    label: String,
    kind: &'static str,
}

/// A key that dials a number, which is in the phonebook.
#[derive(Serialize)]
pub struct SpeedDial {
    index: usize,
    name: String,
    number: String,
}

/// The values of a phone.
pub fn values(phone: &Phone) -> Values {
    let mut speed_dials = 0;
    let keys: Vec<Key> = phone
        .keys
        .iter()
        .enumerate()
        .map(|(at, slot)| {
            let (category, index) = match slot.kind {
                Some(KeyKind::Line) => ("Line", slot.line),
                // Lamps come in the order of their list.
                Some(KeyKind::BusyLamp | KeyKind::Park) => ("BLF", 0),
                Some(KeyKind::SpeedDial | KeyKind::Voicemail) => {
                    speed_dials += 1;
                    ("SpeedDial", speed_dials)
                }
                _ => ("Unassigned", 0),
            };
            Key { n: at + 1, category, index }
        })
        .collect();
    let of_line = |position| phone.keys.iter().filter(move |slot| is_line(slot, position)).count().max(1);
    Values {
        accounts: accounts(phone, plain),
        codecs: codecs(phone, CODECS),
        keys,
        lamps: lamps(phone),
        line_keys: (1..=phone.lines.len()).map(of_line).collect(),
        transport: match phone.server.transport {
            Transport::Udp => "UDPOnly",
            Transport::Tcp => "TCPOnly",
            Transport::Tls => "TLS",
        },
        has_srtp: phone.srtp != Srtp::Disabled,
        needs_srtp: phone.srtp == Srtp::Required,
        rfc2833: u8::from(phone.dtmf == Dtmf::Rfc2833),
        info: u8::from(phone.dtmf == Dtmf::Info),
        gmt_offset: phone.clock.base_minutes * 60,
        start: phone.clock.saving.map(|saving| day(saving.start)),
        stop: phone.clock.saving.map(|saving| day(saving.end)),
        language: language(phone, LANGUAGES, "English_United_States"),
        digit_map: digit_map(phone),
        timeouts: timeouts(phone),
        poll_seconds: (phone.provisioning.poll_hours * 3600).max(3600),
    }
}

/// The values of the master file.
///
/// # Errors
/// Never.
pub fn master(phone: &Phone) -> Result<Context, tera::Error> {
    let mut context = Context::new();
    context.insert("mac", &phone.mac.plain());
    Ok(context)
}

/// The keys that dial a number, in order: a key names its place in this list.
pub fn speed_dials(phone: &Phone) -> Vec<SpeedDial> {
    let dials = |slot: &&Slot| matches!(slot.kind, Some(KeyKind::SpeedDial | KeyKind::Voicemail));
    let speed_dial = |(at, slot): (usize, &Slot)| SpeedDial {
        index: at + 1,
        name: slot.label.clone(),
        number: slot.value.clone(),
    };
    phone.keys.iter().filter(dials).enumerate().map(speed_dial).collect()
}

fn is_line(slot: &Slot, position: usize) -> bool {
    slot.kind == Some(KeyKind::Line) && slot.line == position
}

/// The list of lamps, as long as there are keys: the rest of it is empty.
fn lamps(phone: &Phone) -> Vec<Lamp> {
    let used = phone.keys.iter().filter_map(|slot| {
        let kind = match slot.kind? {
            KeyKind::BusyLamp => "normal",
            KeyKind::Park => "automata",
            _ => return None,
        };
        Some((format!("{}@{}", dialled(&slot.value), phone.domain), slot.label.clone(), kind))
    });
    let off = std::iter::repeat_with(|| (String::new(), String::new(), "normal"));
    let all = used.chain(off).take(phone.keys.len()).enumerate();
    all.map(|(at, (address, label, kind))| Lamp { n: at + 1, address, label, kind }).collect()
}

fn day(change: Change) -> Day {
    Day {
        month: change.month,
        weekday: change.weekday_from_sunday() + 1,
        is_last: u8::from(change.is_last()),
        date: change.first_day(),
        hour: change.hour,
    }
}

/// Emergency numbers at once, everything else after a pause or `#`.
fn digit_map(phone: &Phone) -> String {
    let rest = ["*x.T", "**x.T", "+x.T", "x.T"].map(str::to_owned);
    let all: Vec<String> = at_once(phone).into_iter().chain(rest).collect();
    all.join("|")
}

/// Seconds of the pause for each part of the digit map.
fn timeouts(phone: &Phone) -> String {
    vec!["4"; phone.dial_plan.at_once.len() + 4].join("|")
}
