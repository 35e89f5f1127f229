//! A public number (DID) that calls come in by.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A public number (DID) that calls come in by.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Number",
    plural = "numbers",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "num",
    cel,
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.destination.kind"),
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
pub struct NumberSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// The number in E.164 form. No other Number can hold it.
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub number: String,
    /// Trunk its calls come in by.
    pub trunk_ref: NamespacedRef,
    /// Where its calls go.
    pub destination: Destination,
    /// Text put before the caller's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = TEXT_PATTERN))]
    pub caller_id_prefix: Option<String>,
    /// Whether calls that come in by it are recorded, except those that go straight to a voicemail
    /// box: false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_calls: Option<bool>,
}
