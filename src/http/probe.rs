//! What probes and metrics say of a process.

use std::time::Duration;

/// What the rest of the process knows about itself.
pub trait Probe: Send + Sync + 'static {
    /// What is missing until every manifest there is is served, in words; nothing when ready.
    fn missing(&self) -> Vec<String>;

    /// How long ago the replica was last known to hold what the store holds; none before it did.
    fn replica_age(&self) -> Option<Duration>;

    /// Of how many tenants more is held than the store has, which was set back; the platform counts as one.
    fn held_back(&self) -> usize {
        0
    }
}

impl std::fmt::Debug for dyn Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}
