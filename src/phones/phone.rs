//! What a phone must know, before any vendor's file format.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::dial_plan::DialPlan;
use super::keys::{self, Slot};
use super::language::language;
use super::models::{self, Model};
use super::time_zone::Clock;
use super::{Mac, site::Site};
use crate::plan::{DeviceLineRow, DeviceRow, ExtensionRow};
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, Srtp, Vendor, Vlan};
use crate::resources::feature_code::FeatureAction;
use crate::route::schedule;
use crate::route::view::TenantView;

/// A phone: all that its configuration says, but for passwords.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phone {
    /// Maker.
    pub vendor: Vendor,
    /// What the model can do.
    pub model: Model,
    /// MAC address.
    pub mac: Mac,
    /// As many lines as the model has; those that are off are `None`.
    pub lines: Vec<Option<Line>>,
    /// Every key of the model and of its modules, in order; a key without a function is off.
    pub keys: Vec<Slot>,
    /// SIP domain of all lines.
    pub domain: String,
    /// The SIP server.
    pub server: Server,
    /// Codecs in order of preference, as FreeSWITCH names them.
    pub codecs: Vec<String>,
    /// Whether speech is encrypted.
    pub srtp: Srtp,
    /// How digits are sent during a call.
    pub dtmf: Dtmf,
    /// Seconds until a line registers again.
    pub register_seconds: i32,
    /// Clock.
    pub clock: Clock,
    /// Host of the time server.
    pub ntp_server: String,
    /// Language of the menus, BCP 47.
    pub language: String,
    /// Country whose tones it plays, ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Virtual network.
    pub vlan: Option<Vlan>,
    /// Whether internal callers may ask it to answer by itself.
    pub intercom: bool,
    /// Whether it shows the tenant's extensions.
    pub phonebook: bool,
    /// How it fetches its configuration.
    pub provisioning: Provisioning,
    /// Numbers of their own treatment.
    pub dial_plan: DialPlan,
    /// Whether its own function for forwarding is on: it has a key for it.
    pub forwards: bool,
    /// Whether its own function for do not disturb is on: it has a key for it.
    pub does_not_disturb: bool,
    /// Further settings, by the maker's names.
    pub settings: BTreeMap<String, String>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Position, from 1.
    pub position: usize,
    /// SIP user, which is also the user for challenges.
    pub user: String,
    /// Internal number of its extension.
    pub number: String,
    /// Name of its extension.
    pub display_name: String,
    /// Text beside it.
    pub label: String,
    /// Whether its extension has a voicemail box.
    pub has_voicemail: bool,
    /// What is dialled for that box, where the tenant has a feature code for it.
    pub voicemail: Option<String>,
}

/// The SIP server of all lines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    /// Address or name.
    pub host: String,
    /// Port of the transport.
    pub port: i32,
    /// Transport.
    pub transport: Transport,
    /// Whether it is reached under the domain's own name.
    pub is_domain: bool,
    /// Whether the host is a name, which a certificate can be checked against.
    pub has_name: bool,
}

/// How a phone fetches its configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provisioning {
    /// Where, without a slash at its end.
    pub url: String,
    /// User name.
    pub user: String,
    /// Hours between two fetches.
    pub poll_hours: i32,
}

impl Phone {
    /// The phone of a Device that is not disabled; `None` for a missing one.
    pub fn of(view: &TenantView, device: &str, site: &Site) -> Option<Self> {
        Self::new(view, view.plan.devices.get(device)?, site, &DialPlan::of(view))
    }

