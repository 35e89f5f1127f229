//! Acks: what each switch holds, written by its sidecar and followed by whoever says what is live.

mod follow;
mod report;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use follow::{Patience, follow_acks};
pub use report::Reporter;

/// Channel of acks. The payload is a [`Notice`] as JSON.
pub const CHANNEL: &str = "centrex_acks";

/// A switch, as its sidecar knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchInfo {
    /// Its name: one of them reports under it.
    pub name: String,
    /// Host it runs on.
    pub hostname: Option<String>,
    /// Version of FreeSWITCH, once it was asked.
    pub version: Option<String>,
}

/// What a switch holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchState {
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: HashMap<Uuid, i64>,
}

/// News of the switches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// All there are: at the start, and after a connection was lost.
    Reset(Vec<(SwitchInfo, SwitchState)>),
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
    /// It has not been heard for a while.
    Silent(String),
    /// It has ended, or was silent for too long.
    Gone(String),
}

/// What a notification says.
#[derive(Serialize, Deserialize)]
struct Notice {
    switch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<(Uuid, Option<i64>)>,
    /// Too much to be told: it has to be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    /// It has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}
