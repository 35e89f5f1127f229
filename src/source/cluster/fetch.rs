//! Fetches Secrets and ConfigMaps that objects refer to, a few at a time. All fetches pause while the API
//! server is unreachable or overloaded.
//!
//! Ours because kube-runtime watches whole kinds: a cluster has many Secrets that are none of Centrex's
//! business, and metadata of the others is all that a watch receives.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::failure::Failure;
use super::get::get_raw;
use super::kinds::fetched_on_reference;
use super::read;
use super::secret_fetch_queue::SecretFetchQueue;
use super::watch_health::FetchProgress;
use crate::source::{Change, Object, ObjectKey, Unreadable};
use crate::util::backoff::Backoff;

/// Fetches that run at the same time, at most.
const MAX_CONCURRENT: usize = 8;
/// Pauses of all fetches while the API server is unreachable or overloaded.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// Result of one fetch.
enum Answer {
    Found(Object, u64),
    Missing,
    Unreadable(String),
    Failed(Failure),
}

/// Runs the fetches of a queue.
pub(super) struct Fetcher {
    client: kube::Client,
    /// What is referenced, and what to fetch next.
    pub queue: SecretFetchQueue,
    running: JoinSet<(Arc<ObjectKey>, Answer)>,
    paused: Option<Instant>,
    backoff: Backoff,
    error: Option<String>,
    /// Notified when a watch reaches the API server again after an outage.
    server_is_back: Arc<Notify>,
}

impl Fetcher {
    /// A fetcher with an empty queue.
    pub fn new(client: kube::Client, server_is_back: Arc<Notify>) -> Self {
        let (queue, backoff) = (SecretFetchQueue::default(), BACKOFF);
        Self { client, queue, running: JoinSet::new(), paused: None, backoff, error: None, server_is_back }
    }

    /// How many fetches are outstanding, and why some fail.
    pub fn progress(&self) -> FetchProgress {
        FetchProgress { unsettled: self.queue.tally().unsettled, error: self.error.clone() }
    }

    /// Starts as many fetches as may run.
    pub fn start_fetches(&mut self) {
        while self.paused.is_none()
            && self.running.len() < MAX_CONCURRENT
            && let Some(key) = self.queue.next()
        {
            let client = self.client.clone();
            self.running.spawn(async move {
                let answer = fetch(&client, &key).await.unwrap_or_else(Answer::Failed);
                (key, answer)
            });
        }
    }

    /// Waits until a fetch has ended or the next one may start. Cancel-safe.
    pub async fn next(&mut self) -> Option<Change> {
        let wake = self.paused.into_iter().chain(self.queue.next_retry()).min();
        tokio::select! {
            Some(done) = self.running.join_next() => match done {
                Ok((key, answer)) => self.record(&key, answer),
                Err(cause) => {
                    error!(%cause, "a fetch was aborted");
                    None
                }
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                let now = Instant::now();
                self.paused = self.paused.filter(|until| *until > now);
                self.queue.queue_retries(now);
                None
            }
            () = self.server_is_back.notified(), if self.paused.is_some() => {
                self.paused = None;
                None
            }
            else => std::future::pending().await,
        }
    }

    fn record(&mut self, key: &Arc<ObjectKey>, answer: Answer) -> Option<Change> {
        let change = match answer {
            Answer::Found(object, version) => {
                self.queue.fetched(key, version).then_some(Change::Upsert(object))
            }
            Answer::Missing => self.queue.missing(key).then(|| Change::Remove((**key).clone())),
            Answer::Unreadable(message) => {
                let unreadable = Unreadable { key: (**key).clone(), tenant: None, message };
                self.queue.unreadable(key).then_some(Change::Unreadable(unreadable))
            }
            Answer::Failed(failure) => {
                self.fail(key, &failure);
                return None;
            }
        };
        self.backoff.reset();
        if self.queue.tally().failing == 0 && self.error.take().is_some() {
            info!("Secrets and ConfigMaps are fetched again");
        }
        change
    }

    fn fail(&mut self, key: &Arc<ObjectKey>, failure: &Failure) {
        let text = format!("{key}: {failure}");
        debug!("not fetched: {text}");
        if failure.concerns_all_objects() {
            self.queue.postponed(key);
            self.paused.get_or_insert_with(|| Instant::now() + self.backoff.pause());
        } else {
            self.queue.failed(key);
        }
        // One line for all fetches that fail together: there may be as many as extensions.
        if self.error.is_none() {
            warn!(category = failure.category(), "cannot be fetched; the last version stays: {text}");
        }
        self.error = Some(text);
    }
}

async fn fetch(client: &kube::Client, key: &ObjectKey) -> Result<Answer, Failure> {
    let Some((kind, read)) = fetched_on_reference(key.kind) else { return Ok(Answer::Missing) };
    let raw = match get_raw(client, kind, key).await {
        Ok(raw) => raw,
        Err(failure) if failure.is_not_found() => return Ok(Answer::Missing),
        Err(failure) => return Err(failure),
    };
    Ok(match read::object(kind, read, raw.json()) {
        Ok(object) => Answer::Found(object, raw.version()),
        Err(message) => Answer::Unreadable(message),
    })
}
