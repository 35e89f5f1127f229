//! Whether Postgres has gone on from what is held, or was set back.

use std::cmp::Ordering;

use crate::store::Revision;

/// How Postgres' revision of something stands to the one that is held.
pub(super) enum Step {
    /// It is the same.
    None,
    /// It is later, or another one of the same number: after a failover somebody has written it.
    Forward,
    /// It is earlier, and has the same content.
    Renumbered,
    /// It is earlier, and has another content.
    Back,
}

impl Step {
    /// From what is held to what is stored.
    pub fn between(held: Option<&Revision>, stored: &Revision) -> Self {
        let Some(held) = held else { return Self::Forward };
        let same = !stored.fingerprint.is_empty() && stored.fingerprint == held.fingerprint;
        match stored.number.cmp(&held.number) {
            Ordering::Equal if held == stored => Self::None,
            Ordering::Less if same => Self::Renumbered,
            // Nobody has said what is stored: somebody has restored it by hand.
            _ if stored.fingerprint.is_empty() => Self::Back,
            Ordering::Less => Self::Back,
            Ordering::Equal | Ordering::Greater => Self::Forward,
        }
    }
}
