//! The task that writes changes of the replica to the cache, so that no lookup waits for the disk.

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

/// Pause after a file could not be written: a full disk stays full for a while. Also the longest idle
/// time after a write.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// Idle time after a write, as a multiple of the write's duration: caps the writer at 10 % of a core. A
/// large tenant's file is written as a whole, however little of it changed.
const IDLE_FACTOR: u32 = 9;

/// A file of the cache. The order is the order of writing: a cache that has the platform is served from,
/// so that in a new cache the platform is written after the tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CacheEntry {
    /// A tenant, which may have been removed from the replica.
    Tenant(Uuid),
    /// The platform's rows.
    Platform,
}

/// The revisions that the running switch was brought to; `None` where no event socket is configured.
pub(super) type AppliedRx = watch::Receiver<Option<Applied>>;

/// Writes changed entries to the cache, each as the replica has it at the time of the write.
pub(super) struct CacheWriter {
    changed: UnboundedSender<CacheEntry>,
    task: JoinHandle<()>,
}

impl CacheWriter {
    /// Starts the writer. While `applied` is behind an entry, the entry's pre-change copy is kept.
    pub fn start(cache: Cache, replica: Arc<Replica>, applied: AppliedRx) -> Self {
        let (changed, receiver) = unbounded_channel();
        Self { changed, task: tokio::spawn(run(cache, replica, receiver, applied)) }
    }

    /// Queues an entry for writing.
    pub fn changed(&self, entry: CacheEntry) {
        let _ = self.changed.send(entry); // fails only when the runtime shuts down
    }

    /// Writes all queued entries, and ends.
    pub async fn finish(self) {
        drop(self.changed);
        let _ = self.task.await;
    }
}

async fn run(
    cache: Cache,
    replica: Arc<Replica>,
    mut changes: UnboundedReceiver<CacheEntry>,
    mut applied: AppliedRx,
) {
    let mut writer = Writer { cache, replica, dirty: BTreeSet::new(), pre_change: None };
    let mut idle_until = Instant::now();
    loop {
        let mut open = tokio::select! {
            change = changes.recv() => change.map(|change| writer.dirty.insert(change)).is_some(),
            Ok(()) = applied.changed() => true,
            () = sleep(RETRY_INTERVAL), if !writer.dirty.is_empty() => true,
        };
        while open && Instant::now() < idle_until {
            tokio::select! {
                change = changes.recv() => open = change.map(|change| writer.dirty.insert(change)).is_some(),
                () = sleep_until(idle_until) => {}
            }
        }
        while let Ok(change) = changes.try_recv() {
            writer.dirty.insert(change);
        }
        let revisions = applied.borrow_and_update().clone();
        let began = Instant::now();
        let written = tokio::task::spawn_blocking(move || writer.write_dirty(revisions.as_ref()));
        let Ok(returned) = written.await else { return };
        writer = returned;
        idle_until = Instant::now() + (began.elapsed() * IDLE_FACTOR).min(RETRY_INTERVAL);
        if !open {
            return;
        }
    }
}

/// The writer's state; it moves to a blocking thread and back.
struct Writer {
    cache: Cache,
    replica: Arc<Replica>,
    /// Entries to write.
    dirty: BTreeSet<CacheEntry>,
    /// Entries that have a pre-change copy on disk; `None` until the directory was read.
    pre_change: Option<BTreeSet<CacheEntry>>,
}

impl Writer {
    /// Writes all dirty entries; those that could not be written stay dirty. Removes the pre-change copies
    /// that the switch has caught up with.
    fn write_dirty(mut self, applied: Option<&Applied>) -> Self {
        let mut first: Option<CacheError> = None;
        for entry in std::mem::take(&mut self.dirty) {
            if let Err(error) = self.write(entry, applied) {
                self.dirty.insert(entry);
                first.get_or_insert(error);
            }
        }
        if let Some(error) = first {
            let files = self.dirty.len();
            tracing::error!(%error, files, "the cache is not up to date; serving goes on, and the write is retried");
        }
        let mut pre_change = self.pre_change.take().unwrap_or_else(|| self.cache.pre_change_entries());
        pre_change
            .retain(|entry| self.is_behind(*entry, applied) || self.cache.remove_pre_change(*entry).is_err());
        self.pre_change = Some(pre_change);
        self
    }

    fn write(&mut self, entry: CacheEntry, applied: Option<&Applied>) -> Result<(), CacheError> {
        if self.is_behind(entry, applied) {
            self.cache.save_pre_change(entry)?;
            if let Some(pre_change) = self.pre_change.as_mut() {
                pre_change.insert(entry);
            }
        }
        match entry {
            CacheEntry::Platform => {
                self.cache.write_platform(self.replica.platform_revision(), &self.replica.platform())
            }
            CacheEntry::Tenant(id) => match self.replica.held(id) {
                Some(held) => self.cache.write_tenant(held.revision, &held.view.plan),
                None => self.cache.remove_tenant(id),
            },
        }
    }

    /// True while the running switch was not brought to the replica's revision of an entry. Always false
    /// without an event socket.
    fn is_behind(&self, entry: CacheEntry, applied: Option<&Applied>) -> bool {
        let Some(applied) = applied else { return false };
        match entry {
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
    fn a_cache_whose_first_write_was_interrupted_has_no_platform() {
        let dirty = BTreeSet::from([CacheEntry::Platform, CacheEntry::Tenant(Uuid::max())]);
        assert_eq!(dirty.last(), Some(&CacheEntry::Platform));
    }
}
