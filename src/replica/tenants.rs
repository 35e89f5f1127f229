//! All tenants in memory, as of the last loaded revisions. A lookup never waits for I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use super::spellings::Spellings;
use crate::plan::{DeviceRow, PlatformPlan, Service, TenantPlan};
use crate::route::TenantView;
use crate::secrets::a1_hash::forget_passwords;

/// A tenant in the replica.
#[derive(Clone, Debug)]
pub struct TenantEntry {
    /// Revision of the tenant in the store.
    pub revision: i64,
    /// The tenant's plan, indexed for lookups.
    pub view: Arc<TenantView>,
}

/// All tenants, by identity, domain and public number. An entry is replaced as a whole, with all keys that
/// lead to it. Suspended tenants are in the replica, but no number leads to them, and a domain only for the
/// emergency calls of their phones.
#[derive(Debug, Default)]
pub struct Replica {
    state: RwLock<State>,
    /// How phones spell their domains.
    pub spellings: Spellings,
}

/// How much of the platform is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// Nothing: lookups cannot be answered.
    Empty,
    /// Some tenants could not be loaded: a tenant that is not found may be one of them.
    Partial,
    /// All tenants: a tenant that is not in the replica does not exist.
    Complete,
}

/// The whole replica at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Revision of the platform's rows; 0 before the first load.
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
    /// Blocks of numbers, by what their numbers begin with.
    blocks: Claims,
    /// Phones by provisioning user and by MAC address, of suspended tenants too.
    phones: Claims,
    platform_revision: i64,
    platform: Arc<PlatformPlan>,
    /// True when some tenants could not be loaded.
    partial: bool,
}

