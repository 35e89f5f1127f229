//! The cache kept in step with the replica, behind the back of whoever answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::cache::{Cache, CacheError};
use super::tenants::Replica;
use crate::plan::report::Applied;

/// How long to wait after a file could not be written: a full disk stays full for a while.
const RETRY: Duration = Duration::from_secs(30);
/// How often as long as it wrote it rests, that those who answer have the processor; at most as long
/// as after a failure. A large tenant's file is written as a whole, however little changed.
const REST: u32 = 9;

/// What changed in the replica, in the order of writing: a cache that has the platform is served
/// from, so that at a first start it comes after the tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CacheEntry {
    /// A tenant, which may be gone.
    Tenant(Uuid),
    /// The platform's rows.
    Platform,
}

/// How far the running switch is, where somebody asks it.
pub(super) type Behind = watch::Receiver<Option<Applied>>;

/// Writes to the cache what is said to have changed, as it is when its turn comes.
pub(super) struct CacheWriter {
    changed: UnboundedSender<CacheEntry>,
    task: JoinHandle<()>,
}

impl CacheWriter {
    /// Starts the task that writes. What the switch was brought to is kept until it is brought further.
    pub fn start(cache: Cache, replica: Arc<Replica>, behind: Behind) -> Self {
        let (changed, receiver) = unbounded_channel();
        Self { changed, task: tokio::spawn(run(cache, replica, receiver, behind)) }
    }

    /// Notes a change.
    pub fn changed(&self, kept: CacheEntry) {
        let _ = self.changed.send(kept); // fails only when the runtime ends
    }

    /// Writes what is left, and ends.
    pub async fn finish(self) {
        drop(self.changed);
        let _ = self.task.await;
    }
}

async fn run(
    cache: Cache,
    replica: Arc<Replica>,
    mut changes: UnboundedReceiver<CacheEntry>,
    mut behind: Behind,
) {
    let mut work = Work { cache, replica, dirty: BTreeSet::new(), before: None };
    let mut rested = Instant::now();
    loop {
        let mut open = tokio::select! {
            change = changes.recv() => change.map(|change| work.dirty.insert(change)).is_some(),
            Ok(()) = behind.changed() => true,
            () = sleep(RETRY), if !work.dirty.is_empty() => true,
        };
        while open && Instant::now() < rested {
            tokio::select! {
                change = changes.recv() => open = change.map(|change| work.dirty.insert(change)).is_some(),
                () = sleep_until(rested) => {}
            }
        }
        while let Ok(change) = changes.try_recv() {
            work.dirty.insert(change);
        }
        let applied = behind.borrow_and_update().clone();
        let began = Instant::now();
        let Ok(done) = tokio::task::spawn_blocking(move || work.done(applied.as_ref())).await else { return };
        work = done;
        rested = Instant::now() + (began.elapsed() * REST).min(RETRY);
        if !open {
            return;
        }
    }
}

/// What there is to do.
struct Work {
    cache: Cache,
    replica: Arc<Replica>,
    /// To be written.
    dirty: BTreeSet<CacheEntry>,
    /// Of what it is kept how it was before; not read yet at first.
    before: Option<BTreeSet<CacheEntry>>,
}

impl Work {
    /// Does it; what could not be written is to be done still.
    fn done(mut self, applied: Option<&Applied>) -> Self {
        let mut first: Option<CacheError> = None;
        for kept in std::mem::take(&mut self.dirty) {
            if let Err(error) = self.write(kept, applied) {
                self.dirty.insert(kept);
                first.get_or_insert(error);
            }
        }
        if let Some(error) = first {
            let files = self.dirty.len();
            tracing::error!(%error, files, "the cache is not up to date; serving goes on, will be tried again");
        }
        let mut before = self.before.take().unwrap_or_else(|| self.cache.befores());
        before.retain(|kept| self.is_behind(*kept, applied) || self.cache.forget_before(*kept).is_err());
        self.before = Some(before);
        self
    }

    fn write(&mut self, kept: CacheEntry, applied: Option<&Applied>) -> Result<(), CacheError> {
        if self.is_behind(kept, applied) {
            self.cache.keep_before(kept)?;
            if let Some(before) = self.before.as_mut() {
                before.insert(kept);
            }
        }
        match kept {
            CacheEntry::Platform => {
                self.cache.write_platform(self.replica.platform_revision(), &self.replica.platform())
            }
            CacheEntry::Tenant(id) => match self.replica.held(id) {
                Some(held) => self.cache.write_tenant(held.revision, &held.view.plan),
                None => self.cache.remove_tenant(id),
            },
        }
    }

    /// Whether the running switch was not brought yet to what is held; never where nobody asks it.
    fn is_behind(&self, kept: CacheEntry, applied: Option<&Applied>) -> bool {
        let Some(applied) = applied else { return false };
        match kept {
            CacheEntry::Platform => applied.platform != self.replica.platform_revision(),
            CacheEntry::Tenant(id) => {
                applied.tenants.get(&id).copied() != self.replica.held(id).map(|held| held.revision)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_was_broken_off_at_a_first_start_has_no_platform() {
        let dirty = BTreeSet::from([CacheEntry::Platform, CacheEntry::Tenant(Uuid::max())]);
        assert_eq!(dirty.last(), Some(&CacheEntry::Platform));
    }
}
