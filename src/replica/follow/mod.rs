//! Keeps the replica in step with the store: loads it from the cache, then from Postgres, then each
//! revision as Postgres notifies it. After a lost connection it connects again, and finds what it missed by
//! comparing revisions.
//!
//! A comparison never moves the replica back. Where Postgres has less than the replica, it was restored to
//! an older state: the replica keeps serving its own state until the leader has compared the restored
//! state and written a later revision.

mod changed;
mod compare_revisions;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::cache::{Cache, Plans};
use super::cache_writer::{AppliedRx, CacheEntry, CacheWriter};
use super::tenants::{Replica, Snapshot, TenantEntry, view_of};
use crate::plan::report::Applied;
use crate::route::TenantView;
use crate::secrets::signing_key::SigningKey;
use crate::store::error::{PgContext, in_time, lost_connection};
use crate::store::{CHANNEL, Reader, Revision, StoreError};
use crate::util::backoff::Backoff;
use changed::Changed;
use compare_revisions::Step;

/// Interval of comparisons, in case a notification was missed.
const COMPARE_INTERVAL: Duration = Duration::from_secs(30);
/// Tenants loaded concurrently, at most.
const MAX_LOADS: usize = 4;
/// Timeout of one answer of Postgres; the connection counts as lost then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses between connections to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The state of following.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// True while the connection that receives notifications is up.
    pub connected: bool,
    /// When Postgres last said something: a notification, or an answer to a comparison.
    pub last_heard: Option<Instant>,
    /// True once the replica has everything that Postgres had at the time of the connection, except what
    /// cannot be read.
    pub caught_up: bool,
    /// True once the replica was loaded from Postgres or from the cache. From then on it is served, whether
    /// or not Postgres can be reached.
    pub filled: bool,
    /// True once the replica was loaded from Postgres in full. A cache may be old, or damaged in part: only
    /// from then on, what the replica does not have is removed from the switch.
    pub complete: bool,
    /// Why Postgres is not followed; `None` while it is.
    pub trouble: Option<String>,
    /// Tenants whose newest revision cannot be read; their last good one is served.
    pub unreadable: BTreeSet<Uuid>,
    /// Tenants whose revision in Postgres is older than the replica's, because Postgres was restored;
    /// `None` stands for the platform's rows. The replica keeps its own until the leader has compared them.
    pub held_back: BTreeSet<Option<Uuid>>,
    /// Number of changes applied to the replica.
    pub applied: u64,
    /// The key that signs the dialplan, from Postgres or from the cache.
    pub signing_key: Option<SigningKey>,
}

/// Keeps one replica in step with one store. Nothing else may change the replica.
pub struct Follower {
    key: Arc<OnceLock<SigningKey>>,
    replica: Arc<Replica>,
    cache: Option<Cache>,
    cache_writer: Option<CacheWriter>,
    applied: AppliedRx,
    /// What the previous process brought the running switch to, where the replica has something else.
    before: Plans,
    progress: watch::Sender<Progress>,
    /// Revisions in the replica, with their fingerprints.
    platform: Revision,
    tenants: BTreeMap<Uuid, Revision>,
    /// True while the platform's newest rows cannot be read.
    platform_unreadable: bool,
}

impl Follower {
    /// A follower of an empty replica.
    pub fn new(replica: Arc<Replica>, cache: Option<Cache>) -> Self {
        Self {
            key: Arc::default(),
            replica,
            cache,
            cache_writer: None,
            applied: watch::channel(None).1,
            before: Plans::default(),
            progress: watch::Sender::default(),
            platform: Revision::default(),
            tenants: BTreeMap::new(),
            platform_unreadable: false,
        }
    }

    /// Sets the source of the revisions that are applied on the running switch. While the switch is
    /// behind the replica, the cache has what it was last brought to as well.
    pub fn watch(&mut self, applied: watch::Receiver<Option<Applied>>) {
        self.applied = applied;
    }

    /// The state of following.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The key that signs the dialplan, once it is known.
    pub fn key(&self) -> Arc<OnceLock<SigningKey>> {
        self.key.clone()
    }

