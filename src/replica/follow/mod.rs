//! The replica kept in step with the store: filled from the cache, then from Postgres, then by
//! revision as it is notified. A connection that is lost is made again for ever; what was missed
//! meanwhile is found by comparing revisions.
//!
//! A comparison never takes the replica back. Postgres that has less than is held was set back to an older
//! state: what is held is served until whoever writes has compared that state and written past it.

mod changed;
mod step;

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
use super::cache_writer::{Behind, CacheEntry, CacheWriter};
use super::tenants::{Replica, Snapshot, TenantEntry};
use crate::plan::report::Applied;
use crate::route::TenantView;
use crate::secrets::keyring;
use crate::secrets::signing_key::SigningKey;
use crate::store::error::{PgContext, in_time, lost_connection};
use crate::store::{CHANNEL, Reader, Revision, StoreError};
use changed::Changed;
use step::Step;

/// How often revisions are compared although nothing was heard.
const COMPARE_EVERY: Duration = Duration::from_secs(30);
/// Tenants that are loaded at one time.
const LOADS: usize = 4;
/// How long one answer of Postgres may take before the connection counts as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// First and longest wait before another try.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How far the replica is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// True while the connection that is notified stands.
    pub connected: bool,
    /// When Postgres last said something: a notification, or an answer to a comparison.
    pub last_heard: Option<Instant>,
    /// True once everything that Postgres had when it was connected to is in the replica; what
    /// cannot be read excepted.
    pub caught_up: bool,
    /// True once the replica has held everything, by Postgres or by the cache. What it holds is
    /// served from then on, whatever becomes of Postgres.
    pub filled: bool,
    /// True once the replica has held all that Postgres has, which a cache may not: it may be old, and
    /// damaged in part. Only from then on is what it does not hold to go from the switch.
    pub complete: bool,
    /// Why Postgres is not followed, while it is not.
    pub trouble: Option<String>,
    /// Tenants whose newest revision cannot be read; their last good one is served.
    pub unreadable: BTreeSet<Uuid>,
    /// Tenants of which more is held than Postgres has, and the platform's rows under none: Postgres was set
    /// back, and they stay as they are held until they were compared.
    pub held_back: BTreeSet<Option<Uuid>>,
    /// Changes put into the replica so far.
    pub applied: u64,
    /// The key our dialplan is signed with, from Postgres or from the cache.
    pub signing_key: Option<SigningKey>,
}

/// Keeps one replica in step with one store. Nothing else may put into the replica.
pub struct Follower {
    key: Arc<OnceLock<SigningKey>>,
    replica: Arc<Replica>,
    cache: Option<Cache>,
    keeper: Option<CacheWriter>,
    behind: Behind,
    /// What the running switch was brought to by the process before, where that is not what is held.
    before: Plans,
    progress: watch::Sender<Progress>,
    /// What the replica holds, by fingerprint too: see [`Revision`].
    platform: Revision,
    tenants: BTreeMap<Uuid, Revision>,
    /// The platform's newest rows cannot be read.
    platform_unreadable: bool,
}

impl Follower {
    /// A follower that has not done anything yet.
    pub fn new(replica: Arc<Replica>, cache: Option<Cache>) -> Self {
        Self {
            key: Arc::default(),
            replica,
            cache,
            keeper: None,
            behind: watch::channel(None).1,
            before: Plans::default(),
            progress: watch::Sender::default(),
            platform: Revision::default(),
            tenants: BTreeMap::new(),
            platform_unreadable: false,
        }
    }

    /// Tells how far the running switch is, where somebody asks it: until it was brought to what is
    /// held, what it was brought to before is cached too.
    pub fn watch(&mut self, applied: watch::Receiver<Option<Applied>>) {
        self.behind = applied;
    }

    /// How far the replica is; changes wake whoever waits.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The key our dialplan is signed with, once it is known.
    pub fn key(&self) -> Arc<OnceLock<SigningKey>> {
        self.key.clone()
    }

    /// Fills the replica from the cache. Files that cannot be read are logged and left out.
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

