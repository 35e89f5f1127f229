//! Compares a revision in the replica with the one in Postgres, which may have been restored to an older
//! state.

use std::cmp::Ordering;

use crate::store::Revision;

/// The step from the replica's revision to the one in Postgres.
pub(super) enum Step {
    /// Both are the same.
    None,
    /// Postgres is later, or has other content under the same number: after a failover, another leader has
    /// written it.
    Forward,
    /// Postgres is earlier, with the same content.
    Renumbered,
    /// Postgres is earlier, with other content.
    Back,
}

impl Step {
    /// The step from the revision held to the one stored; `Forward` when none is held.
    pub fn between(held: Option<&Revision>, stored: &Revision) -> Self {
        let Some(held) = held else { return Self::Forward };
        let same = !stored.fingerprint.is_empty() && stored.fingerprint == held.fingerprint;
        match stored.number.cmp(&held.number) {
            Ordering::Equal if held == stored => Self::None,
            Ordering::Less if same => Self::Renumbered,
            // Without a fingerprint, the rows were not written by Centrex: they were restored by hand.
            _ if stored.fingerprint.is_empty() => Self::Back,
            Ordering::Less => Self::Back,
            Ordering::Equal | Ordering::Greater => Self::Forward,
        }
    }
}
