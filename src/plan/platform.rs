//! Rows that belong to the platform, not to one tenant: SIP profiles, trunks, dial rules.

use crate::resources::Kind;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row::{Row, Rows, Secrets};
use crate::numbers::CarrierFormat;
use crate::resources::common::{DigitMatch, NumberFormat, Transport};
use crate::resources::dial_rule::Phase;
use crate::resources::sip_profile::{Role, UpdatePolicy};
use crate::resources::trunk::{FromUser, Identity, InboundNumber, TrustedIdentity};

/// The compiled rows of the platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformPlan {
    /// Sofia profiles of the switches, by name.
    pub sip_profiles: Rows<SipProfileRow>,
    /// Trunks, by `namespace/name`.
    pub trunks: Rows<TrunkRow>,
    /// The platform's dial plan, by name.
    pub dial_rules: Rows<DialRuleRow>,
}

impl PlatformPlan {
    /// The profile that has the tenants' domains as aliases, and that phones are configured for: the first for phones
    /// that is not for browsers; the first for phones when all are.
    pub fn main_profile(&self) -> Option<&str> {
        let phones = self.sip_profiles.iter().filter(|(_, row)| row.role == Role::Phones);
        phones.min_by_key(|(name, row)| (row.ws_port.is_some(), *name)).map(|(name, _)| name.as_str())
    }
}

/// A Sofia profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SipProfileRow {
    /// Whether phones or carriers connect to it.
    pub role: Role,
    /// Address it binds to; without it, FreeSWITCH chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_address: Option<String>,
    /// Address it announces in SIP and RTP behind NAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_address: Option<String>,
    /// UDP and TCP port.
    pub sip_port: i32,
    /// TLS port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_port: Option<i32>,
    /// TCP port of SIP over WebSocket, on 127.0.0.1: the profile is for browsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ws_port: Option<i32>,
    /// Codecs in order of preference, as FreeSWITCH names them.
    pub codecs: Vec<String>,
    /// When it may be restarted, which ends its calls.
    #[serde(default, skip_serializing_if = "UpdatePolicy::is_default")]
    pub update_policy: UpdatePolicy,
}

/// A trunk with its gateways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrunkRow {
    /// Stable identity: the resource's UID.
    pub id: Uuid,
    /// Name of the Sofia profile its gateways belong to.
    pub sip_profile: String,
    /// Gateways in order of preference.
    pub gateways: Vec<GatewayRow>,
    /// SIP domain in place of the gateways' hosts, which then are only where packets go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Registration at the carrier, if the trunk registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationRow>,
    /// User name for challenges, if the trunk has a password without a registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// Networks that its calls come from: declared ones, and gateway hosts that are addresses.
    pub source_addresses: Vec<IpNet>,
    /// Codecs offered to the carrier; the profile's when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codecs: Vec<String>,
    /// Most calls at one time, per switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_calls: Option<i32>,
    /// Most calls that begin within a second, per switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls_per_second: Option<i32>,
    /// Where the called number of an inbound call is; where FreeSWITCH looks for it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound_number: Option<InboundNumber>,
    /// Header that names the caller of an inbound call; FreeSWITCH's choice when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_identity: Option<TrustedIdentity>,
    /// Header that carries the caller's number to the carrier.
    #[serde(default, skip_serializing_if = "is_default")]
    pub identity: Identity,
    /// Who is in From.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: FromUser,
    /// Whether URIs with a number say `user=phone`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_phone: bool,
    /// How numbers are written.
    pub number_format: NumberFormat,
    /// Country of the carrier, ISO 3166-1 alpha-2: how it dials national numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Seconds a gateway may take to show progress before the next is tried.
    pub progress_timeout_seconds: i32,
    /// Seconds between OPTIONS requests to a gateway; without it, none are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_seconds: Option<i32>,
    /// `password` of the registration.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
}

impl TrunkRow {
    /// How the carrier writes numbers.
    pub fn carrier_format(&self) -> CarrierFormat {
        CarrierFormat::new(self.number_format, self.country.as_deref())
    }
}

/// One gateway of a trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRow {
    /// DNS name or address of the carrier.
    pub host: String,
    /// SIP port of the carrier; the transport's own, or what DNS says, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Transport of SIP to the carrier.
    pub transport: Transport,
    /// Where packets go instead of to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound_proxy: Option<ProxyRow>,
}

/// A host that packets go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyRow {
    /// DNS name or address.
    pub host: String,
    /// SIP port, as in [`GatewayRow::port`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// A registration at a carrier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationRow {
    /// SIP user at the carrier.
    pub username: String,
    /// User name for challenges; `username` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_username: Option<String>,
    /// User of the registered contact; a name that cannot be guessed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_user: Option<String>,
    /// Digest realm the carrier asks with; the SIP domain when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Life of a registration in seconds.
    pub expiry_seconds: i32,
}

/// One rule of the platform's dial plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DialRuleRow {
    /// Whether the rule is tried before or after the tenant's own rules.
    pub phase: Phase,
    /// Priority; the lowest is tried first.
    pub priority: i32,
    /// Digit matches with their edits; the first that matches is used.
    #[serde(rename = "match")]
    pub matches: Vec<DigitMatch>,
    /// What it does.
    pub action: DialActionRow,
}

/// What a dial rule does with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DialActionRow {
    /// Blocks the call.
    Block,
    /// Sends the call out by trunks.
    Route {
        /// Trunks (`namespace/name`) in order of preference.
        trunks: Vec<String>,
    },
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Row for SipProfileRow {
    const KIND: Kind = Kind::SipProfile;
}

impl Row for TrunkRow {
    const KIND: Kind = Kind::Trunk;

    fn secrets(&self) -> Option<&Secrets> {
        Some(&self.secrets)
    }

    fn secrets_mut(&mut self) -> Option<&mut Secrets> {
        Some(&mut self.secrets)
    }
}

impl Row for DialRuleRow {
    const KIND: Kind = Kind::DialRule;
}
