//! Reports of the switches: the revisions that each one serves and what its sidecar found on it, written by the
//! sidecars and followed by the operator.
//!
//! A sidecar writes and notifies only what differs from its row in Postgres; without a difference it writes only a
//! heartbeat every few seconds. The findings do not fit into a notification: a follower reads them. Of two sidecars
//! with one name the younger reports: a pod that moves starts before the old one has ended.

mod follow;
mod report_filter;
mod reporter;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use follow::{HeartbeatLimits, follow_acks};
pub use reporter::Reporter;

/// Channel of the notifications. The payload is JSON: `{"switch": NAME, "platform": N, "tenants": [[ID, N], …]}`
/// with what differs, `null` for a tenant that the switch no longer holds, and `"findings": true` when the findings
/// must be read; `{"switch": NAME, "all": true}` when the whole row must be read; `{"switch": NAME, "gone": true}`
/// when the sidecar has ended.
pub const CHANNEL: &str = "centrex_acks";

/// Age of the last heartbeat after which a switch's rows are deleted.
const MAX_SILENCE: Duration = Duration::from_secs(24 * 3600);
/// Wait for an answer of Postgres, after which the connection counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Payload of a notification.
#[derive(Default, Serialize, Deserialize)]
struct Notice {
    switch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<(Uuid, Option<i64>)>,
    /// The findings differ and must be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    findings: bool,
    /// The whole row must be read: it is new, or the difference is too large for a payload.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    /// The sidecar has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}
