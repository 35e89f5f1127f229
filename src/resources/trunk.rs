//! A trunk: a carrier, with the SIP gateways that lead to it.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use super::common::*;
use super::status::TrunkStatus;

/// A trunk: a carrier, with the SIP gateways that lead to it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Trunk",
    plural = "trunks",
    namespaced,
    status = "TrunkStatus",
    category = "pbx",
    shortname = "trk",
    cel,
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.gateways[0].host"),
    printcolumn(name = "SipProfile", type_ = "string", json_path = ".spec.sipProfileRef.name"),
    printcolumn(name = "Registered", type_ = "string", json_path = ".status.registered"),
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
#[x_kube(validation = Rule::new("!has(self.numberFormat) || self.numberFormat != 'National' || has(self.country)").message("numberFormat National needs country").field_path(".country"))]
pub struct TrunkSpec {
    /// SIP profile its gateways belong to; one of role Trunks.
    pub sip_profile_ref: LocalRef,
    /// Gateways in order of preference.
    #[schemars(length(min = 1, max = 8))]
    pub gateways: Vec<Gateway>,
    /// How it registers at the carrier; it does not when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// Networks its calls come from. A call from elsewhere is refused; gateway hosts that are addresses count as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 49), regex(pattern = CIDR_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub source_addresses: Vec<String>,
    /// Codecs offered, in order; the SIP profile's when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 16), regex(pattern = CODEC_PATTERN)))]
    pub codecs: Vec<String>,
    /// Most calls at one time, per switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub max_concurrent_calls: Option<i32>,
    /// How numbers are written, both ways: E164 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_format: Option<NumberFormat>,
    /// Country of the carrier, ISO 3166-1 alpha-2: needed for numberFormat National.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 2), regex(pattern = COUNTRY_PATTERN))]
    pub country: Option<String>,
    /// Seconds a gateway may take to show progress before the next is tried: 8 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub progress_timeout_seconds: Option<i32>,
    /// Seconds between OPTIONS requests that find out whether a gateway is there; one that does not
    /// answer them is not used. None are sent when left out, because not every carrier answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 3600))]
    pub ping_seconds: Option<i32>,
    /// Namespaces whose tenants may use it; its own only when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// One way to the carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// DNS name or address.
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub host: String,
    /// SIP port: 5060 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How SIP is carried: UDP when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
}

/// A registration at the carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// User name at the carrier.
    #[schemars(length(min = 1, max = 64), regex(pattern = SIP_USER_PATTERN))]
    pub username: String,
    /// Digest realm the carrier asks with; the gateway's host when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub realm: Option<String>,
    /// Secret with the password, key `password` unless named, in the trunk's namespace.
    pub secret_ref: SecretKeyRef,
    /// Life of a registration in seconds: 600 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 86400))]
    pub expiry_seconds: Option<i32>,
}

/// Which namespaces may use a resource (the form Gateway API uses).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.from == 'Selector') == has(self.selector)", "message": "selector goes with from Selector, and only with it"}
]))]
pub struct AllowedNamespaces {
    /// From where.
    pub from: FromNamespaces,
    /// Labels a namespace needs, for `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// From which namespaces a resource may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromNamespaces {
    /// Its own.
    Same,
    /// Every one.
    All,
    /// Those the selector matches.
    Selector,
}

/// Namespaces by their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSelector {
    /// Labels a namespace must have, all of them.
    #[schemars(schema_with = "label_values")]
    pub match_labels: BTreeMap<String, String>,
}

/// Label values, bounded as Kubernetes bounds them: the schema of a map's values has to be written
/// by hand.
fn label_values(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE_PATTERN},
    })
}
