//! A phone that is provisioned by its MAC address.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::DeviceStatus;

/// A phone that is provisioned by its MAC address.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Device",
    plural = "devices",
    namespaced,
    status = "DeviceStatus",
    category = "pbx",
    shortname = "dev",
    cel,
    printcolumn(name = "MAC", type_ = "string", json_path = ".spec.mac"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantRef.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.tenantRef == oldSelf.tenantRef").message("tenantRef cannot change; create the resource anew under the other tenant").field_path(".tenantRef"))]
#[x_kube(validation = Rule::new("!has(self.provisioning) || !has(self.provisioning.allowHttp) || !self.provisioning.allowHttp || has(self.provisioning.allowedNetworks)").message("allowHttp needs allowedNetworks").field_path(".provisioning.allowHttp"))]
#[x_kube(validation = Rule::new("!has(self.provisioning) || !has(self.provisioning.enrollUntil) || has(self.provisioning.allowedNetworks)").message("enrollUntil needs allowedNetworks").field_path(".provisioning.enrollUntil"))]
#[x_kube(validation = Rule::new("!has(self.srtp) || self.srtp != 'Required' || !has(self.transport) || self.transport == 'TLS'").message("srtp Required needs transport TLS, which protects its keys").field_path(".srtp"))]
pub struct DeviceSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// MAC address; of two Devices with one MAC address, in any tenants, the older has it.
    #[schemars(length(min = 17, max = 17), regex(pattern = MAC_PATTERN))]
    pub mac: String,
    /// Maker of the phone, or the softphone.
    pub vendor: Vendor,
    /// Model, as the maker names it. A model that Centrex does not know has the lines and keys of the maker's largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = MODEL_PATTERN))]
    pub model: Option<String>,
    /// Whether the phone is shut out, such as a lost one: it gets no configuration and cannot register. False when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Place that it stands at, one of the Tenant's `emergency.locations`; its extension's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_location_ref: Option<LocalRef>,
    /// Lines in order, as many as the model has at most. Each registers as a SIP user of its own, and has number, rights
    /// and caller id of its extension.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub lines: Vec<Line>,
    /// Programmable keys, each at a position of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 300))]
    pub keys: Vec<Key>,
    /// Secret with the SIP password of its lines (key `password`) and the password by which it fetches its
    /// configuration (key `provisioningPassword`): 8 to 128 letters and digits each. Both are generated into the Secret
    /// `<name>-device` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<DeviceCredentials>,
    /// Secret with the password of the phone's own menu and web page, key `password` unless named: 8 to 32 letters and
    /// digits. The phone keeps its own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_password_secret_ref: Option<SecretKeyRef>,
    /// How its SIP is carried: TLS where the SipProfile has a tlsPort, else UDP, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Whether its speech is encrypted: Optional with TLS, else Disabled, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<Srtp>,
    /// How it sends digits during a call: Rfc2833 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtmf: Option<Dtmf>,
    /// Seconds until it registers again: 300 when left out. The switches allow 600 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 600))]
    pub register_seconds: Option<i32>,
    /// Time zone of its clock, an IANA name; the tenant's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TIME_ZONE_PATTERN))]
    pub time_zone: Option<String>,
    /// Language of its menus (BCP 47, such as `de`); that of the tenant's country when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 5), regex(pattern = LANGUAGE_PATTERN))]
    pub language: Option<String>,
    /// Virtual network of the phone and of what is plugged into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Whether internal callers may ask it to answer by itself: false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intercom: Option<bool>,
    /// Whether it shows the tenant's extensions in its phonebook: true when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phonebook: Option<bool>,
    /// How it fetches its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,
    /// An event when none of its lines is registered for a time; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_when_offline: Option<AlertWhenOffline>,
    /// Further settings of the phone, by the maker's names. What would lead it to another server, change its
    /// credentials or open it to others is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "settings")]
    pub settings: BTreeMap<String, String>,
}

/// Further settings, bounded: the schema of a map's values has to be written by hand. Which names a maker has, is
/// checked at compile.
fn settings(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 255, "pattern": SETTING_VALUE_PATTERN},
    })
}

/// Makers of phones, and softphones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Vendor {
    /// Yealink.
    Yealink,
    /// Poly, formerly Polycom.
    Poly,
    /// Grandstream.
    Grandstream,
    /// Snom.
    Snom,
    /// Cisco.
    Cisco,
    /// Fanvil.
    Fanvil,
    /// Linphone, a softphone.
    Linphone,
    /// Acrobits Softphone and Groundwire.
    Acrobits,
    /// MicroSIP, a softphone.
    MicroSip,
}