    /// The phones of all Devices of a tenant that are not disabled, each with its Device's name.
    pub fn all<'a>(view: &'a TenantView, site: &Site) -> Vec<(&'a str, Self)> {
        let dial_plan = DialPlan::of(view);
        let devices = view.plan.devices.iter();
        devices
            .filter_map(|(name, row)| Some((name.as_str(), Self::new(view, row, site, &dial_plan)?)))
            .collect()
    }

    fn new(view: &TenantView, row: &DeviceRow, site: &Site, dial_plan: &DialPlan) -> Option<Self> {
        if row.disabled {
            return None;
        }
        let model = models::find(row.vendor, row.model.as_deref());
        let lines = lines(view, row, &model);
        let keys = keys::of(view, row, &model, &lines);
        let has_key = |kind| keys.iter().any(|slot| slot.kind == Some(kind));
        let tenant = &view.plan.tenant;
        let server = server(tenant.main_domain(), row.transport, site);
        let srtp = row.srtp.unwrap_or(match server.transport {
            Transport::Tls => Srtp::Optional,
            Transport::Udp | Transport::Tcp => Srtp::Disabled,
        });
        Some(Self {
            vendor: row.vendor,
            mac: Mac::parse(&row.mac)?,
            domain: tenant.main_domain().to_owned(),
            server,
            codecs: site.codecs.clone(),
            srtp,
            dtmf: row.dtmf,
            register_seconds: row.register_seconds,
            clock: clock(&row.time_zone, site.now),
            ntp_server: site.ntp_server.clone(),
            language: row.language.clone().unwrap_or_else(|| language(tenant.country.as_deref()).to_owned()),
            country: tenant.country.clone(),
            vlan: row.vlan,
            intercom: row.intercom,
            phonebook: row.phonebook,
            provisioning: Provisioning {
                url: site.provisioning_urls.of(row).to_owned(),
                user: row.provisioning_user.clone(),
                poll_hours: row.poll_hours,
            },
            dial_plan: dial_plan.clone(),
            forwards: has_key(keys::KeyKind::Forward),
            does_not_disturb: has_key(keys::KeyKind::DoNotDisturb),
            settings: row.settings.clone(),
            model,
            lines,
            keys,
        })
    }

    /// The same phone with its provisioning alone: what it gets while it enrolls. It has no line, no key, no phonebook
    /// and no further setting.
    pub fn bootstrap(&self) -> Self {
        let keys = self.keys.iter().map(|slot| Slot::off(slot.module, slot.position)).collect();
        Self {
            lines: vec![None; self.lines.len()],
            keys,
            dial_plan: DialPlan::default(),
            phonebook: false,
            forwards: false,
            does_not_disturb: false,
            settings: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// The lines that are on.
    pub fn active_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().flatten()
    }

    /// A digest that differs when the phone's configuration does, but for passwords, phonebook and templates: SHA-256 of
    /// its JSON.
    pub fn fingerprint(&self) -> [u8; 32] {
        // A phone is plain data, so it always has a JSON form.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(json).into()
    }
}

/// As many lines as the model has.
fn lines(view: &TenantView, row: &DeviceRow, model: &Model) -> Vec<Option<Line>> {
    let mut lines = vec![None; model.lines];
    for of in &row.lines {
        let index = usize::try_from(of.position).ok().and_then(|position| position.checked_sub(1));
        let slot = index.and_then(|index| lines.get_mut(index));
        if let (Some(slot), Some(extension)) = (slot, view.plan.extensions.get(&of.extension)) {
            *slot = Some(line(view, of, extension));
        }
    }
    lines
}

fn line(view: &TenantView, of: &DeviceLineRow, extension: &ExtensionRow) -> Line {
    let has_voicemail = extension.voicemail.is_some();
    Line {
        position: usize::try_from(of.position).unwrap_or(1),
        user: of.user.clone(),
        number: extension.number.clone(),
        display_name: text(&extension.display_name, &extension.number),
        label: text(of.label.as_deref().unwrap_or_default(), &extension.number),
        has_voicemail,
        voicemail: voicemail_code(view).filter(|_| has_voicemail),
    }
}

/// The tenant's code for a caller's own voicemail box: of several, the first by name.
fn voicemail_code(view: &TenantView) -> Option<String> {
    let mut codes = view.plan.feature_codes.values();
    codes.find(|code| code.action == FeatureAction::CheckVoicemail).map(|code| code.code.clone())
}

/// Text for people without blanks at its ends, which no file format keeps; the other text if none is left.
pub(super) fn text(text: &str, otherwise: &str) -> String {
    let trimmed = text.trim();
    if trimmed.is_empty() { otherwise.to_owned() } else { trimmed.to_owned() }
}

fn server(domain: &str, asked: Option<Transport>, site: &Site) -> Server {
    let by_port = if site.tls_port.is_some() { Transport::Tls } else { Transport::Udp };
    let transport = asked.unwrap_or(by_port);
    let port = match transport {
        Transport::Tls => site.tls_port.unwrap_or(5061),
        Transport::Udp | Transport::Tcp => site.sip_port,
    };
    let host = site.sip_host.clone().unwrap_or_else(|| domain.to_owned());
    let has_name = host.parse::<std::net::IpAddr>().is_err();
    Server { is_domain: host == domain, host, port, transport, has_name }
}

/// The clock of a zone. Compile refuses unknown zones; UTC stands in for them.
fn clock(name: &str, now: Timestamp) -> Clock {
    match schedule::zone(name) {
        Some(zone) => Clock::new(name, &zone, now),
        None => Clock::new("UTC", &jiff::tz::TimeZone::UTC, now),
    }
}
