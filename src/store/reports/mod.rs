//! Acks: what each switch holds, written by its sidecar and followed by whoever says what is live.
//!
//! Each sidecar writes what differs from what stands in Postgres, and notifies it; nothing is written
//! or said when nothing differs, but for a sign of life every few seconds. Its findings are too much
//! to be said: whoever is notified of them reads them. Of two sidecars with one
//! name the younger reports: a pod that was moved starts before the old one is known to be gone.

mod follow;
mod report_filter;
mod reporter;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use follow::{HeartbeatLimits, follow_acks};
pub use reporter::Reporter;

/// Channel of acks. The payload is JSON: `{"switch": NAME, "platform": N, "tenants": [[ID, N], …]}`
/// with what differs and `null` for a tenant that is no longer held, with `"findings": true` when these
/// have to be read, `{"switch": NAME, "all": true}` when all has to be read, or
/// `{"switch": NAME, "gone": true}`.
pub const CHANNEL: &str = "centrex_acks";

/// After how long its rows are removed, for nobody is interested any more.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// How long one answer of Postgres may take before the connection counts as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a notification says.
#[derive(Default, Serialize, Deserialize)]
struct Notice {
    switch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<(Uuid, Option<i64>)>,
    /// The findings differ: they have to be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    findings: bool,
    /// Too much to be told: it has to be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    /// It has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}
