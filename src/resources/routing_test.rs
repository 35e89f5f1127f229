//! A check at every compile: this caller, dialling this at this time, ends there.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A check at every compile: this caller, dialling this at this time, ends there.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "RoutingTest",
    plural = "routingtests",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "rtest",
    cel,
    printcolumn(name = "Dial", type_ = "string", json_path = ".spec.dial"),
    printcolumn(name = "Expect", type_ = "string", json_path = ".spec.expect.kind"),
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
pub struct RoutingTestSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// Who calls.
    pub from: Caller,
    /// Number dialled.
    #[schemars(length(min = 1, max = 24), regex(pattern = DIGITS_PATTERN))]
    pub dial: String,
    /// When, `YYYY-MM-DDTHH:MM:SS` in the tenant's time zone; a working Wednesday noon is no default, so it is needed.
    #[schemars(
        length(min = 19, max = 19),
        regex(pattern = LOCAL_TIME_PATTERN)
    )]
    pub at: String,
    /// Where the call must end.
    pub expect: Expectation,
}

/// Who calls in a routing test: an extension, or a number through a trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.extensionRef) != has(self.trunkRef)", "message": "exactly one of extensionRef and trunkRef must be set"}
]))]
pub struct Caller {
    /// Extension that dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalRef>,
    /// Number of a caller from outside, in E.164 form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub number: Option<String>,
    /// Trunk the caller comes in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk_ref: Option<NamespacedRef>,
}

/// Where a call must end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.kind == 'Rejected') != has(self.name)", "message": "name goes with every kind but Rejected"}
]))]
pub struct Expectation {
    /// Kind of the end.
    pub kind: EndKind,
    /// Name of the resource. For kind Trunk the first trunk that is tried counts, whatever its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
}

/// Where a call can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndKind {
    /// An Extension's phones.
    Extension,
    /// A RingGroup.
    RingGroup,
    /// A Queue.
    Queue,
    /// An IvrMenu.
    IvrMenu,
    /// A Conference.
    Conference,
    /// A voicemail box, by its Extension.
    Voicemail,
    /// A Trunk.
    Trunk,
    /// A FeatureCode.
    FeatureCode,
    /// The call is refused.
    Rejected,
}
