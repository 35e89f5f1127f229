//! A ring group: several extensions that ring for one call.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A ring group: several extensions that ring for one call.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "RingGroup",
    plural = "ringgroups",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "rg",
    cel,
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "Strategy", type_ = "string", json_path = ".spec.strategy"),
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
pub struct RingGroupSpec {
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
    /// Order of ringing: Simultaneous when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RingStrategy>,
    /// Members in order.
    #[schemars(length(min = 1, max = 64))]
    pub members: Vec<Member>,
    /// Seconds members ring that say nothing else: 30 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub ring_seconds: Option<i32>,
    /// Where the call goes when nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<Destination>,
}

/// Order in which a ring group rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RingStrategy {
    /// All at once, each after its delay.
    #[default]
    Simultaneous,
    /// One after the other.
    Sequential,
    /// One after the other, in an order drawn for each call.
    Random,
}

/// A member of a ring group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Extension that rings.
    pub extension_ref: LocalRef,
    /// Seconds before it starts to ring, in a simultaneous group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub delay_seconds: Option<i32>,
    /// Seconds it rings; the group's ringSeconds when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub ring_seconds: Option<i32>,
}
