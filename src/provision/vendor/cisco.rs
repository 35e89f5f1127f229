//! Cisco: multiplatform phones and SPA phones.

use serde::Serialize;

use super::super::secrets::PhoneSecrets;
use super::{Account, accounts, at_once, dialled, in_order};
use crate::phones::Phone;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::models::Series;
use crate::phones::time_zone::{Change, Clock};
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp};

/// FreeSWITCH's names of codecs and Cisco's.
const CODECS: &[(&str, &str)] =
    &[("PCMU", "G711u"), ("PCMA", "G711a"), ("G722", "G722"), ("OPUS", "OPUS"), ("G729", "G729a")];

/// Values of the template.
#[derive(Serialize)]
pub struct Values {
    accounts: Vec<Account>,
    keys: Vec<Key>,
    units: Vec<Unit>,
    /// Whether it is a multiplatform phone.
    mpp: bool,
    /// The rule that says where it fetches.
    profile_rule: String,
    /// The first three codecs.
    codecs: Vec<&'static str>,
    transport: &'static str,
    proxy: String,
    server: String,
    has_srtp: bool,
    dtmf: &'static str,
    time_zone: String,
    saving: Option<String>,
    voicemail: String,
    dial_plan: String,
    poll_seconds: i32,
    delay_seconds: i32,
}

#[derive(Serialize)]
struct Key {
    n: usize,
    /// Number of a line, or `Disabled`.
    extension: String,
    name: String,
    function: String,
}

/// A module.
#[derive(Serialize)]
struct Unit {
    n: usize,
    on: bool,
    keys: Vec<UnitKey>,
}

#[derive(Serialize)]
struct UnitKey {
    /// The name of its element.
    name: String,
    function: String,
}

/// The values of a phone.
pub fn values(phone: &Phone, secrets: &PhoneSecrets) -> Values {
    let is_mpp = phone.model.series == Series::CiscoMpp;
    let legal: fn(&str, &str) -> String = if is_mpp { clean } else { clean_ascii };
    let (of_phone, of_modules): (Vec<_>, Vec<_>) = phone.keys.iter().partition(|slot| slot.module == 0);
    let mut codecs = in_order(phone, CODECS);
    codecs.truncate(3);
    codecs.resize(3, "Unspecified");
    let password = secrets.provisioning_password.as_deref().unwrap_or_default();
    let provisioning = &phone.provisioning;
    let accounts = accounts(phone, legal);
    let domain = format!("{}:{}", phone.domain, phone.server.port);
    Values {
        voicemail: accounts
            .iter()
            .find(|account| account.mwi)
            .map(|account| account.voicemail.clone())
            .unwrap_or_default(),
        keys: of_phone.iter().map(|slot| key(slot, is_mpp, legal)).collect(),
        units: (1..=phone.model.modules).map(|n| unit(n, &of_modules, is_mpp, legal)).collect(),
        mpp: is_mpp,
        // `$` and brackets are syntax of the rule; user and password have letters, digits and `-` only.
        profile_rule: format!(
            "[--uid {} --pwd {password}]{}/$MA.xml",
            dialled(&provisioning.user),
            provisioning.url
        ),
        codecs,
        transport: match phone.server.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        },
        server: domain,
        proxy: match phone.server.is_domain {
            true => String::new(),
            false => format!("{}:{}", phone.server.host, phone.server.port),
        },
        has_srtp: phone.srtp != Srtp::Disabled,
        dtmf: match phone.dtmf {
            Dtmf::Rfc2833 => "AVT",
            Dtmf::Info => "INFO",
            Dtmf::Inband => "InBand",
        },
        time_zone: time_zone(&phone.clock),
        saving: saving(&phone.clock),
        dial_plan: dial_plan(phone),
        poll_seconds: provisioning.poll_hours * 3600,
        delay_seconds: (provisioning.poll_hours * 360).min(3600),
        accounts,
    }
}

/// Text without what is syntax in a function of a key (`;`, `=`, `@`), or begins a variable (`$`).
pub fn clean(text: &str, otherwise: &str) -> String {
    let legal: String =
        text.chars().filter(|c| !matches!(c, ';' | '=' | '@' | '$' | '[' | ']' | '"' | '\\')).collect();
    let legal = legal.trim();
    if legal.is_empty() { otherwise.to_owned() } else { legal.to_owned() }
}

/// The same in ASCII, for SPA phones, which show nothing else. Letters with marks lose them.
fn clean_ascii(text: &str, otherwise: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => ascii.push(c),
            c => ascii.push_str(without_marks(c)),
        }
    }
    clean(&ascii, otherwise)
}

