//! Collects the events of all streams and the Secrets that objects refer to, and sends both in batches.
//!
//! Ours because kube-runtime gives one stream a kind: what changes together in several kinds, such as an
//! Extension and its Secret, is to be compiled once.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use super::fetch::Fetcher;
use super::stream::StreamEvent;
use super::stream_cache::RefDelta;
use super::watch_health::Watches;
use super::{Change, Update};

/// How long changes are collected.
const BATCH_TIME: Duration = Duration::from_millis(25);
/// How long a batch waits for Secrets that its objects refer to, so that both are in one update.
const SECRET_WAIT: Duration = Duration::from_millis(250);
/// Changes of one update, at most.
const MAX_BATCH: usize = 1000;

/// Turns the events of streams into updates.
pub(super) struct Batcher {
    fetcher: Fetcher,
    updates: Sender<Update>,
    watches: Watches,
    /// Streams that have not listed yet.
    unlisted: usize,
    batch: Update,
    /// When the first change of the batch arrived.
    since: Option<Instant>,
}

impl Batcher {
    /// A batcher for this number of streams.
    pub fn new(fetcher: Fetcher, streams: usize, updates: Sender<Update>, watches: Watches) -> Self {
        Self { fetcher, updates, watches, unlisted: streams, batch: Update::default(), since: None }
    }

    /// Sends updates until their receiver is dropped.
    pub async fn run(mut self, mut events: Receiver<StreamEvent>) {
        loop {
            self.fetcher.start_fetches();
            self.watches.set_fetches(self.fetcher.progress());
            let complete = self.unlisted == 0 && self.fetcher.queue.tally().unsettled == 0;
            let completed = complete && !self.batch.complete;
            self.batch.complete |= complete;
            let due = self.due();
            if completed || due.is_some_and(|due| due <= Instant::now()) {
                let complete = self.batch.complete;
                let update = std::mem::replace(&mut self.batch, Update { complete, ..Update::default() });
                self.since = None;
                if self.updates.send(update).await.is_err() {
                    return;
                }
                continue;
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
                change = self.fetcher.next() => if let Some(change) = change {
                    self.push(change);
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = self.updates.closed() => return,
            }
        }
    }

    /// When the batch is to be sent.
    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        if self.batch.changes.len() >= MAX_BATCH {
            return Some(since);
        }
        Some(since + if self.fetcher.queue.tally().fresh > 0 { SECRET_WAIT } else { BATCH_TIME })
    }

    fn push(&mut self, change: Change) {
        self.batch.changes.push(change);
        self.since.get_or_insert_with(Instant::now);
    }

    fn handle(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Object(object, delta) => {
                self.push(Change::Upsert(object));
                self.count_references(delta);
            }
            StreamEvent::Deleted(key, delta) => {
                self.push(Change::Remove(key));
                self.count_references(delta);
            }
            StreamEvent::Unreadable(unreadable) => self.push(Change::Unreadable(unreadable)),
            StreamEvent::MetadataSeen(key, version) => self.fetcher.queue.observed(&key, version),
            StreamEvent::MetadataDeleted(key) => self.fetcher.queue.deleted(&key),
            StreamEvent::ListStarted(kind, namespace) => self.fetcher.queue.list_started(kind, namespace),
            StreamEvent::ListFinished(kind, namespace, first) => {
                self.fetcher.queue.list_finished(kind, namespace);
                self.unlisted = self.unlisted.saturating_sub(usize::from(first));
            }
        }
    }

    fn count_references(&mut self, delta: RefDelta) {
        for key in delta.gained {
            self.fetcher.queue.add_ref(key);
        }
        for key in delta.lost {
            if self.fetcher.queue.drop_ref(&key) {
                self.push(Change::Remove((*key).clone()));
            }
        }
    }
}
