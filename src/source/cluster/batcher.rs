//! Gathers what all streams see, has fetched what that refers to, and gives both on in batches.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use super::fetch::Fetcher;
use super::stream::StreamEvent;
use super::stream_cache::RefDelta;
use super::watch_health::Watches;
use super::{Change, Update};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(25);
/// How long they wait for Secrets that they refer to, so that both are seen together.
const PATIENCE: Duration = Duration::from_millis(250);
/// Most changes of an update.
const MOST: usize = 1000;

/// Between the streams and who takes updates.
pub(super) struct Batcher {
    fetcher: Fetcher,
    updates: Sender<Update>,
    watches: Watches,
    /// Streams that have not listed yet.
    unlisted: usize,
    batch: Update,
    /// When the first of the batch came.
    since: Option<Instant>,
}

impl Batcher {
    /// A gatherer of so many streams.
    pub fn new(fetcher: Fetcher, streams: usize, updates: Sender<Update>, watches: Watches) -> Self {
        Self { fetcher, updates, watches, unlisted: streams, batch: Update::default(), since: None }
    }

    /// Gathers until nobody takes updates any more.
    pub async fn run(mut self, mut inbox: Receiver<StreamEvent>) {
        loop {
            self.fetcher.begin();
            self.watches.fetching(self.fetcher.progress());
            let known = self.unlisted == 0 && self.fetcher.wants.tally().unsettled == 0;
            let completed = known && !self.batch.complete;
            self.batch.complete |= known;
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
                seen = inbox.recv() => match seen {
                    Some(seen) => self.see(seen),
                    None => return,
                },
                news = self.fetcher.next() => if let Some(change) = news {
                    self.change(change);
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = self.updates.closed() => return,
            }
        }
    }

    /// When the batch is to be given on.
    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        if self.batch.changes.len() >= MOST {
            return Some(since);
        }
        Some(since + if self.fetcher.wants.tally().fresh > 0 { PATIENCE } else { GATHER })
    }

    fn change(&mut self, change: Change) {
        self.batch.changes.push(change);
        self.since.get_or_insert_with(Instant::now);
    }

    fn see(&mut self, seen: StreamEvent) {
        match seen {
            StreamEvent::Object(object, shift) => {
                self.change(Change::Upsert(object));
                self.shift(shift);
            }
            StreamEvent::Gone(key, shift) => {
                self.change(Change::Remove(key));
                self.shift(shift);
            }
            StreamEvent::Unreadable(unreadable) => self.change(Change::Unreadable(unreadable)),
            StreamEvent::Shown(key, version) => self.fetcher.wants.shown(&key, version),
            StreamEvent::Hidden(key) => self.fetcher.wants.hidden(&key),
            StreamEvent::Listing(kind, namespace) => self.fetcher.wants.listing(kind, namespace),
            StreamEvent::Listed(kind, namespace, first) => {
                self.fetcher.wants.listed(kind, namespace);
                self.unlisted = self.unlisted.saturating_sub(usize::from(first));
            }
        }
    }

    fn shift(&mut self, shift: RefDelta) {
        for key in shift.gained {
            self.fetcher.wants.gain(key);
        }
        for key in shift.lost {
            if self.fetcher.wants.lose(&key) {
                self.change(Change::Remove((*key).clone()));
            }
        }
    }
}
