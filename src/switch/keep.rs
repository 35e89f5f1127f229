//! The cache kept in step with the replica, behind the back of whoever answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::cache::{Cache, CacheError};
use super::replica::Replica;

/// How long to wait after a file could not be written: a full disk stays full for a while.
const RETRY: Duration = Duration::from_secs(30);

/// What changed in the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    /// The platform's rows.
    Platform,
    /// A tenant, which may be gone.
    Tenant(Uuid),
}

/// Writes to the cache what is said to have changed, as it is when its turn comes.
pub(super) struct Keeper {
    changed: UnboundedSender<Kept>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the task that writes.
    pub fn start(cache: Cache, replica: Arc<Replica>) -> Self {
        let (changed, receiver) = unbounded_channel();
        Self { changed, task: tokio::spawn(run(cache, replica, receiver)) }
    }

    /// Notes a change.
    pub fn changed(&self, kept: Kept) {
        let _ = self.changed.send(kept); // fails only when the runtime ends
    }

    /// Writes what is left, and ends.
    pub async fn finish(self) {
        drop(self.changed);
        let _ = self.task.await;
    }
}

async fn run(cache: Cache, replica: Arc<Replica>, mut changes: UnboundedReceiver<Kept>) {
    let mut dirty = BTreeSet::new();
    loop {
        let retry = tokio::time::sleep(RETRY);
        let open = tokio::select! {
            change = changes.recv() => change.map(|change| dirty.insert(change)).is_some(),
            () = retry, if !dirty.is_empty() => true,
        };
        while let Ok(change) = changes.try_recv() {
            dirty.insert(change);
        }
        let (cache, replica, todo) = (cache.clone(), replica.clone(), std::mem::take(&mut dirty));
        dirty = tokio::task::spawn_blocking(move || write(&cache, &replica, todo)).await.unwrap_or_default();
        if !open {
            return;
        }
    }
}

/// Writes files, and gives back what could not be written.
fn write(cache: &Cache, replica: &Replica, todo: BTreeSet<Kept>) -> BTreeSet<Kept> {
    let mut failed = BTreeSet::new();
    let mut first: Option<CacheError> = None;
    for kept in todo {
        let written = match kept {
            Kept::Platform => cache.write_platform(replica.platform_revision(), &replica.platform()),
            Kept::Tenant(id) => match replica.held(id) {
                Some(held) => cache.write_tenant(held.revision, &held.view.plan),
                None => cache.remove_tenant(id),
            },
        };
        if let Err(error) = written {
            failed.insert(kept);
            first.get_or_insert(error);
        }
    }
    if let Some(error) = first {
        tracing::error!(%error, files = failed.len(), "the cache is not up to date; serving goes on, will be tried again");
    }
    failed
}
