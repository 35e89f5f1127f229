//! A Sofia profile of the switches: where phones or carriers speak SIP to them.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A Sofia profile of the switches: where phones or carriers speak SIP to them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "SipProfile",
    plural = "sipprofiles",
    status = "Status",
    category = "pbx",
    shortname = "sipp",
    cel,
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Port", type_ = "integer", json_path = ".spec.sipPort"),
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
#[x_kube(validation = Rule::new("!has(self.wsPort) || self.role == 'Phones'").message("wsPort needs role Phones").field_path(".wsPort"))]
#[x_kube(validation = Rule::new("!has(self.wsPort) || self.wsPort != self.sipPort").message("wsPort must differ from sipPort").field_path(".wsPort"))]
#[x_kube(validation = Rule::new("!has(self.wsPort) || !has(self.tlsPort)").message("wsPort excludes tlsPort: TLS ends before the relay").field_path(".tlsPort"))]
#[x_kube(validation = Rule::new("!has(self.tlsPort) || self.tlsPort != self.sipPort").message("tlsPort must differ from sipPort").field_path(".tlsPort"))]
pub struct SipProfileSpec {
    /// Whether phones or carriers speak to it.
    pub role: Role,
    /// Address to bind to; the switch's own choice when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45), regex(pattern = ADDRESS_PATTERN))]
    pub bind_address: Option<String>,
    /// Address told to peers for SIP and RTP, behind NAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOST_PATTERN))]
    pub external_address: Option<String>,
    /// UDP and TCP port.
    #[schemars(range(min = 1, max = 65535))]
    pub sip_port: i32,
    /// TLS port; no TLS when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub tls_port: Option<i32>,
    /// TCP port of SIP over WebSocket for browsers, on 127.0.0.1 of the switch, which the relay of `centrex switch`
    /// uses (--sip-websocket-listen). Phones with an extension's own password cannot use a profile that has one:
    /// it takes web passwords only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub ws_port: Option<i32>,
    /// Codecs in order of preference, as FreeSWITCH names them; OPUS, G722, PCMA, PCMU when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 16), regex(pattern = CODEC_PATTERN)))]
    pub codecs: Vec<String>,
    /// When a change of addresses, ports or role takes effect on a running switch, where it ends the
    /// profile's calls: WhenIdle when left out. Everything else takes effect at once, without harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_policy: Option<UpdatePolicy>,
}

/// When a profile may be started anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdatePolicy {
    /// At once: its calls end.
    Immediately,
    /// As soon as it has no calls.
    #[default]
    WhenIdle,
    /// By hand only: `sofia profile NAME restart` on the switch.
    Manual,
}

impl UpdatePolicy {
    /// Whether it is the one that holds when none is given.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who speaks to a SIP profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Phones of tenants, which register and authenticate.
    Phones,
    /// Carriers, known by their addresses.
    Trunks,
}
