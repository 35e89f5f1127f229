//! Revisions that this process wrote. They save reading the fingerprints of stored rows, and show when the database
//! was set back to an older state, as by a restored backup.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::fingerprints::RowFingerprints;
use super::load::{Revision, Revisions};
use super::records::Prepared;
use crate::secrets::keyring::Fingerprint;

/// What a process wrote, kept from one of its terms to the next.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Last term of this process; 0 before its first.
    term: i64,
    platform: Option<Revision>,
    tenants: HashMap<Uuid, Written>,
    /// Highest revisions that any switch is known to hold. The platform's has the key `None`.
    highest: HashMap<Option<Uuid>, i64>,
}

struct Written {
    revision: Revision,
    fingerprint: Fingerprint,
    rows: Arc<RowFingerprints>,
}

impl Memory {
    /// Fingerprints of a tenant's rows, if this process wrote the stored plan, which has the fingerprint `plan`. The
    /// comparison makes a failed write, or another writer, invalidate them.
    pub(super) fn fingerprints(&self, tenant: Uuid, plan: Option<&[u8]>) -> Option<Arc<RowFingerprints>> {
        let inner = self.lock();
        let written = inner.tenants.get(&tenant)?;
        (plan == Some(written.fingerprint.as_slice())).then(|| written.rows.clone())
    }

    /// Records the stored plan of a tenant.
    pub(super) fn put(&self, tenant: Uuid, number: i64, stored: Prepared) {
        let revision = Revision { number, fingerprint: stored.fingerprint.to_vec() };
        let Prepared { fingerprint, fingerprints, .. } = stored;
        let mut inner = self.lock();
        inner.tenants.insert(tenant, Written { revision, fingerprint, rows: Arc::new(fingerprints) });
        inner.raise(Some(tenant), number);
    }

    /// Records the stored plan of the platform.
    pub(super) fn put_platform(&self, number: i64, fingerprint: &[u8]) {
        let mut inner = self.lock();
        inner.platform = Some(Revision { number, fingerprint: fingerprint.to_vec() });
        inner.raise(None, number);
    }

    /// Forgets a removed tenant, but not its highest revision.
    pub(super) fn remove(&self, tenant: Uuid) {
        self.lock().tenants.remove(&tenant);
    }

    /// Highest revision of a tenant, or of the platform (`None`), that any switch is known to hold; 0 when none is.
    pub(super) fn highest(&self, of: Option<Uuid>) -> i64 {
        self.lock().highest.get(&of).copied().unwrap_or_default()
    }

    /// Records that a switch holds a revision of a tenant, or of the platform (`None`).
    pub fn raise(&self, of: Option<Uuid>, held: i64) {
        self.lock().raise(of, held);
    }

    /// Revisions that were written, without those of removed tenants.
    pub(super) fn revisions(&self) -> Revisions {
        let inner = self.lock();
        let tenants = inner.tenants.iter().map(|(id, written)| (*id, written.revision.clone())).collect();
        Revisions { platform: inner.platform.clone().unwrap_or_default(), tenants, ..Revisions::default() }
    }

    /// Begins a term. `before` is the previous term in the database, and `stored` its revisions. Returns true if the
    /// database was set back since this process wrote last. After a term of another process that is unknown, and
    /// the result is false.
    pub(super) fn begin(&self, term: i64, before: i64, stored: &Revisions) -> bool {
        let known = self.revisions();
        let mut inner = self.lock();
        let ours = inner.term;
        inner.term = term;
        let set_back = ours > 0 && (before < ours || before == ours && !stored.follows(&known, &known));
        if set_back || before != ours {
            (inner.platform, inner.tenants) = (None, HashMap::new());
        }
        set_back
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn raise(&mut self, of: Option<Uuid>, held: i64) {
        let highest = self.highest.entry(of).or_default();
        *highest = held.max(*highest);
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.lock().tenants.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);

    fn revision(number: i64, fingerprint: &[u8]) -> Revision {
        Revision { number, fingerprint: fingerprint.to_vec() }
    }

    fn stored(platform: i64, tenant: Option<Revision>) -> Revisions {
        let tenants = tenant.map(|revision| (TENANT, revision)).into_iter().collect();
        Revisions { platform: revision(platform, b"p"), tenants, ..Revisions::default() }
    }

    fn memory() -> Memory {
        let memory = Memory::default();
        assert!(!memory.begin(4, 3, &stored(7, None)), "this process has written nothing");
        let prepared = Prepared {
            scope: String::new(),
            body: String::new(),
            fingerprints: RowFingerprints::default(),
            fingerprint: [1; 16],
        };
        memory.put(TENANT, 5, prepared);
        memory.put_platform(7, b"p");
        memory
    }

    #[test]
    fn a_restored_older_database_is_noticed() {
        let same = revision(5, &[1; 16]);
        for (before, stored, set_back) in [
            (4, stored(7, Some(same.clone())), false),
            (4, stored(7, Some(revision(6, &[2; 16]))), false),
            (4, stored(7, Some(revision(4, &[0; 16]))), true),
            (4, stored(7, Some(revision(5, &[2; 16]))), true),
            (4, stored(7, None), true),
            (4, stored(6, Some(same.clone())), true),
            (3, stored(7, Some(same.clone())), true),
            // Another writer may have removed the tenant.
            (5, stored(7, None), false),
        ] {
            let memory = memory();
            assert_eq!(memory.begin(before + 1, before, &stored), set_back, "{before} {stored:?}");
            assert_eq!(
                (memory.highest(Some(TENANT)), memory.highest(None)),
                (5, 7),
                "the highest revisions stay known"
            );
            let is_reused = memory.fingerprints(TENANT, Some(&[1; 16])).is_some();
            assert_eq!(is_reused, !set_back && before == 4);
        }
    }

    #[test]
    fn tenants_that_change_during_a_read_do_not_count_as_set_back() {
        let now = stored(7, None);
        let (with, without) = (stored(7, Some(revision(5, b"x"))), stored(7, None));
        assert!(!now.follows(&with, &with));
        assert!(now.follows(&with, &without) && now.follows(&without, &with));
    }
}
