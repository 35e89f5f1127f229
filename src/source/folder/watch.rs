//! Follows the folders by file system notifications, and by a slow rescan in case one was missed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tree::Tree;
use super::{Update, lock};

/// Time between two rescans.
const RESCAN_INTERVAL: Duration = Duration::from_secs(30);
/// Time between two rescans while there are no notifications.
const RESCAN_INTERVAL_UNWATCHED: Duration = Duration::from_secs(2);
/// Changes are read after this long without a notification, so that a rename is read as one change.
const QUIET_PERIOD: Duration = Duration::from_millis(15);
/// Changes wait at most this long for a quiet period.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// A file that its writer does not close is read this long after the last write.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

type Notice = notify::Result<notify::Event>;

/// Scans, then follows, until `stop` is cancelled or the receiver of updates is dropped.
pub(super) async fn follow(tree: Arc<Mutex<Tree>>, updates: mpsc::Sender<Update>, stop: CancellationToken) {
    let (sender, mut notices) = mpsc::unbounded_channel();
    // The watch starts before the scan, so that changes during the scan are noticed.
    let (first, tree_to_watch) = (tree.clone(), tree.clone());
    let watcher = blocking(move || watch(&lock(&tree_to_watch), sender)).await.flatten();
    if let Some(update) = blocking(move || lock(&first).rescan()).await.flatten()
        && updates.send(update).await.is_err()
    {
        return;
    }
    let mut pending = Pending { blind: watcher.is_none(), ..Pending::default() };
    let mut last_rescan = Instant::now();
    loop {
        let next_rescan =
            last_rescan + if pending.blind { RESCAN_INTERVAL_UNWATCHED } else { RESCAN_INTERVAL };
        let due = pending.due().map_or(next_rescan, |due| due.min(next_rescan));
        tokio::select! {
            () = stop.cancelled() => return,
            () = updates.closed() => return,
            Some(notice) = notices.recv() => {
                pending.record(notice);
                continue;
            }
            () = tokio::time::sleep_until(due) => {}
        }
        let everything = pending.missed || Instant::now() >= next_rescan;
        let paths = pending.pop_ready(Instant::now());
        let tree = tree.clone();
        let work = move || {
            let mut tree = lock(&tree);
            if everything { tree.rescan() } else { tree.changed(&paths) }
        };
        let update = blocking(work).await.flatten();
        if everything {
            last_rescan = Instant::now();
        }
        if let Some(update) = update
            && updates.send(update).await.is_err()
        {
            return;
        }
    }
}

/// Runs work that waits for the disk; `None` when it panicked. The next rescan repeats it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Some(result),
        Err(error) => {
            tracing::error!(%error, "reading manifests failed");
            None
        }
    }
}

fn watch(tree: &Tree, notices: mpsc::UnboundedSender<Notice>) -> Option<RecommendedWatcher> {
    let handler = move |notice: Notice| {
        let _ = notices.send(notice);
    };
    let watched = notify::recommended_watcher(handler).and_then(|mut watcher| {
        for root in tree.roots() {
            watcher.watch(root, RecursiveMode::Recursive)?;
        }
        Ok(watcher)
    });
    watched
        .inspect_err(
            |error| tracing::warn!(%error, "manifests cannot be watched; rescanning every 2 seconds"),
        )
        .ok()
}

/// Changes that were notified and are not read yet.
#[derive(Debug, Default)]
struct Pending {
    /// When each path may be read.
    ready: BTreeMap<PathBuf, Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Notifications were lost: a rescan is due.
    missed: bool,
    /// Notifications are unreliable: rescans are frequent.
    blind: bool,
}

impl Pending {
    fn record(&mut self, notice: Notice) {
        let now = Instant::now();
        match notice {
            Ok(event) if event.need_rescan() => self.missed = true,
            Ok(event) => match event.kind {
                // This program's own reading causes these too.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.paths(event.paths, now),
                EventKind::Access(_) => return,
                // The writer may not be done: wait until it closes the file.
                EventKind::Create(notify::event::CreateKind::File)
                | EventKind::Modify(ModifyKind::Data(_)) => {
                    let (linked, written): (Vec<_>, Vec<_>) =
                        event.paths.into_iter().partition(|path| path.is_symlink());
                    self.paths(written, now + WRITE_TIMEOUT);
                    self.paths(linked, now);
                }
                EventKind::Modify(ModifyKind::Metadata(_)) => {
                    let paths: Vec<_> =
                        event.paths.into_iter().filter(|path| !self.ready.contains_key(path)).collect();
                    self.paths(paths, now);
                }
                _ => self.paths(event.paths, now),
            },
            Err(error) => {
                tracing::warn!(%error, "manifests cannot be watched reliably; rescanning every 2 seconds");
                self.missed = true;
                self.blind = true;
            }
        }
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn paths(&mut self, paths: Vec<PathBuf>, ready: Instant) {
        self.ready.extend(paths.into_iter().map(|path| (path, ready)));
    }

    /// When the next change may be read.
    fn due(&self) -> Option<Instant> {
        let quiet = (self.last? + QUIET_PERIOD).min(self.first? + MAX_WAIT);
        if self.missed { Some(quiet) } else { self.ready.values().min().map(|ready| quiet.max(*ready)) }
    }

    /// Removes and returns the paths that may be read now.
    fn pop_ready(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        let ready: BTreeSet<PathBuf> =
            self.ready.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        self.ready.retain(|path, _| !ready.contains(path));
        self.missed = false;
        self.first = (!self.ready.is_empty()).then_some(now);
        ready
    }
}
