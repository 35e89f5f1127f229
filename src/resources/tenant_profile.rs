//! Limits and features of the tenants that name it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// Limits and features of the tenants that name it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "TenantProfile",
    plural = "tenantprofiles",
    status = "Status",
    category = "pbx",
    shortname = "tprof",
    cel,
    printcolumn(name = "Extensions", type_ = "integer", json_path = ".spec.maxExtensions"),
    printcolumn(name = "Calls", type_ = "integer", json_path = ".spec.maxConcurrentCalls"),
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
pub struct TenantProfileSpec {
    /// Most extensions; the oldest stay. Unlimited when left out, as all limits here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_extensions: Option<i32>,
    /// Most devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_devices: Option<i32>,
    /// Most devices of one extension that ring; the oldest stay. 10 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub max_devices_per_extension: Option<i32>,
    /// Most queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_queues: Option<i32>,
    /// Most conferences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_conferences: Option<i32>,
    /// Most ring groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_ring_groups: Option<i32>,
    /// Most IVR menus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_ivr_menus: Option<i32>,
    /// Most public numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_numbers: Option<i32>,
    /// Most calls at one time, per switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub max_concurrent_calls: Option<i32>,
    /// Longest call through a trunk, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub max_call_duration_seconds: Option<i32>,
    /// Most calls abroad in a day, per switch: to numbers of another country than the tenant's, as they are sent or dialled. Without a country, all that begin with + or 00 count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_calls_abroad_per_day: Option<i32>,
    /// Most storage for recordings, voicemail and media, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24), regex(pattern = QUANTITY_PATTERN))]
    pub max_storage: Option<String>,
    /// Whether calls may be recorded: true when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_enabled: Option<bool>,
    /// Whether a recorded call begins with a tone that the caller hears: false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_tone: Option<bool>,
    /// Whether text messages may be sent: false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms_enabled: Option<bool>,
    /// Whether emergency calls of a suspended tenant leave: Allowed when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_when_suspended: Option<EmergencyWhenSuspended>,
    /// How long data is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Whether emergency calls of a suspended tenant leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EmergencyWhenSuspended {
    /// Its phones can register, and make emergency calls only.
    #[default]
    Allowed,
    /// Its phones are served nothing.
    Denied,
}

/// How long data is kept, in days; for ever when left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// Days call records are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub cdr_days: Option<i32>,
    /// Days recordings are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub recording_days: Option<i32>,
    /// Days voicemail messages are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub voicemail_days: Option<i32>,
}
