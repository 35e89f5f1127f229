//! A phone that is provisioned by its MAC address.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A phone that is provisioned by its MAC address.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Device",
    plural = "devices",
    namespaced,
    status = "Status",
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
pub struct DeviceSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// MAC address.
    #[schemars(length(min = 17, max = 17), regex(pattern = MAC_PATTERN))]
    pub mac: String,
    /// Maker of the phone.
    pub vendor: Vendor,
    /// Model, as the maker names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = MODEL_PATTERN))]
    pub model: Option<String>,
    /// Place that it stands at, one of the Tenant's `emergency.locations`; its extension's when left out, and when
    /// another Device of the extension names another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_location_ref: Option<LocalRef>,
    /// Lines in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub lines: Vec<Line>,
    /// Programmable keys in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub keys: Vec<Key>,
}

/// Makers of phones.
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
}

/// A line of a phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Extension that registers on it.
    pub extension_ref: LocalRef,
    /// Text beside the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = TEXT_PATTERN))]
    pub label: Option<String>,
}

/// A programmable key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.type == 'BusyLamp') == has(self.extensionRef)", "message": "extensionRef goes with type BusyLamp, and only with it"},
    {"rule": "(self.type == 'SpeedDial') == has(self.number)", "message": "number goes with type SpeedDial, and only with it"}
]))]
pub struct Key {
    /// What the key is.
    #[serde(rename = "type")]
    pub key_type: KeyType,
    /// Extension whose state it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalRef>,
    /// Number it dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24), regex(pattern = DIGITS_PATTERN))]
    pub number: Option<String>,
    /// Text beside the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = TEXT_PATTERN))]
    pub label: Option<String>,
}

/// Types of programmable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyType {
    /// Lamp and speed dial of an extension.
    BusyLamp,
    /// Dials a number.
    SpeedDial,
}
