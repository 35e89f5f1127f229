//! Follows the folders: by the system's notices, and by a slow look at everything in case one
//! was missed.

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

/// Between two looks at everything.
const RESCAN: Duration = Duration::from_secs(30);
/// The same while the system gives no notices.
const RESCAN_UNWATCHED: Duration = Duration::from_secs(2);
/// How long it must be quiet before changes are read, so that a rename is seen as a whole.
const QUIET: Duration = Duration::from_millis(15);
/// How long changes wait for quiet at most.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long after its last write a file is read whose writer has not closed it.
const UNCLOSED: Duration = Duration::from_millis(500);

type Notice = notify::Result<notify::Event>;

/// Scans, then follows, until it is stopped or nobody takes updates any more.
pub(super) async fn follow(tree: Arc<Mutex<Tree>>, updates: mpsc::Sender<Update>, stop: CancellationToken) {
    let (sender, mut notices) = mpsc::unbounded_channel();
    // Watched before the scan: what changes during it is noticed.
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
        let next_rescan = last_rescan + if pending.blind { RESCAN_UNWATCHED } else { RESCAN };
        let due = pending.due().map_or(next_rescan, |due| due.min(next_rescan));
        tokio::select! {
            () = stop.cancelled() => return,
            () = updates.closed() => return,
            Some(notice) = notices.recv() => {
                pending.note(notice);
                continue;
            }
            () = tokio::time::sleep_until(due) => {}
        }
        let everything = pending.missed || Instant::now() >= next_rescan;
        let paths = pending.take(Instant::now());
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

/// Runs work that waits for the disk; none when it panicked, which the next rescan makes up for.
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
            |error| tracing::warn!(%error, "manifests are not watched, but looked at every 2 seconds"),
        )
        .ok()
}

/// Changes that were noticed and are not read yet.
#[derive(Debug, Default)]
struct Pending {
    /// When each path may be read.
    ready: BTreeMap<PathBuf, Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Notices were lost, so everything is to be looked at.
    missed: bool,
    /// Notices cannot be relied on, so everything is to be looked at often.
    blind: bool,
}

impl Pending {
    fn note(&mut self, notice: Notice) {
        let now = Instant::now();
        match notice {
            Ok(event) if event.need_rescan() => self.missed = true,
            Ok(event) => match event.kind {
                // Our own reading causes these.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.paths(event.paths, now),
                EventKind::Access(_) => return,
                // A writer is at work: what is there now may be half of it.
                EventKind::Create(notify::event::CreateKind::File)
                | EventKind::Modify(ModifyKind::Data(_)) => {
                    let (linked, written): (Vec<_>, Vec<_>) =
                        event.paths.into_iter().partition(|path| path.is_symlink());
                    self.paths(written, now + UNCLOSED);
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
                tracing::warn!(%error, "manifests are not watched reliably, but looked at every 2 seconds");
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

    /// When there is something to read.
    fn due(&self) -> Option<Instant> {
        let quiet = (self.last? + QUIET).min(self.first? + PATIENCE);
        if self.missed { Some(quiet) } else { self.ready.values().min().map(|ready| quiet.max(*ready)) }
    }

    /// Takes out what may be read now.
    fn take(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        let ready: BTreeSet<PathBuf> =
            self.ready.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        self.ready.retain(|path, _| !ready.contains(path));
        self.missed = false;
        self.first = (!self.ready.is_empty()).then_some(now);
        ready
    }
}
