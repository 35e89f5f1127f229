//! The loop that every writing mode runs: changes of the world in, plans into the store, statuses
//! out.
//!
//! A change costs work for the tenants it concerns. What could not be written is tried again, with
//! pauses that grow for each tenant by itself; nothing is given up. A process that does not lead
//! takes changes in all the same, and writes nothing.

mod admission;
mod admission_recheck;
mod compile_state;
mod jobs;
mod last_good;
mod metrics;
mod outcomes;
mod problem_set;
mod progress;
mod recordings;
mod report;
mod resource_sink;
mod restored;
mod schedule;
mod tenant;
mod writing;

pub use admission::AdmissionVerdict;
pub use compile_state::CompileState;
pub use metrics::Metrics;
pub use progress::Progress;
pub use resource_sink::{NewStatus, Note, ResourceSink, SinkError};

use crate::resources::Kind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::compile::Reason;
use crate::plan::report::Ack;
use crate::source::index::key_of;
use crate::source::{Change, Object, TenantKey};
use crate::status::AckTable;
use crate::status::acks::Concerned;
use crate::store::Store;
use crate::store::cdrs;
use jobs::{Done, Job};
use schedule::Schedule;
use tenant::{Deleting, Platform, Tenant};

/// Why there is no store before anything was heard of it.
const UNREACHED: &str = "unreachable";
/// Jobs that run at one time.
const CONCURRENT_JOBS: usize = 8;

/// The loop's state.
pub struct Reconciler {
    known: Arc<RwLock<CompileState>>,
    outside: Option<Arc<dyn ResourceSink>>,
    leading: bool,
    /// The store, while this process leads and has one.
    store: Option<Store>,
    /// Why there is none, while it leads: the category of an error.
    away: &'static str,
    /// Looks after call records, while it leads.
    keeping: Option<AbortOnDropHandle<()>>,
    /// Where tenants' media are, if they can be reached from here.
    media: Option<PathBuf>,
    platform: Platform,
    tenants: BTreeMap<TenantKey, Tenant>,
    by_id: HashMap<Uuid, TenantKey>,
    /// Tenants that are being deleted, and held until their data was dealt with.
    deleting: BTreeMap<TenantKey, Deleting>,
    schedule: Schedule<Job>,
    /// Statuses to look at again: a tenant's, or the platform's.
    reports: Schedule<Option<TenantKey>>,
    busy: BTreeSet<Job>,
    running: JoinSet<Done>,
    acks: AckTable,
    /// Whether the source was heard yet, and whether it could read everything. Before that nothing
    /// may be taken for gone.
    told: bool,
    complete: bool,
    /// Whether tenants in the store that the world does not know were removed.
    swept: bool,
    /// Whether the store was set back to an older state, and is not yet as it should be.
    set_back: bool,
    /// Switches may hold tenants that are not there.
    strays: bool,
    /// Tells them so.
    removing_strays: Option<AbortOnDropHandle<()>>,
    progress: watch::Sender<Progress>,
    metrics: Metrics,
    /// Removes recordings that were kept long enough, or are too many, while this process leads.
    recordings: Option<AbortOnDropHandle<()>>,
}

impl Reconciler {
    /// A loop that tells its progress, and does not lead yet.
    pub fn new(
        progress: watch::Sender<Progress>,
        outside: Option<Arc<dyn ResourceSink>>,
        media: Option<PathBuf>,
    ) -> Self {
        Self {
            known: Arc::default(),
            outside,
            leading: false,
            store: None,
            away: UNREACHED,
            keeping: None,
            media,
            platform: Platform::default(),
            tenants: BTreeMap::new(),
            by_id: HashMap::new(),
            deleting: BTreeMap::new(),
            schedule: Schedule::default(),
            reports: Schedule::default(),
            busy: BTreeSet::new(),
            running: JoinSet::new(),
            acks: AckTable::default(),
            told: false,
            complete: false,
            swept: false,
            set_back: false,
            strays: false,
            removing_strays: None,
            progress,
            metrics: Metrics::default(),
            recordings: None,
        }
    }

