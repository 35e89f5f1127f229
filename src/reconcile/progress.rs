//! How far the store is.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// How far the store is: what a replica must hold to serve every resource seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Everything seen so far is stored.
    pub stored: bool,
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: BTreeMap<Uuid, i64>,
    /// Tenants that were removed and are not to be served any more.
    pub removed: BTreeSet<Uuid>,
    /// How many resources have a problem, refused or degraded.
    pub problems: usize,
}