    /// Loads the replica from the cache. Files that cannot be used are logged and skipped.
    pub async fn restore(&mut self) {
        let Some(cache) = self.cache.clone() else { return };
        let read = cache.clone();
        let Ok(cached) = tokio::task::spawn_blocking(move || read.read()).await else { return };
        for error in &cached.skipped {
            tracing::warn!(%error, "a file of the cache was skipped");
        }
        self.replica.set_partial(cached.partial);
        self.before = cached.before;
        let Plans { platform, tenants } = cached.held;
        tracing::info!(tenants = tenants.len(), "last good state restored from the cache");
        if let Some(key) = cached.signing_key {
            self.key.get_or_init(|| key.clone());
            self.progress.send_modify(|progress| progress.signing_key = Some(key));
        }
        let keyring = cache.keyring();
        for (number, plan) in tenants {
            let revision = Revision::of_tenant(number, keyring, &plan);
            self.tenants.insert(plan.tenant.id, revision);
            self.replica.replace_tenant(number, plan);
        }
        if let Some((number, plan)) = platform {
            self.platform = Revision::of_platform(number, keyring, &plan);
            self.replica.replace_platform(number, plan);
        }
        self.progress.send_modify(|progress| progress.filled = self.replica.platform_revision() > 0);
    }

    /// What the previous process brought the running switch to, if the cache has it. Call it once, after
    /// [`restore`](Self::restore).
    pub fn restored(&mut self) -> Option<Snapshot> {
        let mut restored = Some(self.replica.snapshot()).filter(|held| held.platform_revision > 0)?;
        let Plans { platform, tenants } = std::mem::take(&mut self.before);
        if let Some((revision, plan)) = platform {
            (restored.platform_revision, restored.platform) = (revision, Arc::new(plan));
        }
        for (revision, plan) in tenants {
            let held = TenantEntry { revision, view: Arc::new(view_of(plan)) };
            restored.tenants.insert(held.view.plan.tenant.id, held);
        }
        Some(restored)
    }

    /// Follows until `stop` is cancelled. Before it returns, the cache is written.
    pub async fn run(mut self, reader: Reader, stop: CancellationToken) {
        self.cache_writer = self
            .cache
            .clone()
            .map(|cache| CacheWriter::start(cache, self.replica.clone(), self.applied.clone()));
        stop.run_until_cancelled(self.follow(&reader)).await;
        self.progress.send_modify(|progress| progress.connected = false);
        if let Some(writer) = self.cache_writer.take() {
            writer.finish().await;
        }
    }

