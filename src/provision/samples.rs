//! A phone of each series with every part, and one with none: templates are tried with them.

use jiff::Timestamp;
use tera::Context;

use super::phonebook::Contact;
use super::secrets::PhoneSecrets;
use super::settings;
use super::vendor;
use crate::phones::Mac;
use crate::phones::dial_plan::DialPlan;
use crate::phones::keys::{KeyKind, Slot};
use crate::phones::models::{self, Model, Series};
use crate::phones::phone::{Line, Phone, Provisioning, Server};
use crate::phones::time_zone::Clock;
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp, Vendor, Vlan};
use crate::route::schedule;

/// The values with which a template is tried.
///
/// # Errors
/// Never: every value can be written as a template's.
pub fn of(template: &str) -> Result<Vec<Context>, tera::Error> {
    let models: &[(Vendor, &str)] = match template {
        "acrobits/account.xml" => &[(Vendor::Acrobits, "")],
        "cisco/flat-profile.xml" => &[(Vendor::Cisco, "8851"), (Vendor::Cisco, "SPA504G")],
        "fanvil/sysconf.xml" => &[(Vendor::Fanvil, "X4U")],
        "grandstream/items.xml" => &[(Vendor::Grandstream, "GRP2614")],
        "grandstream/p-values.xml" => &[(Vendor::Grandstream, "HT802"), (Vendor::Grandstream, "GXP2120")],
        "linphone/config.xml" => &[(Vendor::Linphone, "")],
        "microsip/microsip.ini" => &[(Vendor::MicroSip, "")],
        "poly/phone.xml" => &[(Vendor::Poly, "VVX450")],
        "snom/settings.xml" => &[(Vendor::Snom, "D785")],
        "yealink/phone.cfg" => &[(Vendor::Yealink, "T54W"), (Vendor::Yealink, "W80B")],
        "poly/master.xml" => return Ok(vec![vendor::poly::master(&full(Vendor::Poly, "VVX450"))?]),
        _ => return Ok(vec![phonebook(1), phonebook(0)]),
    };
    let mut contexts = Vec::new();
    for (vendor, model) in models {
        let full = full(*vendor, model);
        for phone in [full.bootstrap(), full] {
            let extra = settings::for_template(phone.model.series, &phone.settings);
            contexts.push(vendor::context(&phone, &PhoneSecrets::hidden(), &extra)?.1);
        }
    }
    Ok(contexts)
}

fn phonebook(contacts: usize) -> Context {
    let contact = Contact { name: "Anna".to_owned(), number: "1001".to_owned() };
    let mut context = Context::new();
    context.insert("contacts", &vec![contact; contacts]);
    context.insert("speed_dials", &vendor::poly::speed_dials(&full(Vendor::Poly, "VVX450")));
    context.insert("next", &(contacts > 0).then_some("https://phones.example.com/provision/page.xml"));
    context
}

/// A phone with every part.
pub fn full(vendor: Vendor, model: &str) -> Phone {
    let model = models::find(vendor, Some(model));
    let now = Timestamp::UNIX_EPOCH;
    let clock = match schedule::zone("Europe/Berlin") {
        Some(zone) => {
            Clock::new("Europe/Berlin", &zone, Timestamp::from_second(1_800_000_000).unwrap_or(now))
        }
        None => Clock::new("UTC", &jiff::tz::TimeZone::UTC, now),
    };
    let line = |at: usize| Line {
        position: at + 1,
        user: format!("10{at:02}-0123abcd"),
        number: format!("10{at:02}"),
        display_name: "Anna".to_owned(),
        label: "Anna".to_owned(),
        has_voicemail: true,
        voicemail: Some("*97".to_owned()),
    };
    // The last line is off.
    let lines: Vec<Option<Line>> =
        (0..model.lines).map(|at| (at == 0 || at + 1 < model.lines).then(|| line(at))).collect();
    Phone {
        vendor,
        mac: Mac::parse("805ec01234ab").unwrap_or_default(),
        lines,
        keys: keys(&model),
        domain: "acme.example.com".to_owned(),
        server: Server {
            host: "sip.example.com".to_owned(),
            port: 5061,
            transport: Transport::Tls,
            is_domain: false,
            has_name: true,
        },
        codecs: ["OPUS", "G722", "PCMA"].map(str::to_owned).to_vec(),
        srtp: Srtp::Optional,
        dtmf: Dtmf::Rfc2833,
        register_seconds: 300,
        clock,
        ntp_server: "pool.ntp.org".to_owned(),
        language: "de".to_owned(),
        country: Some("DE".to_owned()),
        vlan: Some(Vlan { id: 20, priority: Some(5), pc_id: Some(30) }),
        intercom: true,
        phonebook: true,
        provisioning: Provisioning {
            url: "https://phones.example.com/provision".to_owned(),
            user: "d-abcdefghij".to_owned(),
            poll_hours: 24,
        },
        dial_plan: DialPlan { emergency: vec!["112".to_owned()], at_once: vec!["112".to_owned()] },
        forwards: true,
        does_not_disturb: true,
        settings: setting(model.series).map(|key| (key.to_owned(), "1".to_owned())).into_iter().collect(),
        model,
    }
}

/// A key of every kind, and others that are off.
fn keys(model: &Model) -> Vec<Slot> {
    let kinds = [
        KeyKind::Line,
        KeyKind::BusyLamp,
        KeyKind::SpeedDial,
        KeyKind::Park,
        KeyKind::Voicemail,
        KeyKind::Pickup,
        KeyKind::DoNotDisturb,
        KeyKind::Forward,
        KeyKind::AgentLogin,
        KeyKind::Url,
    ];
    let slots = (1..=model.keys).map(|position| Slot::off(0, position));
    let of_modules = (1..=model.modules)
        .flat_map(|module| (1..=model.module_keys).map(move |position| Slot::off(module, position)));
    let mut slots: Vec<Slot> = slots.chain(of_modules).collect();
    for (slot, kind) in slots.iter_mut().zip(kinds) {
        let value = match kind {
            KeyKind::Url => "https://example.com/",
            KeyKind::Park => "park+701",
            _ => "1002",
        };
        *slot = Slot {
            kind: Some(kind),
            line: 1,
            value: value.to_owned(),
            label: "Key".to_owned(),
            ..Slot::off(slot.module, slot.position)
        };
    }
    slots
}

/// A setting that is allowed.
fn setting(series: Series) -> Option<&'static str> {
    Some(match series {
        Series::Yealink | Series::YealinkDect => "phone_setting.ring_type",
        Series::Poly => "up.backlight.timeout",
        Series::GrandstreamItems => "lcd.backlight.active",
        Series::GrandstreamPValues => "P334",
        Series::Snom => "dim_timer",
        Series::Fanvil => "phone.display.LCDTitle",
        Series::CiscoMpp | Series::CiscoSpa => "Back_Light_Timer",
        Series::CiscoEnterprise | Series::Linphone | Series::Acrobits | Series::MicroSip => return None,
    })
}
