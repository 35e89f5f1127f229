//! What this process wrote, for as long as it lives: through which of its plans a database is known again,
//! and by which it is noticed that the database was set back to an older state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::fingerprints::RowFingerprints;
use super::load::{Revision, Revisions};
use super::records::Prepared;
use crate::secrets::keyring::Fingerprint;

/// The memory of a process that writes, kept from one of its terms to the next.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// The last term of this process; 0 before any.
    term: i64,
    platform: Option<Revision>,
    tenants: HashMap<Uuid, Written>,
    /// The highest revisions that anybody is known to hold: the platform's under none.
    highest: HashMap<Option<Uuid>, i64>,
}

struct Written {
    revision: Revision,
    fingerprint: Fingerprint,
    rows: Arc<RowFingerprints>,
}

impl Memory {
    /// Fingerprints of the rows of the plan with a fingerprint, if it was the last of a tenant. They are
    /// believed only while that plan is the one that is stored, so that nothing has to be forgotten when a
    /// write fails or somebody else writes.
    pub(super) fn fingerprints(&self, tenant: Uuid, plan: Option<&[u8]>) -> Option<Arc<RowFingerprints>> {
        let inner = self.lock();
        let written = inner.tenants.get(&tenant)?;
        (plan == Some(written.fingerprint.as_slice())).then(|| written.rows.clone())
    }

    /// Remembers the plan that is stored of a tenant.
    pub(super) fn put(&self, tenant: Uuid, number: i64, stored: Prepared) {
        let revision = Revision { number, fingerprint: stored.fingerprint.to_vec() };
        let Prepared { fingerprint, fingerprints, .. } = stored;
        let mut inner = self.lock();
        inner.tenants.insert(tenant, Written { revision, fingerprint, rows: Arc::new(fingerprints) });
        inner.raise(Some(tenant), number);
    }

    /// Remembers what is stored of the platform.
    pub(super) fn put_platform(&self, number: i64, fingerprint: &[u8]) {
        let mut inner = self.lock();
        inner.platform = Some(Revision { number, fingerprint: fingerprint.to_vec() });
        inner.raise(None, number);
    }

    /// Forgets a tenant that is gone, but not how far it was.
    pub(super) fn remove(&self, tenant: Uuid) {
        self.lock().tenants.remove(&tenant);
    }

    /// The highest revision of a tenant, or of the platform, that anybody is known to hold; 0 for none.
    pub(super) fn highest(&self, of: Option<Uuid>) -> i64 {
        self.lock().highest.get(&of).copied().unwrap_or_default()
    }

    /// Takes in that somebody holds a revision of a tenant, or of the platform.
    pub fn raise(&self, of: Option<Uuid>, held: i64) {
        self.lock().raise(of, held);
    }

    /// All that was written and is not gone.
    pub(super) fn revisions(&self) -> Revisions {
        let inner = self.lock();
        let tenants = inner.tenants.iter().map(|(id, written)| (*id, written.revision.clone())).collect();
        Revisions { platform: inner.platform.clone().unwrap_or_default(), tenants, ..Revisions::default() }
    }

    /// Begins a term; `before` is the one that stood in the database, and `stored` what it has now. Whether
    /// it was set back since this process wrote last: where another one has written meanwhile, nobody knows.
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
        assert!(!memory.begin(4, 3, &stored(7, None)), "nothing was written by this process");
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
    fn a_database_that_was_set_back_is_noticed() {
        let same = revision(5, &[1; 16]);
        for (before, stored, set_back) in [
            (4, stored(7, Some(same.clone())), false),
            (4, stored(7, Some(revision(6, &[2; 16]))), false),
            (4, stored(7, Some(revision(4, &[0; 16]))), true),
            (4, stored(7, Some(revision(5, &[2; 16]))), true),
            (4, stored(7, None), true),
            (4, stored(6, Some(same.clone())), true),
            (3, stored(7, Some(same.clone())), true),
            // Somebody else has removed the tenant, as far as anybody knows.
            (5, stored(7, None), false),
        ] {
            let memory = memory();
            assert_eq!(memory.begin(before + 1, before, &stored), set_back, "{before} {stored:?}");
            assert_eq!((memory.highest(Some(TENANT)), memory.highest(None)), (5, 7), "it stays known");
            let believed = memory.fingerprints(TENANT, Some(&[1; 16])).is_some();
            assert_eq!(believed, !set_back && before == 4);
        }
    }

    #[test]
    fn what_came_or_went_while_it_was_looked_is_not_set_back() {
        let now = stored(7, None);
        let (with, without) = (stored(7, Some(revision(5, b"x"))), stored(7, None));
        assert!(!now.follows(&with, &with));
        assert!(now.follows(&with, &without) && now.follows(&without, &with));
    }
}
