//! What the sidecar's probes and metrics report of its process.

use std::time::Duration;

/// Readiness of a process that answers FreeSWITCH.
pub trait Probe: Send + Sync + 'static {
    /// What is missing before every manifest is served, a line each; empty when the process is ready.
    fn missing(&self) -> Vec<String>;

    /// How long ago the replica was last known to be equal to the store; `None` before it first was.
    fn replica_age(&self) -> Option<Duration>;

    /// How many tenants the replica holds at a higher revision than a store that was set back, by a restore for
    /// example; the platform's rows count as one.
    fn held_back(&self) -> usize {
        0
    }
}

impl std::fmt::Debug for dyn Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}
