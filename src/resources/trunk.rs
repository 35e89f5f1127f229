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
#[x_kube(validation = Rule::new("!has(self.registration) || !has(self.credentials)").message("credentials are for a trunk that does not register; registration has its own").field_path(".credentials"))]
#[x_kube(validation = Rule::new("!has(self.from) || self.from != 'Username' || has(self.registration) || has(self.credentials)").message("from Username needs registration or credentials").field_path(".from"))]
#[x_kube(validation = Rule::new("!has(self.numberFormat) || self.numberFormat != 'National' || has(self.country)").message("numberFormat National needs country").field_path(".country"))]
pub struct TrunkSpec {
    /// SIP profile its gateways belong to; one of role Trunks.
    pub sip_profile_ref: LocalRef,
    /// Gateways in order of preference.
    #[schemars(length(min = 1, max = 8))]
    pub gateways: Vec<Gateway>,
    /// SIP domain of the carrier, where it differs from the gateways' hosts: From, To and the
    /// Request-URI have it in their place, while packets go to the gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub domain: Option<String>,
    /// How it registers at the carrier; it does not when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// User name and password for a carrier that asks for them at each call, and knows no registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<TrunkCredentials>,
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
    /// Most calls that begin within one second, per switch. More try the next trunk; emergency calls do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_calls_per_second: Option<i32>,
    /// Where the carrier puts the called number of a call that comes in. When left out: in the Request-URI,
    /// or in To where the Request-URI is the contact that was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound_number: Option<InboundNumber>,
    /// Header that names the caller of a call that comes in; From where a call does not have it. When left
    /// out, the first there is of P-Preferred-Identity, P-Asserted-Identity, Remote-Party-ID and From.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_identity: Option<TrustedIdentity>,
    /// Header that carries the caller's number to the carrier, beside From: PAssertedIdentity when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The user in From: the caller's number when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FromUser>,
    /// Whether URIs with a number say `user=phone` (RFC 3261 19.1.1): false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_phone: Option<bool>,
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
    /// DNS name or address of the carrier's SIP server or registrar.
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub host: String,
    /// SIP port. When left out: of an address the transport's own, 5060 or for TLS 5061; of a name what its
    /// DNS says (NAPTR and SRV, RFC 3263).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How SIP is carried: UDP when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Where packets go instead of to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound_proxy: Option<OutboundProxy>,
}

/// Where packets to a gateway go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutboundProxy {
    /// DNS name or address.
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub host: String,
    /// SIP port; when left out as for a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// A registration at the carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// SIP user at the carrier, often the number: the address that is registered.
    #[schemars(length(min = 1, max = 64), regex(pattern = SIP_USER_PATTERN))]
    pub username: String,
    /// User name in the answers to the carrier's challenges (RFC 8760), where it differs: username when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = SIP_USER_PATTERN))]
    pub auth_username: Option<String>,
    /// Digest realm the carrier asks with; the SIP domain when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub realm: Option<String>,
    /// Secret with the password, key `password` unless named, in the trunk's namespace.
    pub secret_ref: SecretKeyRef,
    /// Life of a registration in seconds: 600 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 86400))]
    pub expiry_seconds: Option<i32>,
    /// User in the contact that is registered, for a carrier that wants one of its own; a name that others
    /// cannot guess when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = SIP_USER_PATTERN))]
    pub contact_user: Option<String>,
}

/// User name and password at a carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrunkCredentials {
    /// User name in the answers to the carrier's challenges.
    #[schemars(length(min = 1, max = 64), regex(pattern = SIP_USER_PATTERN))]
    pub username: String,
    /// Secret with the password, key `password` unless named, in the trunk's namespace.
    pub secret_ref: SecretKeyRef,
}

/// Where the called number of an inbound call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InboundNumber {
    /// The user of the Request-URI, even of a call to a registered contact.
    RequestUri,
    /// The user of To.
    To,
    /// P-Called-Party-ID (RFC 7315); To of a call without it.
    PCalledPartyId,
    /// P-Preferred-Identity; To of a call without it.
    PPreferredIdentity,
    /// The last Diversion (RFC 5806): the number that was called first; To of a call without it.
    Diversion,
}

/// Header that names the caller of an inbound call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrustedIdentity {
    /// P-Asserted-Identity (RFC 3325).
    PAssertedIdentity,
    /// Remote-Party-ID.
    RemotePartyId,
    /// P-Preferred-Identity.
    PPreferredIdentity,
    /// From alone.
    From,
}

/// Header that carries the caller's number to a carrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Identity {
    /// P-Asserted-Identity (RFC 3325).
    #[default]
    PAssertedIdentity,
    /// Remote-Party-ID, which older switches read.
    RemotePartyId,
    /// P-Preferred-Identity (RFC 3325), for a carrier that asserts the identity itself.
    PPreferredIdentity,
    /// None beside From.
    FromOnly,
}

/// The user in From.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromUser {
    /// The caller's number.
    #[default]
    Caller,
    /// The user name at the carrier; the caller's number is in the identity header.
    Username,
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
