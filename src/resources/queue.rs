//! A queue: callers wait for one of its agents.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A queue: callers wait for one of its agents.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Queue",
    plural = "queues",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "que",
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
pub struct QueueSpec {
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
    /// Which agent is called first: LongestIdleAgent when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<QueueStrategy>,
    /// Agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub agents: Vec<Agent>,
    /// Longest wait in seconds before the overflow: 600 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub max_wait_seconds: Option<i32>,
    /// What callers do while the queue has no agent; when left out, they go to the overflow at once. An agent
    /// who is busy, or whose phone is not registered, is an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_no_agents: Option<WhenNoAgents>,
    /// Seconds an agent's phones ring: 20 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub ring_seconds: Option<i32>,
    /// Seconds an agent rests after a call: 10 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub wrap_up_seconds: Option<i32>,
    /// Whether callers hear their position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce_position: Option<bool>,
    /// Music callers hear; the tenant's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub music_on_hold: Option<MediaSource>,
    /// Where callers go who waited too long; the call ends when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Destination>,
}

/// What callers do while a queue has no agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WhenNoAgents {
    /// Longest wait in seconds before the overflow; 0: at once.
    #[schemars(range(min = 0, max = 86400))]
    pub wait_seconds: i32,
}

/// Which agent of a queue is called first (mod_callcenter's strategies).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QueueStrategy {
    /// All agents at once.
    RingAll,
    /// The agent who has waited longest for a call.
    #[default]
    LongestIdleAgent,
    /// One after the other, going on where the last call stopped.
    RoundRobin,
    /// From the first agent on, for each call.
    TopDown,
    /// The agent who has talked least.
    AgentWithLeastTalkTime,
    /// The agent with the fewest calls.
    AgentWithFewestCalls,
    /// By level and position, one after the other.
    SequentiallyByAgentOrder,
    /// An agent drawn at random.
    Random,
}

/// An agent of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Extension whose phones ring.
    pub extension_ref: LocalRef,
    /// Tier level, 1 first: 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub level: Option<i32>,
    /// Position in the tier, 1 first: 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub position: Option<i32>,
}
