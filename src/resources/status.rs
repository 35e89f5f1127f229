//! The status every kind has: conditions, by type.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::pattern::*;

/// What is true of a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Generation of the spec that the conditions were found for: kstatus compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `Programmed`, `Live`, and `Ready`, which sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// What is true of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Generation of the spec that the conditions were found for: kstatus compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `Programmed`, `Live`, and `Ready`, which sums them up; of a tenant with emergency
    /// numbers `EmergencyTrunkUsable`, which `Ready` does not depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Identity of the tenant in Postgres and on media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36), regex(pattern = UUID_PATTERN))]
    pub tenant_id: Option<String>,
    /// Its Postgres schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = SCHEMA_PATTERN))]
    pub schema: Option<String>,
    /// How many resources it has, by kind and state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"]))]
    pub resources: Vec<ResourceCount>,
    /// The first resources with a problem: kind, name and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 400), regex(pattern = FAILING_PATTERN)))]
    pub failing: Vec<String>,
}

/// How many resources of a kind a tenant has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceCount {
    /// The kind.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND_PATTERN))]
    pub kind: String,
    /// All of them.
    #[schemars(range(min = 0))]
    pub total: i32,
    /// Those that are ready.
    #[schemars(range(min = 0))]
    pub ready: i32,
    /// Those that are not accepted.
    #[schemars(range(min = 0))]
    pub refused: i32,
    /// Most the tenant may have; no limit when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub limit: Option<i32>,
}

/// What is true of a Device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Generation of the spec that the conditions were found for: kstatus compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `Programmed`, `Live`, and `Ready`, which sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// User by which the phone fetches its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = PROVISIONING_USER_PATTERN))]
    pub provisioning_user: Option<String>,
}

/// What is true of a trunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrunkStatus {
    /// Generation of the spec that the conditions were found for: kstatus compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `Programmed`, `Live`, and `Ready`, which sums them up; of a trunk that registers
    /// `Registered`, which `Ready` does not depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// How many of its gateways are registered, of how many, counted on each switch, such as `2/2`;
    /// left out where it does not register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 21), regex(pattern = COUNT_PATTERN))]
    pub registered: Option<String>,
    /// Its gateways as the switches have them; those in trouble, when there are too many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["switch", "gateway"]))]
    pub gateways: Vec<GatewayStatus>,
}

/// One gateway of a trunk on one switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Name of the Switch.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub switch: String,
    /// Its place in `spec.gateways`, from 0.
    #[schemars(range(min = 0, max = 7))]
    pub gateway: i32,
    /// State of its registration in FreeSWITCH's word: `REGED` is registered, `NOREG` does not register.
    #[schemars(length(min = 1, max = 32), regex(pattern = GATEWAY_STATE_PATTERN))]
    pub state: String,
    /// Whether FreeSWITCH sends calls by it: it answers pings, where it is pinged, and is registered,
    /// where it registers.
    pub up: bool,
}

/// Conditions are a map by type, so that several writers can apply theirs (server-side apply).
/// Written by hand because the generated schema of `Condition` has no lengths.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "array",
        "description": "Conditions by type.",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One thing that is true, false or unknown.",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What the condition is about."},
                "status": {"type": "string", "maxLength": 7, "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "Generation of the spec it was found for."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "maxLength": 64, "description": "When its status last changed."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "description": "Why, in one word."},
                "message": {"type": "string", "maxLength": 32768, "description": "Why, for people."}
            }
        }
    })
}
