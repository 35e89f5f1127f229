//! All tenants in memory, as of the last revisions heard. A lookup never waits for anything.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use crate::plan::{PlatformPlan, TenantPlan};
use crate::route::TenantView;
use crate::secrets::a1_hash::forget_passwords;

/// A tenant as held: its revision, and its view.
#[derive(Clone, Debug)]
pub struct TenantEntry {
    /// Revision of the tenant in the store.
    pub revision: i64,
    /// The tenant.
    pub view: Arc<TenantView>,
}

/// All tenants, by identity, domain, context and public number. Entries carry the revision they
/// came from and are replaced by a newer one; nobody deletes keys by hand. Suspended tenants are
/// held but found by nothing except their identity.
#[derive(Debug, Default)]
pub struct Replica {
    state: RwLock<State>,
}

/// How much is held of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// Nothing to answer from.
    Not,
    /// Tenants are missing: one that is not found may be among them.
    Partly,
    /// All, as far as it was heard: who is not found is nobody.
    Wholly,
}

/// Everything that is held at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Revision of the platform's rows; 0 before any.
    pub platform_revision: i64,
    /// The platform's rows.
    pub platform: Arc<PlatformPlan>,
    /// All tenants, by identity.
    pub tenants: BTreeMap<Uuid, TenantEntry>,
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<Uuid, TenantEntry>,
    domains: Claims,
    numbers: Claims,
    platform_revision: i64,
    platform: Arc<PlatformPlan>,
    /// Tenants are missing.
    partial: bool,
}

/// Tenants that claim a key, the last to come at the end. Two do while the key moves and only one of
/// them is held as it is now: when the other one follows, the key still leads to the one that has it.
#[derive(Debug, Default)]
struct Claims(HashMap<String, Vec<Uuid>>);

impl Claims {
    fn add(&mut self, key: &str, id: Uuid) {
        let claimants = self.0.entry(key.to_owned()).or_default();
        claimants.retain(|held| *held != id);
        claimants.push(id);
    }

    fn remove(&mut self, key: &str, id: Uuid) {
        let Some(claimants) = self.0.get_mut(key) else { return };
        claimants.retain(|held| *held != id);
        if claimants.is_empty() {
            self.0.remove(key);
        }
    }

    fn holder(&self, key: &str) -> Option<&Uuid> {
        self.0.get(key)?.last()
    }
}

/// The view of a loaded plan. The passwords of phones are removed: their hashes are all that a switch needs, in
/// memory and in the file of its last good state.
pub(super) fn view_of(mut plan: TenantPlan) -> TenantView {
    forget_passwords(&mut plan);
    TenantView::new(plan)
}

impl Replica {
    /// Puts a tenant in, in place of an older revision of it. A revision that is not newer than
    /// the one held is left alone.
    pub fn put_tenant(&self, revision: i64, plan: TenantPlan) {
        self.set_tenant(revision, plan, |held| held < revision);
    }

    /// Puts a tenant in, whatever revision is held: for whoever follows the store, which may have
    /// gone back (a failover, a restored backup).
    pub fn replace_tenant(&self, revision: i64, plan: TenantPlan) {
        self.set_tenant(revision, plan, |_| true);
    }

    fn set_tenant(&self, revision: i64, plan: TenantPlan, replaces: impl Fn(i64) -> bool) {
        // The view is built before the lock is taken: lookups wait for the swap only.
        self.set_view(revision, Arc::new(view_of(plan)), replaces);
    }

    /// Puts a view in that was built already, whatever revision is held.
    pub fn replace_view(&self, revision: i64, view: Arc<TenantView>) {
        self.set_view(revision, view, |_| true);
    }

    fn set_view(&self, revision: i64, view: Arc<TenantView>, replaces: impl Fn(i64) -> bool) {
        let id = view.plan.tenant.id;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.tenants.get(&id).is_some_and(|held| !replaces(held.revision)) {
            return;
        }
        state.unlink(id);
        if !view.plan.tenant.suspended {
            for domain in &view.plan.tenant.domains {
                state.domains.add(domain, id);
            }
            for number in view.plan.numbers.values() {
                state.numbers.add(&number.number, id);
            }
        }
        let before = state.tenants.insert(id, TenantEntry { revision, view });
        drop(state);
        drop(before); // a large one takes long, and lookups do not wait for it
    }

    /// Takes a tenant out.
    pub fn remove_tenant(&self, id: Uuid) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.unlink(id);
        state.tenants.remove(&id);
    }

    /// Puts the platform's rows in.
    pub fn put_platform(&self, revision: i64, plan: PlatformPlan) {
        let plan = Arc::new(plan);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if revision > state.platform_revision {
            state.platform_revision = revision;
            state.platform = plan;
        }
    }

    /// Puts the platform's rows in, whatever revision is held.
    pub fn replace_platform(&self, revision: i64, plan: PlatformPlan) {
        let plan = Arc::new(plan);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.platform_revision = revision;
        state.platform = plan;
    }

    /// Takes the platform's rows for those of another revision.
    pub fn renumber_platform(&self, revision: i64) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).platform_revision = revision;
    }

    /// A tenant as held, a suspended one too: to be kept, not to be served.
    pub fn held(&self, id: Uuid) -> Option<TenantEntry> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).tenants.get(&id).cloned()
    }

    /// The tenant that holds a domain.
    pub fn by_domain(&self, domain: &str) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(state.tenants.get(state.domains.holder(domain)?)?.view.clone())
    }

    /// The tenant that holds a public number.
    pub fn by_number(&self, number: &str) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(state.tenants.get(state.numbers.holder(number)?)?.view.clone())
    }

    /// A tenant by identity, unless it is suspended.
    pub fn by_id(&self, id: Uuid) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.tenants.get(&id).map(|held| held.view.clone()).filter(|view| !view.plan.tenant.suspended)
    }

    /// All tenants that are served, in order of their identities.
    pub fn served(&self) -> Vec<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state
            .tenants
            .values()
            .map(|held| held.view.clone())
            .filter(|view| !view.plan.tenant.suspended)
            .collect()
    }

    /// Everything as it is at one moment, suspended tenants too.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            platform_revision: state.platform_revision,
            platform: state.platform.clone(),
            tenants: state.tenants.clone(),
        }
    }

    /// The platform's rows.
    pub fn platform(&self) -> Arc<PlatformPlan> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).platform.clone()
    }

    /// Revision of the platform's rows; 0 before any.
    pub fn platform_revision(&self) -> i64 {
        self.state.read().unwrap_or_else(PoisonError::into_inner).platform_revision
    }

    /// How much is held.
    pub fn filled(&self) -> LoadState {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match (state.platform_revision, state.partial) {
            (0, _) => LoadState::Not,
            (_, true) => LoadState::Partly,
            (_, false) => LoadState::Wholly,
        }
    }

    /// Says whether tenants are missing that there are.
    pub fn set_partial(&self, partial: bool) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).partial = partial;
    }

    /// Revisions of all tenants held.
    pub fn revisions(&self) -> BTreeMap<Uuid, i64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.tenants.iter().map(|(id, held)| (*id, held.revision)).collect()
    }
}

impl State {
    /// Removes what leads to a tenant, and only to it: a domain or number that another tenant
    /// claims too leads to that one.
    fn unlink(&mut self, id: Uuid) {
        let Some(held) = self.tenants.get(&id) else { return };
        let plan = &held.view.plan;
        for domain in &plan.tenant.domains {
            self.domains.remove(domain, id);
        }
        for number in plan.numbers.values() {
            self.numbers.remove(&number.number, id);
        }
    }
}