    async fn follow(&mut self, reader: &Reader) {
        let mut backoff = BACKOFF;
        loop {
            let Err(error) = self.session(reader).await;
            if self.progress.borrow().caught_up {
                backoff.reset();
            }
            self.progress.send_modify(|progress| {
                progress.connected = false;
                progress.caught_up = false;
                progress.trouble = Some(error.to_string());
            });
            tracing::warn!(%error, category = error.category(), "not following Postgres; serving the last state");
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Follows over one connection, until it is lost.
    async fn session(&mut self, reader: &Reader) -> Result<Infallible, StoreError> {
        self.apply_signing_key(in_time(ANSWER_TIMEOUT, reader.signing_key()).await?).await;
        // Listen first, then compare: a change in between is notified.
        let mut listener = reader.listen(CHANNEL).await?;
        self.progress.send_modify(|progress| {
            progress.connected = true;
            progress.trouble = None;
        });
        self.compare(reader, &mut listener).await?;
        self.progress.send_modify(|progress| {
            progress.caught_up = true;
            progress.filled = true;
        });
        let mut compare =
            tokio::time::interval_at(tokio::time::Instant::now() + COMPARE_INTERVAL, COMPARE_INTERVAL);
        loop {
            let notification = tokio::select! {
                heard = listener.try_recv() => heard.context("waiting for notifications")?,
                _ = compare.tick() => {
                    self.compare(reader, &mut listener).await?;
                    continue;
                }
            };
            let first = notification.ok_or_else(lost_connection)?;
            let mut changed = Changed::default();
            changed.add(first.payload());
            // Further notifications that have arrived already are handled together.
            while let Ok(more) = tokio::time::timeout(Duration::ZERO, listener.try_recv()).await {
                changed
                    .add(more.context("waiting for notifications")?.ok_or_else(lost_connection)?.payload());
            }
            self.record_heard();
            match changed.unclear {
                true => self.compare(reader, &mut listener).await?,
                false => self.load(reader, changed).await?,
            }
        }
    }

    /// Compares all revisions, loads those that differ, and removes tenants that were removed. It asks over
    /// the connection that receives notifications, which shows that this connection is alive.
    async fn compare(&mut self, reader: &Reader, listener: &mut PgListener) -> Result<(), StoreError> {
        let revisions = in_time(ANSWER_TIMEOUT, reader.revisions(&mut *listener)).await?;
        self.record_heard();
        let (mut changed, mut held_back) = (Changed::default(), BTreeSet::new());
        for (id, held) in self.replica.revisions() {
            if revisions.tenants.contains_key(&id) {
                continue;
            }
            match revisions.removed.get(&id) {
                Some(removed) if *removed > held => self.remove(id),
                _ => drop(held_back.insert(Some(id))),
            }
        }
        for (id, revision) in revisions.tenants {
            match Step::between(self.tenants.get(&id), &revision) {
                Step::None => {}
                Step::Forward => drop(changed.tenants.insert(id, Some(revision.number))),
                Step::Renumbered => self.renumber(id, revision),
                Step::Back => drop(held_back.insert(Some(id))),
            }
        }
        match Step::between(Some(&self.platform), &revisions.platform) {
            Step::None => {}
            Step::Forward => changed.platform = Some(revisions.platform.number),
            Step::Renumbered => {
                self.replica.renumber_platform(revisions.platform.number);
                self.platform = revisions.platform;
                self.record_change(CacheEntry::Platform);
            }
            Step::Back => drop(held_back.insert(None)),
        }
        self.set_held_back(held_back);
        self.load(reader, changed).await
    }

    /// Sets [`Progress::held_back`], and logs the first and the last of it.
    fn set_held_back(&self, now: BTreeSet<Option<Uuid>>) {
        let before = self.progress.borrow().held_back.len();
        if before == 0 && !now.is_empty() {
            tracing::warn!(
                tenants = now.iter().flatten().count(),
                platform = now.contains(&None),
                "Postgres was set back to an older state; the later state is served until the leader has \
                 compared the two"
            );
        }
        if before > 0 && now.is_empty() {
            tracing::info!("Postgres has the state that is served, or a later one");
        }
        self.progress.send_if_modified(|progress| {
            std::mem::replace(&mut progress.held_back, now) != progress.held_back
        });
    }

    /// Removes a tenant, or the platform for `None`, from [`Progress::held_back`].
    fn clear_held_back(&self, what: Option<Uuid>) {
        if self.progress.borrow().held_back.contains(&what) {
            let mut rest = self.progress.borrow().held_back.clone();
            rest.remove(&what);
            self.set_held_back(rest);
        }
    }

    /// Gives a tenant the earlier number that Postgres has for the same content.
    fn renumber(&mut self, id: Uuid, revision: Revision) {
        let Some(held) = self.replica.held(id) else { return };
        self.replica.replace_view(revision.number, held.view);
        self.tenants.insert(id, revision);
        self.record_change(CacheEntry::Tenant(id));
    }

    /// Loads changes into the replica. Unreadable tenants keep their previous state.
    ///
    /// # Errors
    /// When the connection is lost.
    async fn load(&mut self, reader: &Reader, changed: Changed) -> Result<(), StoreError> {
        // In the first load the platform is last: from then on lookups are answered, and a tenant that is
        // not loaded yet would be unknown.
        let first = self.replica.platform_revision() == 0;
        if let Some(least) = changed.platform.filter(|_| !first) {
            self.load_platform(reader, least).await?;
        }
        self.load_tenants(reader, changed.tenants).await?;
        // The first load follows a full comparison: a tenant that is still missing cannot be read.
        let missing = self.progress.borrow().unreadable.iter().any(|id| self.replica.held(*id).is_none());
        self.replica.set_partial(missing);
        if let Some(least) = changed.platform.filter(|_| first) {
            self.load_platform(reader, least).await?;
        }
        let complete = !missing && !self.platform_unreadable;
        self.progress
            .send_if_modified(|progress| complete && !std::mem::replace(&mut progress.complete, true));
        Ok(())
    }

    async fn load_platform(&mut self, reader: &Reader, least: i64) -> Result<(), StoreError> {
        let loaded = in_time(ANSWER_TIMEOUT, reader.load_platform()).await;
        self.platform_unreadable = loaded.is_err();
        match loaded {
            // Postgres was restored meanwhile: the next comparison handles it.
            Ok((revision, _)) if revision.number < least => {}
            Ok((revision, plan)) => {
                self.replica.replace_platform(revision.number, plan);
                self.platform = revision;
                self.record_change(CacheEntry::Platform);
                self.clear_held_back(None);
            }
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "the platform's new rows cannot be read; the previous ones are served")
            }
        }
        Ok(())
    }

