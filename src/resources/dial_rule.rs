//! A rule of the platform's dial plan, before or after every tenant's own. Emergency calls pass it by.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A rule of the platform's dial plan, before or after every tenant's own. Emergency calls pass it by.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "DialRule",
    plural = "dialrules",
    status = "Status",
    category = "pbx",
    shortname = "drule",
    cel,
    printcolumn(name = "Phase", type_ = "string", json_path = ".spec.phase"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
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
pub struct DialRuleSpec {
    /// Whether it is looked at before or after the tenant's own dial plan.
    pub phase: Phase,
    /// Lower is looked at first.
    #[schemars(range(min = 0, max = 100000))]
    pub priority: i32,
    /// Numbers it is about, as dialled.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 64))]
    pub matches: Vec<DigitMatch>,
    /// What it does.
    pub action: DialAction,
}

/// When a dial rule is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Before the tenant's own numbers and routes.
    Before,
    /// After them, for what they did not match.
    After,
}

/// What a dial rule does with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.kind == 'Route') == has(self.trunks)", "message": "trunks goes with kind Route, and only with it"}
]))]
pub struct DialAction {
    /// Kind of the action.
    pub kind: DialActionKind,
    /// Trunks in order of preference, for kind `Route`; each with its namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8))]
    pub trunks: Vec<NamespacedRef>,
}

/// Kinds of action of a dial rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DialActionKind {
    /// Ends the call: the number may not be dialled.
    Block,
    /// Sends the call out by the trunks named.
    Route,
}