/// Letters of Western Europe in ASCII; nothing for others.
fn without_marks(c: char) -> &'static str {
    match c {
        'ä' | 'æ' => "ae",
        'Ä' | 'Æ' => "Ae",
        'ö' | 'œ' => "oe",
        'Ö' | 'Œ' => "Oe",
        'ü' => "ue",
        'Ü' => "Ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ą' => "a",
        'À' | 'Á' | 'Â' | 'Ã' | 'Å' | 'Ą' => "A",
        'ç' | 'ć' | 'č' => "c",
        'Ç' | 'Ć' | 'Č' => "C",
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
        'È' | 'É' | 'Ê' | 'Ë' | 'Ę' | 'Ě' => "E",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'Ì' | 'Í' | 'Î' | 'Ï' => "I",
        'ł' => "l",
        'Ł' => "L",
        'ñ' | 'ń' => "n",
        'Ñ' | 'Ń' => "N",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' => "o",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ø' => "O",
        'ř' => "r",
        'Ř' => "R",
        'ś' | 'š' => "s",
        'Ś' | 'Š' => "S",
        'ù' | 'ú' | 'û' | 'ů' => "u",
        'Ù' | 'Ú' | 'Û' | 'Ů' => "U",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'Ź' | 'Ż' | 'Ž' => "Z",
        _ => "",
    }
}

fn time_zone(clock: &Clock) -> String {
    let (sign, hours, minutes) = clock.offset();
    format!("GMT{sign}{hours:02}:{minutes:02}")
}

/// Both changes as month, day and weekday from Monday 1: -1 is the last of the month, another day the first on which it
/// can be.
fn saving(clock: &Clock) -> Option<String> {
    let saving = clock.saving?;
    let change = |c: Change| {
        let day = if c.is_last() { -1 } else { c.first_day() };
        format!("{}/{day}/{}/{}:{}:0", c.month, c.weekday, c.hour, c.minute)
    };
    let (hours, minutes) = (saving.minutes / 60, saving.minutes % 60);
    Some(format!("start={};end={};save={hours}:{minutes}:0", change(saving.start), change(saving.end)))
}

/// Emergency numbers at once, everything else after a pause or `#`.
fn dial_plan(phone: &Phone) -> String {
    let at_once = at_once(phone).into_iter().map(|number| format!("{number}S0"));
    let rest = ["*xx.", "**x.", "+xx.", "x."].map(str::to_owned);
    let all: Vec<String> = at_once.chain(rest).collect();
    format!("({})", all.join("|"))
}

fn key(slot: &Slot, is_mpp: bool, legal: fn(&str, &str) -> String) -> Key {
    let is_line = slot.kind == Some(KeyKind::Line);
    let function = function(slot, is_mpp, legal);
    Key {
        n: slot.position,
        extension: if is_line { slot.line.to_string() } else { "Disabled".to_owned() },
        name: if is_line || !function.is_empty() { legal(&slot.label, &slot.value) } else { String::new() },
        function,
    }
}

/// What a key does that is no line.
fn function(slot: &Slot, is_mpp: bool, legal: fn(&str, &str) -> String) -> String {
    let (number, name) = (dialled(&slot.value), legal(&slot.label, &slot.value));
    match slot.kind {
        Some(KeyKind::BusyLamp) => {
            format!("fnc=blf+sd+cp;sub={number}@$PROXY;ext={number}@$PROXY;nme={name}")
        }
        Some(KeyKind::Park) => format!("fnc=blf+sd;sub={number}@$PROXY;ext={number}@$PROXY;nme={name}"),
        Some(KeyKind::SpeedDial | KeyKind::Voicemail) => format!("fnc=sd;ext={number}@$PROXY;nme={name}"),
        Some(KeyKind::DoNotDisturb) if is_mpp => "fnc=dnd".to_owned(),
        Some(KeyKind::Forward) if is_mpp => "fnc=cfwd".to_owned(),
        Some(KeyKind::AgentLogin) if is_mpp => "fnc=acd".to_owned(),
        _ => String::new(),
    }
}

fn unit(n: usize, keys: &[&Slot], is_mpp: bool, legal: fn(&str, &str) -> String) -> Unit {
    let of_unit = keys.iter().filter(|slot| slot.module == n);
    let key = |slot: &&Slot| UnitKey {
        name: format!("Unit_{n}_Key_{}{}", slot.position, if is_mpp { "_" } else { "" }),
        function: function(slot, is_mpp, legal),
    };
    let keys: Vec<UnitKey> = of_unit.map(key).collect();
    Unit { n, on: keys.iter().any(|key| !key.function.is_empty()), keys }
}
