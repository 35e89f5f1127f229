//! Snom.

use serde::Serialize;

use super::{Account, accounts, at_once, dialled, in_order, language, pick};
use crate::phones::Phone;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::time_zone::{Change, Clock};
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};

/// FreeSWITCH's names of codecs and Snom's.
const CODECS: &[(&str, &str)] = &[
    ("PCMU", "pcmu"),
    ("PCMA", "pcma"),
    ("G722", "g722"),
    ("G729", "g729"),
    ("OPUS", "opus"),
    ("G726-32", "g726-32"),
];

const LANGUAGES: &[(&str, &str)] = &[
    ("cs", "Cestina"),
    ("da", "Dansk"),
    ("de", "Deutsch"),
    ("en", "English"),
    ("es", "Espanol"),
    ("fi", "Suomi"),
    ("fr", "Francais"),
    ("it", "Italiano"),
    ("nb", "Norsk"),
    ("nl", "Nederlands"),
    ("pl", "Polski"),
    ("pt", "Portugues"),
    ("sv", "Svenska"),
];

const TONES: &[(&str, &str)] = &[
    ("AT", "AUT"),
    ("AU", "AUS"),
    ("CH", "SWI"),
    ("DE", "GER"),
    ("DK", "DNK"),
    ("ES", "ESP"),
    ("FR", "FRA"),
    ("GB", "GBR"),
    ("IT", "ITA"),
    ("JP", "JPN"),
    ("NL", "NLD"),
    ("NO", "NOR"),
    ("SE", "SWE"),
    ("US", "USA"),
];

/// Codes of zones by minutes from UTC. Which zone of an offset it is does not matter: the rules of daylight saving are
/// sent beside it.
const ZONES: &[(i32, &str)] = &[
    (-600, "USA-10"),
    (-540, "USA-9"),
    (-480, "USA-8"),
    (-420, "USA-7"),
    (-360, "USA-6"),
    (-300, "USA-5"),
    (-240, "CAN-4"),
    (-210, "CAN-3.5"),
    (-180, "BRA-3"),
    (0, "GBR-0"),
    (60, "GER+1"),
    (120, "FIN+2"),
    (180, "TUR+3"),
    (240, "RUS+4"),
    (300, "PAK+5"),
    (330, "IND+5.5"),
    (420, "THA+7"),
    (480, "CHN+8"),
    (540, "JPN+9"),
    (570, "AUS+9.5"),
    (600, "AUS+10"),
    (720, "NZL+12"),
];

/// Values of the template.
#[derive(Serialize)]
pub struct Values {
    accounts: Vec<Account>,
    keys: Vec<Key>,
    codecs: String,
    transport: &'static str,
    srtp: &'static str,
    savp: &'static str,
    dtmf: &'static str,
    time_zone: &'static str,
    utc_offset: i32,
    saving: String,
    language: &'static str,
    tones: &'static str,
    dial_plan: String,
    emergency: String,
    poll_seconds: i32,
}

#[derive(Serialize)]
struct Key {
    index: usize,
    context: String,
    label: String,
    value: String,
}

/// The values of a phone.
pub fn values(phone: &Phone) -> Values {
    let mut codecs = in_order(phone, CODECS);
    codecs.push("telephone-event");
    Values {
        accounts: accounts(phone, clean),
        keys: phone.keys.iter().enumerate().map(|(index, slot)| key(index, slot, phone)).collect(),
        codecs: codecs.join(","),
        transport: match phone.server.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        },
        srtp: if phone.srtp == Srtp::Disabled { "off" } else { "on" },
        savp: match phone.srtp {
            Srtp::Disabled => "off",
            Srtp::Optional => "optional",
            Srtp::Required => "mandatory",
        },
        dtmf: match phone.dtmf {
            Dtmf::Rfc2833 | Dtmf::Inband => "off",
            Dtmf::Info => "sip_info_only",
        },
        time_zone: zone(&phone.clock),
        utc_offset: phone.clock.base_minutes * 60,
        saving: saving(&phone.clock),
        language: language(phone, LANGUAGES, "English"),
        tones: pick(TONES, phone.country.as_deref().unwrap_or_default(), "USA"),
        dial_plan: dial_plan(phone),
        emergency: phone.dial_plan.emergency.join(" "),
        poll_seconds: phone.provisioning.poll_hours * 3600,
    }
}

/// Text without the beginning of Snom's variables, `$(`.
pub fn clean(text: &str, _: &str) -> String {
    text.replace("$(", "(")
}

fn zone(clock: &Clock) -> &'static str {
    ZONES.iter().find(|(minutes, _)| *minutes == clock.base_minutes).map_or("", |(_, code)| *code)
}

/// Seconds, and both changes as month, week, weekday from Monday 1, and time; nothing saved without changes.
fn saving(clock: &Clock) -> String {
    let change =
        |c: Change| format!("{:02}.{:02}.{:02} {:02}:{:02}:00", c.month, c.week, c.weekday, c.hour, c.minute);
    match clock.saving {
        None => String::new(),
        Some(saving) => format!("{} {} {}", saving.minutes * 60, change(saving.start), change(saving.end)),
    }
}

/// Emergency numbers are sent as soon as they are complete.
fn dial_plan(phone: &Phone) -> String {
    match at_once(phone).as_slice() {
        [] => String::new(),
        numbers => format!("|^({})$|sip:\\1@\\d|d", numbers.join("|")),
    }
}

fn key(index: usize, slot: &Slot, phone: &Phone) -> Key {
    let value = match slot.kind {
        None => "none".to_owned(),
        Some(KeyKind::Line) => "line".to_owned(),
        Some(KeyKind::BusyLamp | KeyKind::Park) => {
            format!("blf sip:{}@{}", dialled(&slot.value), phone.domain)
        }
        Some(KeyKind::SpeedDial | KeyKind::Voicemail) => format!("speed {}", dialled(&slot.value)),
        Some(KeyKind::Url) => format!("url {}", slot.value),
        Some(KeyKind::DoNotDisturb) => "keyevent F_DND".to_owned(),
        Some(KeyKind::Forward) => "keyevent F_REDIRECT".to_owned(),
        // It has no such functions of its own.
        Some(KeyKind::Pickup | KeyKind::AgentLogin) => "none".to_owned(),
    };
    let context = if slot.line == 0 { "active".to_owned() } else { slot.line.to_string() };
    Key { index, context, label: clean(&slot.label, ""), value }
}
