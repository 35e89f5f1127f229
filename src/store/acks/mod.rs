//! Acks: what each switch holds, written by its sidecar and followed by whoever says what is live.
//!
//! Each sidecar writes what differs from what stands in Postgres, and notifies it; nothing is written
//! or said when nothing differs, but for a sign of life every few seconds. Its findings are too much
//! to be said: whoever is notified of them reads them. Of two sidecars with one
//! name the younger reports: a pod that was moved starts before the old one is known to be gone.

mod follow;
mod lasting;
mod report;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::switch::findings::Findings;
pub use follow::{Patience, follow_acks};
pub use report::Reporter;

/// Channel of acks. The payload is JSON: `{"switch": NAME, "platform": N, "tenants": [[ID, N], …]}`
/// with what differs and `null` for a tenant that is no longer held, with `"findings": true` when these
/// have to be read, `{"switch": NAME, "all": true}` when all has to be read, or
/// `{"switch": NAME, "gone": true}`.
pub const CHANNEL: &str = "centrex_acks";

/// After how long a switch that is not heard is named: two of its signs of life are missing.
pub const LATE: Duration = Duration::from_secs(12);
/// How long a switch that is not heard still counts. Longer than the pause between its signs of
/// life, and than a sidecar needs to start again.
pub const SILENT: Duration = Duration::from_secs(30);
/// After how long its rows are removed, for nobody is interested any more.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// How long one answer of Postgres may take before the connection counts as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A switch, as its sidecar knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchInfo {
    /// Its name: one of them reports under it.
    pub name: String,
    /// Host it runs on.
    pub hostname: Option<String>,
}

/// What a switch holds, and what was found on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchState {
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: HashMap<Uuid, i64>,
    /// What its sidecar found on it, as far as that lasts.
    pub findings: Findings,
}

/// News of the switches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// All there are: at the start, and after a connection was lost.
    Reset {
        /// Those that are heard, and what they hold.
        reporting: Vec<(SwitchInfo, SwitchState)>,
        /// Those that are not heard, and not yet gone.
        silent: Vec<SwitchInfo>,
    },
    /// A switch that is new, began anew, or is heard again.
    Appeared(SwitchInfo, SwitchState),
    /// What a switch holds differs.
    Revisions {
        /// Its name.
        switch: String,
        /// Revision of the platform's rows, when that differs.
        platform: Option<i64>,
        /// Revisions of tenants that differ; none for one it no longer holds.
        tenants: Vec<(Uuid, Option<i64>)>,
    },
    /// What was found on a switch differs.
    Found {
        /// Its name.
        switch: String,
        /// All that is found now.
        findings: Findings,
    },
    /// It should have been heard by now, and counts still.
    Late(String),
    /// It has not been heard for a while, and counts no more.
    Silent(String),
    /// It has ended, or was silent for too long.
    Gone(String),
}

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