/// A line of a phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Extension whose calls it makes and takes.
    pub extension_ref: LocalRef,
    /// Text beside the line; the extension's number when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = TEXT_PATTERN))]
    pub label: Option<String>,
}

/// A programmable key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.type == 'BusyLamp') == has(self.extensionRef)", "message": "extensionRef goes with type BusyLamp, and only with it"},
    {"rule": "(self.type == 'SpeedDial') == has(self.number)", "message": "number goes with type SpeedDial, and only with it"},
    {"rule": "(self.type == 'Park') == has(self.place)", "message": "place goes with type Park, and only with it"},
    {"rule": "(self.type == 'Url') == has(self.url)", "message": "url goes with type Url, and only with it"}
]))]
pub struct Key {
    /// What the key is.
    #[serde(rename = "type")]
    pub key_type: KeyType,
    /// Position on the phone or on its module, from 1; the position after the key before it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub position: Option<i32>,
    /// Expansion module that the key is on, from 1; 0, the phone itself, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 6))]
    pub module: Option<i32>,
    /// Line that the key is, or dials by, from 1; the first when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub line: Option<i32>,
    /// Extension whose state it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalRef>,
    /// Number it dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24), regex(pattern = DIGITS_PATTERN))]
    pub number: Option<String>,
    /// Parking place whose state it shows, and where it parks calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), regex(pattern = PARKING_PLACE_PATTERN))]
    pub place: Option<String>,
    /// Address that it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 255), regex(pattern = URL_PATTERN))]
    pub url: Option<String>,
    /// Text beside the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = TEXT_PATTERN))]
    pub label: Option<String>,
}

/// Types of programmable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyType {
    /// A line of the phone.
    Line,
    /// Lamp and speed dial of an extension.
    BusyLamp,
    /// Dials a number.
    SpeedDial,
    /// Lamp of a parking place: parks a call there, or takes it from there, by the tenant's FeatureCode for Park.
    Park,
    /// Opens the voicemail box of the line, by the tenant's FeatureCode for CheckVoicemail.
    Voicemail,
    /// Takes a call that rings at another phone, by the phone's own function.
    Pickup,
    /// Do not disturb, by the phone's own function.
    DoNotDisturb,
    /// Call forwarding, by the phone's own function.
    Forward,
    /// Logs an agent in and out, by the phone's own function.
    AgentLogin,
    /// Opens an address.
    Url,
}

/// Whether speech is encrypted (RFC 3711, keys by RFC 4568).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Srtp {
    /// It is not.
    Disabled,
    /// It is, where the other side can.
    Optional,
    /// It is, else there is no call.
    Required,
}

/// How digits are sent during a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Dtmf {
    /// As events between the speech (RFC 4733, formerly RFC 2833).
    #[default]
    Rfc2833,
    /// By SIP INFO.
    Info,
    /// As tones.
    Inband,
}

/// A virtual network (IEEE 802.1Q).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vlan {
    /// Network of the phone.
    #[schemars(range(min = 1, max = 4094))]
    pub id: i32,
    /// Priority of its frames: 5 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 7))]
    pub priority: Option<i32>,
    /// Network of what is plugged into the phone; untagged when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub pc_id: Option<i32>,
}

/// The Secret of a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceCredentials {
    /// The Secret, in the same namespace.
    pub secret_ref: SecretRef,
}

/// How a phone fetches its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provisioning {
    /// Networks that it may fetch from; every network that the installation allows when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 49), regex(pattern = CIDR_PATTERN)))]
    pub allowed_networks: Vec<String>,
    /// Whether it may fetch without TLS, from its `allowedNetworks`: false when left out. Its passwords then cross that
    /// network in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_http: Option<bool>,
    /// Until this time the phone gets its provisioning password at its first fetch without one, once, from its
    /// `allowedNetworks`; never when left out. At most an hour before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 17, max = 25), regex(pattern = TIME_PATTERN))]
    pub enroll_until: Option<String>,
    /// Hours between its fetches: 24 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 168))]
    pub poll_hours: Option<i32>,
}

/// When the absence of a phone is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertWhenOffline {
    /// Minutes that none of its lines is registered.
    #[schemars(range(min = 1, max = 10080))]
    pub minutes: i32,
}
