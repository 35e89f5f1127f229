//! An outbound route: which dialled numbers leave by which trunks.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// An outbound route: which dialled numbers leave by which trunks.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "OutboundRoute",
    plural = "outboundroutes",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "oroute",
    cel,
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.tollClass"),
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
pub struct OutboundRouteSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// Lower is looked at first.
    #[schemars(range(min = 0, max = 100000))]
    pub priority: i32,
    /// Toll class a caller needs among its tollClasses; everybody may use it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = TOLL_CLASS_PATTERN))]
    pub toll_class: Option<String>,
    /// Numbers it is about, as dialled, with their edits; the first that matches is used.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 64))]
    pub matches: Vec<DigitMatch>,
    /// Trunks in order of preference.
    #[schemars(length(min = 1, max = 8))]
    pub trunks: Vec<NamespacedRef>,
    /// Caller id that overrides the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
}
