//! An extension: an internal number with the phones that register for it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// An extension: an internal number with the phones that register for it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Extension",
    plural = "extensions",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "ext",
    cel,
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.displayName"),
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
pub struct ExtensionSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// Internal number, which is also the SIP user name.
    #[schemars(length(min = 1, max = 15), regex(pattern = INTERNAL_NUMBER_PATTERN))]
    pub number: String,
    /// Name for people, shown to those it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub display_name: Option<String>,
    /// SIP credentials; a strong password is generated into the Secret `<name>-sip` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Caller id for calls that leave by a trunk; the tenant's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
    /// Place that its emergency calls come from, one of the Tenant's `emergency.locations`; the Tenant's default
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_location_ref: Option<LocalRef>,
    /// Seconds its phones ring: 30 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub ring_seconds: Option<i32>,
    /// Toll classes it may dial; none when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 32), regex(pattern = TOLL_CLASS_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub toll_classes: Vec<String>,
    /// Countries, ISO 3166-1 alpha-2, that it may call abroad by routes with a toll class; every country when left out.
    /// Which country a number belongs to is libphonenumber's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 250), inner(length(min = 2, max = 2), regex(pattern = COUNTRY_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub countries_abroad: Vec<String>,
    /// When its calls are recorded: Never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// Voicemail box; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<Voicemail>,
    /// Where its calls go when its phones are not to ring, or did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarding: Option<Forwarding>,
}

/// SIP credentials of an extension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// Secret with the SIP password, key `password` unless named: 8 to 128 printable ASCII characters.
    pub secret_ref: SecretKeyRef,
}

/// A voicemail box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Voicemail {
    /// Whether the box takes messages.
    pub enabled: bool,
    /// Where messages are announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = EMAIL_PATTERN))]
    pub email: Option<String>,
    /// Secret with the PIN, key `pin` unless named: 4 to 12 digits. Without one the box is opened
    /// from the extension's own phones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_secret_ref: Option<SecretKeyRef>,
}

/// Where calls of an extension go. What its user changes by phone is kept apart from this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forwarding {
    /// Every call, without ringing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always: Option<Destination>,
    /// When it is busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<Destination>,
    /// When nobody answered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<Destination>,
    /// When no phone is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Destination>,
}
