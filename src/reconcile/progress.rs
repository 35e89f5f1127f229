//! Progress of the store against the changes of the source.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// What a replica must hold to serve every resource seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Whether everything seen so far is stored.
    pub stored: bool,
    /// Stored revision of the platform's rows.
    pub platform: i64,
    /// Stored revision of each tenant.
    pub tenants: BTreeMap<Uuid, i64>,
    /// Tenants that were removed, and must no longer be served.
    pub removed: BTreeSet<Uuid>,
    /// Number of resources that are refused or degraded.
    pub problems: usize,
}
