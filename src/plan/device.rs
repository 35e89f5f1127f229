//! Rows of phones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::{Row, Secrets};
use crate::resources::Kind;
use crate::resources::common::Transport;
use crate::resources::device::{Dtmf, KeyType, Srtp, Vendor, Vlan};

/// A phone that is provisioned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRow {
    /// MAC address, in lower case with colons.
    pub mac: String,
    /// Maker.
    pub vendor: Vendor,
    /// Model, as its Device writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether the phone is shut out: no configuration, no registration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Name of the place that it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_location: Option<String>,
    /// Lines by position.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<DeviceLineRow>,
    /// Keys by module and position.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<DeviceKeyRow>,
    /// How its SIP is carried; as the SIP profile allows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Whether its speech is encrypted; as its transport allows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<Srtp>,
    /// How it sends digits.
    pub dtmf: Dtmf,
    /// Seconds until it registers again.
    pub register_seconds: i32,
    /// IANA time zone of its clock.
    pub time_zone: String,
    /// Language of its menus, BCP 47; that of the tenant's country when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Virtual network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Whether internal callers may ask it to answer by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intercom: bool,
    /// Whether it shows the tenant's extensions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub phonebook: bool,
    /// User name by which it fetches its configuration. Derived from tenant and name, and no secret.
    pub provisioning_user: String,
    /// Networks that it may fetch from, CIDR; every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_networks: Vec<String>,
    /// Whether it may fetch without TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_http: bool,
    /// Until when its first fetch gets the provisioning password, RFC 3339; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll_until: Option<String>,
    /// Hours between fetches.
    pub poll_hours: i32,
    /// Minutes without a registration until an event; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_alert_minutes: Option<i32>,
    /// Value of the annotation `centrex.dev/restarted-at`: when it changes, the phone restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<String>,
    /// Further settings, by the maker's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// `password` of its lines, `provisioningPassword`, and `adminPassword` of its own menu.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
}

/// A line: a SIP user of its own, whose number, rights and caller id are its extension's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceLineRow {
    /// Position on the phone, from 1.
    pub position: i32,
    /// Name of the extension.
    pub extension: String,
    /// SIP user in the tenant's domain: the extension's number, `-` and 8 hexadecimal digits.
    pub user: String,
    /// Text beside the line; the extension's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A programmable key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceKeyRow {
    /// Expansion module, from 1; 0 is the phone.
    pub module: i32,
    /// Position there, from 1.
    pub position: i32,
    /// What the key is.
    #[serde(rename = "type")]
    pub key_type: KeyType,
    /// Line that the key is, or dials by, from 1.
    pub line: i32,
    /// Name of the extension whose state it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// What it dials: a number, an internal number, or a feature code with its digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Parking place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Address that it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Text beside the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl DeviceRow {
    /// What distinguishes it from all Devices of the platform: its provisioning user, and its MAC address.
    pub fn identifiers(&self) -> [&str; 2] {
        [&self.provisioning_user, &self.mac]
    }
}

impl Row for DeviceRow {
    const KIND: Kind = Kind::Device;

    fn secrets(&self) -> Option<&Secrets> {
        Some(&self.secrets)
    }

    fn secrets_mut(&mut self) -> Option<&mut Secrets> {
        Some(&mut self.secrets)
    }
}