    /// What the process before had brought the running switch to, if that is known.
    pub fn restored(&mut self) -> Option<Snapshot> {
        let mut restored = Some(self.replica.snapshot()).filter(|held| held.platform_revision > 0)?;
        let Plans { platform, tenants } = std::mem::take(&mut self.before);
        if let Some((revision, plan)) = platform {
            (restored.platform_revision, restored.platform) = (revision, Arc::new(plan));
        }
        for (revision, plan) in tenants {
            let held = TenantEntry { revision, view: Arc::new(TenantView::new(plan)) };
            restored.tenants.insert(held.view.plan.tenant.id, held);
        }
        Some(restored)
    }

    /// Follows until it is stopped; what is to be cached is written before it returns.
    pub async fn run(mut self, reader: Reader, stop: CancellationToken) {
        self.keeper = self
            .cache
            .clone()
            .map(|cache| CacheWriter::start(cache, self.replica.clone(), self.behind.clone()));
        stop.run_until_cancelled(self.follow(&reader)).await;
        self.progress.send_modify(|progress| progress.connected = false);
        if let Some(keeper) = self.keeper.take() {
            keeper.finish().await;
        }
    }

    async fn follow(&mut self, reader: &Reader) {
        let mut wait = BACKOFF.0;
        loop {
            let Err(error) = self.session(reader).await;
            if self.progress.borrow().caught_up {
                wait = BACKOFF.0;
            }
            self.progress.send_modify(|progress| {
                progress.connected = false;
                progress.caught_up = false;
                progress.trouble = Some(error.to_string());
            });
            tracing::warn!(%error, category = error.category(), "not following Postgres; serving what is held");
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// One connection's life.
    async fn session(&mut self, reader: &Reader) -> Result<Infallible, StoreError> {
        self.take_signing_key(in_time(ANSWER_TIMEOUT, reader.signing_key()).await?).await;
        // Listening comes before comparing: between the two nothing can be missed.
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
            tokio::time::interval_at(tokio::time::Instant::now() + COMPARE_EVERY, COMPARE_EVERY);
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
            // Whatever else is there already goes into the same round.
            while let Ok(more) = tokio::time::timeout(Duration::ZERO, listener.try_recv()).await {
                changed
                    .add(more.context("waiting for notifications")?.ok_or_else(lost_connection)?.payload());
            }
            self.heard();
            match changed.unclear {
                true => self.compare(reader, &mut listener).await?,
                false => self.load(reader, changed).await?,
            }
        }
    }

    /// Finds and loads what differs, and takes out what is gone. It asks over the connection that
    /// is notified, which shows that that one lives.
    async fn compare(&mut self, reader: &Reader, listener: &mut PgListener) -> Result<(), StoreError> {
        let revisions = in_time(ANSWER_TIMEOUT, reader.revisions(&mut *listener)).await?;
        self.heard();
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
                self.keep(CacheEntry::Platform);
            }
            Step::Back => drop(held_back.insert(None)),
        }
        self.hold_back(held_back);
        self.load(reader, changed).await
    }

    /// Takes in of what more is held than Postgres has.
    fn hold_back(&self, now: BTreeSet<Option<Uuid>>) {
        let before = self.progress.borrow().held_back.len();
        if before == 0 && !now.is_empty() {
            tracing::warn!(
                tenants = now.iter().flatten().count(),
                platform = now.contains(&None),
                "Postgres was set back to an older state; what is held of it is served until it was compared"
            );
        }
        if before > 0 && now.is_empty() {
            tracing::info!("Postgres has again what is held, or later");
        }
        self.progress.send_if_modified(|progress| {
            std::mem::replace(&mut progress.held_back, now) != progress.held_back
        });
    }

    /// What is held of it is as it should be.
    fn caught_up_with(&self, what: Option<Uuid>) {
        if self.progress.borrow().held_back.contains(&what) {
            let mut rest = self.progress.borrow().held_back.clone();
            rest.remove(&what);
            self.hold_back(rest);
        }
    }

    /// The same content, under an earlier number: Postgres was set back, and nothing was changed since.
    fn renumber(&mut self, id: Uuid, revision: Revision) {
        let Some(held) = self.replica.held(id) else { return };
        self.replica.replace_view(revision.number, held.view);
        self.tenants.insert(id, revision);
        self.keep(CacheEntry::Tenant(id));
    }

    /// Loads and puts in. What cannot be read stays as it is held; only a lost connection ends it.
    async fn load(&mut self, reader: &Reader, changed: Changed) -> Result<(), StoreError> {
        // The first time it comes last: once it is held lookups are answered, and a tenant that is still
        // to come would be told to be none.
        let first = self.replica.platform_revision() == 0;
        if let Some(least) = changed.platform.filter(|_| !first) {
            self.load_platform(reader, least).await?;
        }
        self.load_tenants(reader, changed.tenants).await?;
        // The first time everything was compared: what is not held by now cannot be read.
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
            // It was set back meanwhile: the next comparison sees to it.
            Ok((revision, _)) if revision.number < least => {}
            Ok((revision, plan)) => {
                self.replica.replace_platform(revision.number, plan);
                self.platform = revision;
                self.keep(CacheEntry::Platform);
                self.caught_up_with(None);
            }
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => tracing::error!(%error, "the platform's rows stay as they were"),
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
            while loads.len() < LOADS
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
                Some(Ok((id, least, loaded))) => self.loaded(id, least, loaded)?,
                Some(Err(error)) => tracing::error!(%error, "a tenant was not loaded"),
            }
        }
    }

    fn loaded(
        &mut self,
        id: Uuid,
        least: i64,
        loaded: Result<Option<Loaded>, StoreError>,
    ) -> Result<(), StoreError> {
        match loaded {
            // It was set back meanwhile: the next comparison sees to it.
            Ok(Some((revision, _))) if revision.number < least => {}
            Ok(Some((revision, view))) => {
                // Both at once: what comes next is read as a difference from it.
                self.replica.replace_view(revision.number, view);
                self.tenants.insert(id, revision);
                self.progress.send_modify(|progress| {
                    progress.unreadable.remove(&id);
                });
                self.keep(CacheEntry::Tenant(id));
                self.caught_up_with(Some(id));
            }
            // Removed meanwhile, of which a notification tells, or not there any more.
            Ok(None) => {}
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => {
                tracing::error!(tenant = %id, %error, "the tenant stays as it was");
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
        self.keep(CacheEntry::Tenant(id));
        self.caught_up_with(Some(id));
    }

    /// Counts a change, and has it cached.
    fn keep(&self, kept: CacheEntry) {
        self.progress.send_modify(|progress| progress.applied += 1);
        if let Some(keeper) = &self.keeper {
            keeper.changed(kept);
        }
    }

    fn heard(&self) {
        self.progress.send_modify(|progress| progress.last_heard = Some(Instant::now()));
    }

    async fn take_signing_key(&self, key: SigningKey) {
        let held = self.progress.borrow().signing_key.as_ref().map(|held| *held.reveal());
        if held == Some(*key.reveal()) {
            return;
        }
        self.key.get_or_init(|| key.clone());
        self.progress.send_modify(|progress| progress.signing_key = Some(key.clone()));
        if let Some(cache) = self.cache.clone()
            && let Ok(Err(error)) = tokio::task::spawn_blocking(move || cache.write_signing_key(&key)).await
        {
            tracing::error!(%error, "the signing key is not in the cache");
        }
    }
}

/// A tenant as it was loaded.
type Loaded = (Revision, Arc<TenantView>);

/// Loads a tenant, off the follower's task: views are built side by side.
async fn load_tenant(
    reader: Reader,
    id: Uuid,
    least: i64,
    held: Option<(Revision, TenantEntry)>,
) -> (Uuid, i64, Result<Option<Loaded>, StoreError>) {
    let held = held.as_ref().map(|(revision, held)| (revision, &held.view.plan));
    let loaded = in_time(ANSWER_TIMEOUT, reader.load_later(id, held)).await;
    let view = |(revision, plan)| (revision, Arc::new(TenantView::new(plan)));
    (id, least, loaded.map(|loaded| loaded.map(view)))
}

/// Half to all of a time, so that many switches do not come back at one moment.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let [random, ..] = keyring::random();
    wait / 2 + wait / 2 * u32::from(random) / 255
}
