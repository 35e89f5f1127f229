//! An IVR menu: callers choose by pressing digits.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// An IVR menu: callers choose by pressing digits.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "IvrMenu",
    plural = "ivrmenus",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "ivr",
    cel,
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
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
pub struct IvrMenuSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// Internal number; it can only be a destination when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), regex(pattern = INTERNAL_NUMBER_PATTERN))]
    pub number: Option<String>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub display_name: Option<String>,
    /// What callers hear; silence when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<MediaSource>,
    /// Seconds that a caller has for an entry after the greeting: 8 when left out. Two seconds after its last
    /// key an entry is complete; `#` completes it at once, in a menu without an option that has a `#`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: Option<i32>,
    /// Wrong entries, or times without one, before the menu gives up, each counted for itself: 3 when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max_failures: Option<i32>,
    /// What the digits do. An option goes before an internal number of the same digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["digits"]))]
    pub options: Vec<IvrOption>,
    /// Whether callers may dial an internal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_dial: Option<bool>,
    /// Where callers go when the menu gives up; the call ends when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Destination>,
    /// Where callers go who pressed nothing; as `otherwise` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_input: Option<Destination>,
    /// Where callers go who pressed what is no option; as `otherwise` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_input: Option<Destination>,
}

/// One choice of an IVR menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IvrOption {
    /// Digits the caller presses.
    #[schemars(length(min = 1, max = 8), regex(pattern = MENU_DIGITS_PATTERN))]
    pub digits: String,
    /// Where the call goes.
    pub destination: Destination,
}
