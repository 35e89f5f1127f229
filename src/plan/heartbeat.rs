//! Heartbeats of switches: how often a sidecar sends one, and when a switch without one is late or silent.

use std::time::Duration;

/// Interval at which a sidecar writes its heartbeat.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A switch without a heartbeat for this long is reported as late: it missed two heartbeats.
pub const LATE_AFTER: Duration = Duration::from_secs(12);
/// A switch without a heartbeat for this long no longer counts. Longer than the heartbeat interval, and
/// than a sidecar needs to restart.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);