    /// Counts there.
    pub fn count(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// What is known of the world, for whoever judges by it too.
    pub fn known(&self) -> Arc<RwLock<CompileState>> {
        self.known.clone()
    }

    /// Writes to a store from now on: everything is compared with it.
    pub fn lead(&mut self, store: Store) {
        self.follow();
        self.keeping = Some(AbortOnDropHandle::new(tokio::spawn(cdrs::prune(store.clone()))));
        self.set_back = store.was_set_back();
        self.store = Some(store);
        let keep = |media| recordings::keep(media, self.known.clone(), self.metrics.recordings.clone());
        self.recordings = self.media.clone().map(keep);
        self.begin();
    }

    /// Leads while there is no store yet: nothing can be written, but what is wrong can be said.
    pub fn lead_without_store(&mut self) {
        self.follow();
        self.away = UNREACHED;
        self.begin();
    }

    /// Says why there is no store yet.
    pub fn store_fails(&mut self, category: &'static str) {
        if self.store.is_some() || std::mem::replace(&mut self.away, category) == category {
            return;
        }
        let tenants = self.tenants.iter_mut().map(|(key, tenant)| (Some(key), &mut tenant.rows));
        for (key, rows) in tenants.chain([(None, &mut self.platform.rows)]) {
            rows.failed = rows.failed.and(Some(category));
            self.reports.now(key.cloned());
        }
    }

    fn begin(&mut self) {
        self.leading = true;
        self.schedule.now(Job::Sweep);
        self.schedule.now(Job::Platform);
        let keys: Vec<_> = self.read().world.tenants().filter_map(|tenant| key_of(tenant)).collect();
        for key in keys.into_iter().chain(self.deleting.keys().cloned()) {
            self.schedule.now(Job::Tenant(key));
        }
        if self.set_back {
            self.report_set_back();
        }
        self.report_orphans();
        self.tell();
    }

    /// Ends all writing at once.
    pub fn follow(&mut self) {
        self.running = JoinSet::new(); // what ran is broken off, and its transactions rolled back
        self.store = None;
        self.recordings = None;
        self.keeping = None;
        self.leading = false;
        self.busy.clear();
        self.schedule.clear();
        self.reports.clear();
        self.tenants.clear();
        self.by_id.clear();
        self.platform = Platform::default();
        self.acks = AckTable::default();
        self.swept = false;
        (self.set_back, self.strays, self.removing_strays) = (false, false, None);
        // What was published and perhaps not written is not what stands in a status: whoever leads
        // next, this process too, says it anew.
        let forgotten = self.outside.as_ref().map(|outside| outside.reset()).unwrap_or_default();
        let mut known = self.write();
        for key in &forgotten {
            if let Some(object) = known.world.object_mut(key) {
                object.set_conditions(Vec::new());
            }
        }
    }

    /// Takes changes in. `complete` says that the source could read everything: only then may what
    /// it does not show be taken for gone.
    pub fn take_in(&mut self, changes: Vec<Change>, complete: bool) {
        self.told = true;
        self.complete = complete;
        let mut changes = changes;
        for change in &mut changes {
            if let Some(outside) = &self.outside {
                outside.overlay_pending(change);
            }
            self.divert(change);
            // What is stored under its name was left alone so far.
            if let Change::Remove(key) = change
                && self.leading
                && self.read().world.is_unreadable(key)
                && key.kind == Kind::Tenant
            {
                self.swept = false;
                self.schedule.now(Job::Sweep);
            }
        }
        // Compiling is work for the processor: answers on the same threads must not wait for it.
        let consequences = block_in_place(|| self.write().take_in(changes));
        if self.leading {
            if consequences.platform {
                self.schedule.now(Job::Platform);
            }
            let mut rotated = BTreeSet::new();
            for (owner, object) in consequences.objects {
                if object.kind == Kind::Secret {
                    rotated.insert(owner.clone());
                }
                let rows = match owner {
                    Some(key) => &mut self.tenants.entry(key).or_default().rows,
                    None => &mut self.platform.rows,
                };
                rows.changed.insert(object);
            }
            for key in consequences.tenants {
                self.schedule.now(Job::Tenant(key));
            }
            if consequences.claims {
                // What one that is refused gave up, and keeps while nobody has it, another may have by now.
                let refused = self.tenants.iter().filter(|(_, tenant)| tenant.is_refused());
                refused.for_each(|(key, _)| self.schedule.now(Job::Tenant(key.clone())));
            }
            self.report_rotated(rotated);
            self.report_orphans();
        }
        self.tell();
    }

    /// A Tenant that is being deleted is no part of the world any more; what is left to do is kept
    /// apart, because its object stays until that is done.
    fn divert(&mut self, change: &mut Change) {
        let (key, deleted) = match change {
            Change::Upsert(Object::Tenant(tenant)) => {
                let Some(key) = key_of(tenant) else { return };
                let deleted = tenant.metadata.deletion_timestamp.is_some().then(|| tenant.clone());
                (key, deleted)
            }
            Change::Remove(key) if key.kind == Kind::Tenant => {
                let Some(namespace) = key.namespace.clone() else { return };
                (TenantKey { namespace, name: key.name.clone() }, None)
            }
            _ => return,
        };
        match deleted {
            Some(tenant) => {
                let object = Object::Tenant(tenant.clone());
                // What to do with its data may be edited to the last.
                match self.deleting.get_mut(&key) {
                    Some(deleting) if deleting.tenant.metadata.uid == tenant.metadata.uid => {
                        deleting.tenant = tenant;
                    }
                    _ => drop(self.deleting.insert(key.clone(), Deleting::new(tenant))),
                }
                if self.leading {
                    self.schedule.now(Job::Tenant(key));
                }
                *change = Change::Remove(object.key());
            }
            None => {
                self.deleting.remove(&key);
            }
        }
    }

    /// Takes a switch's report in.
    pub fn acknowledge(&mut self, ack: Ack) {
        let (platform, keys) = match self.acks.take(ack) {
            Concerned::All => {
                self.strays = true;
                (true, self.tenants.keys().cloned().collect::<Vec<_>>())
            }
            Concerned::Some { platform, tenants } => {
                let mut keys: Vec<_> = tenants.iter().filter_map(|id| self.by_id.get(id)).cloned().collect();
                self.strays |= keys.len() < tenants.len();
                if platform && self.outside.is_some() {
                    keys.extend(self.untold_emergencies());
                }
                (platform, keys)
            }
        };
        if platform {
            self.reports.now(None);
            self.catch_up_platform();
        }
        for key in keys {
            self.catch_up(&key);
            self.reports.now(Some(key));
        }
        self.remove_strays();
    }

    /// True when everything known is stored and reported.
    pub fn is_idle(&self) -> bool {
        // Where nobody is told, no status waits.
        self.is_stored() && (self.outside.is_none() || self.reports.is_empty())
    }

    /// True when everything known is stored. The sweep counts where it can be done.
    fn is_stored(&self) -> bool {
        let waits = self.schedule.next(|job| *job != Job::Sweep || self.complete).is_some();
        self.store.is_some() && self.told && self.busy.is_empty() && !waits
    }

    /// How many jobs wait or run.
    pub fn pending(&self) -> usize {
        self.schedule.len() + self.busy.len()
    }

    /// How many problems there are, by reason. Looks at each of them.
    pub fn reasons(&self) -> BTreeMap<Reason, i64> {
        let known = self.read();
        let tenants = self.tenants.values().flat_map(|tenant| tenant.problems.iter());
        let mut reasons = BTreeMap::new();
        for problem in known.problems.iter().chain(known.orphans.iter()).chain(tenants) {
            *reasons.entry(problem.reason).or_default() += 1;
        }
        reasons
    }

    fn read(&self) -> RwLockReadGuard<'_, CompileState> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, CompileState> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far it is.
    fn tell(&mut self) {
        let known = self.read();
        let tenants = self.tenants.values().map(|tenant| tenant.problems.wrong());
        let problems = known.problems.wrong() + known.orphans.wrong() + tenants.sum::<usize>();
        let stored = self.is_stored();
        drop(known);
        if stored && std::mem::take(&mut self.set_back) {
            self.tenants.keys().for_each(|key| self.reports.now(Some(key.clone())));
        }
        self.remove_strays();
        self.progress.send_if_modified(|progress| {
            let differs = progress.stored != stored || progress.problems != problems;
            progress.stored = stored;
            progress.problems = problems;
            differs
        });
    }
}
