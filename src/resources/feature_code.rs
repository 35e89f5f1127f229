//! A feature code: what a phone dials to make the phone system do something.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A feature code: what a phone dials to make the phone system do something.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "FeatureCode",
    plural = "featurecodes",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "fcode",
    cel,
    printcolumn(name = "Code", type_ = "string", json_path = ".spec.code"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
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
pub struct FeatureCodeSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// What is dialled, such as `*97`. For actions that take an extension, its number follows.
    #[schemars(length(min = 2, max = 8), regex(pattern = FEATURE_CODE_PATTERN))]
    pub code: String,
    /// What it does.
    pub action: FeatureAction,
}

/// What a feature code does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FeatureAction {
    /// Opens the caller's own voicemail box.
    CheckVoicemail,
    /// Leaves a message in the box of the extension whose number follows.
    LeaveVoicemail,
    /// Parks the call in the parking place whose number follows, or takes it from there.
    Park,
    /// Plays back what the caller says.
    EchoTest,
}

impl FeatureAction {
    /// Whether digits follow the code.
    pub fn takes_digits(self) -> bool {
        matches!(self, Self::LeaveVoicemail | Self::Park)
    }
}
