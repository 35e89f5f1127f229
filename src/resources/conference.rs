//! A conference room.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A conference room.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Conference",
    plural = "conferences",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "conf",
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
pub struct ConferenceSpec {
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
    /// Secret with the PIN, key `pin` unless named: 4 to 12 digits. Anybody may enter when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_secret_ref: Option<SecretKeyRef>,
    /// Most members at one time: 50 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub max_members: Option<i32>,
}