/// The tenants that claim each key, the latest at the end. While a key moves from one tenant to another,
/// both claim it until both are loaded again; removing the older claim leaves the newer one.
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

    /// The tenant that claimed the key last.
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
    /// Inserts a tenant, if its revision is newer than the one in the replica.
    pub fn put_tenant(&self, revision: i64, plan: TenantPlan) {
        self.set_tenant(revision, plan, |held| held < revision);
    }

    /// Inserts a tenant, also in place of a newer revision: a failover or a restored backup can set the
    /// store back.
    pub fn replace_tenant(&self, revision: i64, plan: TenantPlan) {
        self.set_tenant(revision, plan, |_| true);
    }

    fn set_tenant(&self, revision: i64, plan: TenantPlan, replaces: impl Fn(i64) -> bool) {
        // Build the view before locking: lookups wait for the swap alone.
        self.set_view(revision, Arc::new(view_of(plan)), replaces);
    }

    /// Inserts a tenant whose view is built already, also in place of a newer revision.
    pub fn replace_view(&self, revision: i64, view: Arc<TenantView>) {
        self.set_view(revision, view, |_| true);
    }

    fn set_view(&self, revision: i64, view: Arc<TenantView>, replaces: impl Fn(i64) -> bool) {
        let id = view.plan.tenant.id;
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard; // its fields are borrowed one by one
        if state.tenants.get(&id).is_some_and(|held| !replaces(held.revision)) {
            return;
        }
        state.unlink(id);
        if view.plan.tenant.service() != Service::None {
            for domain in &view.plan.tenant.domains {
                state.domains.add(domain, id);
            }
        }
        if view.plan.tenant.service() == Service::Full {
            for number in view.plan.numbers.values() {
                let claims = if number.range.is_some() { &mut state.blocks } else { &mut state.numbers };
                claims.add(&number.number, id);
            }
        }
        for identifier in view.plan.devices.values().flat_map(DeviceRow::identifiers) {
            state.phones.add(identifier, id);
        }
        let before = state.tenants.insert(id, TenantEntry { revision, view });
        drop(guard);
        drop(before); // after the lock: dropping a large view takes long
    }

    /// Removes a tenant.
    pub fn remove_tenant(&self, id: Uuid) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.unlink(id);
        state.tenants.remove(&id);
    }

    /// Inserts the platform's rows, if their revision is newer than the one in the replica.
    pub fn put_platform(&self, revision: i64, plan: PlatformPlan) {
        let plan = Arc::new(plan);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if revision > state.platform_revision {
            state.platform_revision = revision;
            state.platform = plan;
        }
    }

    /// Inserts the platform's rows, also in place of a newer revision.
    pub fn replace_platform(&self, revision: i64, plan: PlatformPlan) {
        let plan = Arc::new(plan);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.platform_revision = revision;
        state.platform = plan;
    }

    /// Gives the platform's rows another revision number.
    pub fn renumber_platform(&self, revision: i64) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).platform_revision = revision;
    }

    /// A tenant's entry, also a suspended tenant's: for the cache, not for answers.
    pub fn held(&self, id: Uuid) -> Option<TenantEntry> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).tenants.get(&id).cloned()
    }

    /// The tenant that holds a domain, in its canonical form, unless it is suspended.
    pub fn by_domain(&self, domain: &str) -> Option<Arc<TenantView>> {
        self.of_phones(domain).filter(|view| view.plan.tenant.service() == Service::Full)
    }

    /// The tenant that holds a domain, unless its phones may not even make emergency calls.
    pub fn of_phones(&self, domain: &str) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(state.tenants.get(state.domains.holder(domain)?)?.view.clone())
    }

    /// The tenant that holds a public number.
    pub fn by_number(&self, number: &str) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let view = |id: &Uuid| Some(&state.tenants.get(id)?.view);
        let in_block = || {
            let longest = if state.blocks.0.is_empty() { 0 } else { number.len() };
            let prefixes = (1..longest).rev().filter_map(|end| number.get(..end));
            let mut claimants = prefixes.filter_map(|prefix| state.blocks.0.get(prefix)).flatten().rev();
            claimants.find_map(|id| view(id).filter(|view| view.public_number(number).is_some()))
        };
        state.numbers.holder(number).and_then(view).or_else(in_block).cloned()
    }

    /// The tenant that has a Device of this provisioning user or MAC address, suspended or not.
    pub fn by_phone(&self, identifier: &str) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(state.tenants.get(state.phones.holder(identifier)?)?.view.clone())
    }

    /// A tenant by identity, unless it is suspended.
    pub fn by_id(&self, id: Uuid) -> Option<Arc<TenantView>> {
        self.of_callers(id).filter(|view| view.plan.tenant.service() == Service::Full)
    }

    /// A tenant by identity, unless its phones may not even make emergency calls.
    pub fn of_callers(&self, id: Uuid) -> Option<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let view = state.tenants.get(&id).map(|held| held.view.clone());
        view.filter(|view| view.plan.tenant.service() != Service::None)
    }

    /// All tenants that are not suspended, in order of their identities.
    pub fn served(&self) -> Vec<Arc<TenantView>> {
        self.with_service(|service| service == Service::Full)
    }

    /// All tenants whose phones may register, in order of their identities.
    pub fn with_phones(&self) -> Vec<Arc<TenantView>> {
        self.with_service(|service| service != Service::None)
    }

    fn with_service(&self, is_meant: impl Fn(Service) -> bool) -> Vec<Arc<TenantView>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let views = state.tenants.values().map(|held| held.view.clone());
        views.filter(|view| is_meant(view.plan.tenant.service())).collect()
    }

    /// The whole replica, with suspended tenants.
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

    /// Revision of the platform's rows; 0 before the first load.
    pub fn platform_revision(&self) -> i64 {
        self.state.read().unwrap_or_else(PoisonError::into_inner).platform_revision
    }

    /// How much is loaded.
    pub fn load_state(&self) -> LoadState {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match (state.platform_revision, state.partial) {
            (0, _) => LoadState::Empty,
            (_, true) => LoadState::Partial,
            (_, false) => LoadState::Complete,
        }
    }

    /// Sets whether some tenants could not be loaded.
    pub fn set_partial(&self, partial: bool) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).partial = partial;
    }

    /// Revisions of all tenants in the replica.
    pub fn revisions(&self) -> BTreeMap<Uuid, i64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.tenants.iter().map(|(id, held)| (*id, held.revision)).collect()
    }
}

impl State {
    /// Removes a tenant's claims. A domain or number that another tenant claims too leads to that tenant.
    fn unlink(&mut self, id: Uuid) {
        let Some(held) = self.tenants.get(&id) else { return };
        let plan = &held.view.plan;
        for domain in &plan.tenant.domains {
            self.domains.remove(domain, id);
        }
        for number in plan.numbers.values() {
            let claims = if number.range.is_some() { &mut self.blocks } else { &mut self.numbers };
            claims.remove(&number.number, id);
        }
        for identifier in plan.devices.values().flat_map(DeviceRow::identifiers) {
            self.phones.remove(identifier, id);
        }
    }
}