    async fn load_tenants(
        &mut self,
        reader: &Reader,
        tenants: BTreeMap<Uuid, Option<i64>>,
    ) -> Result<(), StoreError> {
        let mut waiting = tenants.into_iter();
        let mut loads = JoinSet::new();
        loop {
            while loads.len() < MAX_LOADS
                && let Some((id, least)) = waiting.next()
            {
                let Some(least) = least else {
                    self.remove(id);
                    continue;
                };
                let held = self.tenants.get(&id).cloned().zip(self.replica.held(id));
                loads.spawn(load_tenant(reader.clone(), id, least, held));
            }
            match loads.join_next().await {
                None => return Ok(()),
                Some(Ok((id, least, loaded))) => self.apply_loaded(id, least, loaded)?,
                Some(Err(error)) => tracing::error!(%error, "a tenant was not loaded"),
            }
        }
    }

    fn apply_loaded(
        &mut self,
        id: Uuid,
        least: i64,
        loaded: Result<Option<Loaded>, StoreError>,
    ) -> Result<(), StoreError> {
        match loaded {
            // Postgres was restored meanwhile: the next comparison handles it.
            Ok(Some((revision, _))) if revision.number < least => {}
            Ok(Some((revision, view))) => {
                // Both together: the next load reads the difference from this revision.
                self.replica.replace_view(revision.number, view);
                self.tenants.insert(id, revision);
                self.progress.send_modify(|progress| {
                    progress.unreadable.remove(&id);
                });
                self.record_change(CacheEntry::Tenant(id));
                self.clear_held_back(Some(id));
            }
            // Removed meanwhile: a notification says so.
            Ok(None) => {}
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => {
                tracing::error!(tenant = %id, %error, "the tenant's new revision cannot be read; the previous one is served");
                self.progress.send_modify(|progress| {
                    progress.unreadable.insert(id);
                });
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: Uuid) {
        self.replica.remove_tenant(id);
        self.tenants.remove(&id);
        self.progress.send_modify(|progress| {
            progress.unreadable.remove(&id);
        });
        self.record_change(CacheEntry::Tenant(id));
        self.clear_held_back(Some(id));
    }

    /// Counts a change of the replica, and queues it for the cache.
    fn record_change(&self, entry: CacheEntry) {
        self.progress.send_modify(|progress| progress.applied += 1);
        if let Some(writer) = &self.cache_writer {
            writer.changed(entry);
        }
    }

    fn record_heard(&self) {
        self.progress.send_modify(|progress| progress.last_heard = Some(Instant::now()));
    }

    async fn apply_signing_key(&self, key: SigningKey) {
        let held = self.progress.borrow().signing_key.as_ref().map(|held| *held.reveal());
        if held == Some(*key.reveal()) {
            return;
        }
        self.key.get_or_init(|| key.clone());
        self.progress.send_modify(|progress| progress.signing_key = Some(key.clone()));
        if let Some(cache) = self.cache.clone()
            && let Ok(Err(error)) = tokio::task::spawn_blocking(move || cache.write_signing_key(&key)).await
        {
            tracing::error!(%error, "the signing key could not be written to the cache");
        }
    }
}

/// A tenant loaded from Postgres.
type Loaded = (Revision, Arc<TenantView>);

/// Loads a tenant in a task of its own, so that views are built in parallel. Rows of `held` that did not
/// change are not read again.
async fn load_tenant(
    reader: Reader,
    id: Uuid,
    least: i64,
    held: Option<(Revision, TenantEntry)>,
) -> (Uuid, i64, Result<Option<Loaded>, StoreError>) {
    let held = held.as_ref().map(|(revision, held)| (revision, &held.view.plan));
    let loaded = in_time(ANSWER_TIMEOUT, reader.load_later(id, held)).await;
    let view = |(revision, plan)| (revision, Arc::new(view_of(plan)));
    (id, least, loaded.map(|loaded| loaded.map(view)))
}
