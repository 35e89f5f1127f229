//! Writes fetches to the log and to Postgres, many at a time, so that no phone waits for it, and none learns from the
//! time of an answer that there is something to write.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::outcome::Outcome;
use crate::store::Reader;
use crate::store::phones::Fetch;
use crate::util::backoff::Backoff;

/// Most fetches that wait for Postgres.
const MAX_WAITING: usize = 16_384;
/// Most fetches of one transaction.
const MAX_BATCH: usize = 512;
/// Fetches within this time share a transaction.
const DELAY: Duration = Duration::from_millis(50);
/// How often old fetches are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// How long the last fetches may take when the process ends.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);
/// Pauses before another attempt.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// A fetch, and what only the log has of it.
pub struct Entry {
    pub fetch: Fetch,
    pub outcome: Outcome,
    pub namespace: String,
    /// The MAC address, shortened.
    pub phone: String,
}

impl Entry {
    /// Writes the line of the log.
    fn log(self) -> Fetch {
        let Self { fetch, outcome, namespace, phone } = self;
        let (device, address) = (&fetch.device, fetch.address);
        match outcome {
            Outcome::Served | Outcome::NotModified | Outcome::NotMade => {
                tracing::debug!(namespace, device, %phone, %address, outcome = outcome.name(), "a phone fetched a file");
            }
            _ => {
                tracing::info!(namespace, device, %phone, %address, outcome = outcome.name(), "a request for a phone's file");
            }
        }
        fetch
    }
}

/// Where fetches are given to be written.
#[derive(Clone, Debug)]
pub struct Recorder {
    waiting: mpsc::Sender<Entry>,
    metrics: Metrics,
}

/// The task that writes them.
pub struct Writer {
    waiting: mpsc::Receiver<Entry>,
    reader: Reader,
    metrics: Metrics,
}

/// A recorder and its task.
pub fn recorder(reader: Reader, metrics: Metrics) -> (Recorder, Writer) {
    let (sender, waiting) = mpsc::channel(MAX_WAITING);
    (Recorder { waiting: sender, metrics: metrics.clone() }, Writer { waiting, reader, metrics })
}

impl Recorder {
    /// Gives a fetch to be written. While Postgres is away and too many wait, it is counted and left out.
    pub fn record(&self, entry: Entry) {
        if self.waiting.try_send(entry).is_err() {
            self.metrics.count_unrecorded(1);
        }
    }
}

impl Writer {
    /// Writes until stopped, and then what is waiting.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.write_all()).await;
        let mut rest = Vec::new();
        while let Ok(entry) = self.waiting.try_recv() {
            rest.push(entry.log());
        }
        for batch in rest.chunks(MAX_BATCH) {
            if !matches!(timeout(LAST_TIMEOUT, self.reader.record_fetches(batch)).await, Ok(Ok(()))) {
                self.metrics.count_unrecorded(batch.len());
            }
        }
    }

    async fn write_all(&mut self) {
        let (mut batch, mut backoff, mut next_prune) = (Vec::new(), BACKOFF, Instant::now());
        loop {
            if batch.is_empty() {
                let Some(first) = self.waiting.recv().await else { return };
                sleep(DELAY).await;
                batch.push(first.log());
            }
            while batch.len() < MAX_BATCH
                && let Ok(entry) = self.waiting.try_recv()
            {
                batch.push(entry.log());
            }
            match self.reader.record_fetches(&batch).await {
                Ok(()) => {
                    batch.clear();
                    backoff.reset();
                }
                Err(error) if error.is_outage() => {
                    tracing::warn!(category = error.category(), %error, waiting = batch.len(), "fetches of phones wait for Postgres");
                    sleep(backoff.pause()).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(category = error.category(), %error, "fetches of phones were not recorded");
                    self.metrics.count_unrecorded(batch.len());
                    batch.clear();
                }
            }
            if Instant::now() >= next_prune {
                next_prune = Instant::now() + PRUNE_INTERVAL;
                if let Err(error) = self.reader.prune_fetches().await {
                    tracing::warn!(category = error.category(), %error, "old fetches of phones were not removed");
                }
            }
        }
    }
}
