//! Fetches Secrets and ConfigMaps that objects refer to: some at a time, and all later when the API
//! server cannot take more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::failure::Failure;
use super::kinds::on_use;
use super::read::{self, Head};
use super::requests;
use super::secret_fetch_queue::SecretFetchQueue;
use super::watch_health::Fetching;
use crate::source::{Change, Object, ObjectKey, Unreadable};
use crate::util::backoff::Backoff;

/// Fetches at one time.
const CONCURRENT: usize = 8;
/// First and longest pause of all fetches while the API server cannot be reached or has too much to do.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What the API server says of one.
enum Answer {
    There(Object, u64),
    NotThere,
    Unreadable(String),
    Failed(Failure),
}

/// Fetches what is wanted.
pub(super) struct Fetcher {
    client: kube::Client,
    /// What is wanted.
    pub wants: SecretFetchQueue,
    running: JoinSet<(Arc<ObjectKey>, Answer)>,
    paused: Option<Instant>,
    backoff: Backoff,
    error: Option<String>,
    /// Tells that the API server can be reached again.
    back: Arc<Notify>,
}

impl Fetcher {
    /// A fetcher of nothing yet.
    pub fn new(client: kube::Client, back: Arc<Notify>) -> Self {
        let (wants, backoff) = (SecretFetchQueue::default(), Backoff::new(PAUSES.0, PAUSES.1));
        Self { client, wants, running: JoinSet::new(), paused: None, backoff, error: None, back }
    }

    /// How far it is.
    pub fn progress(&self) -> Fetching {
        Fetching { unsettled: self.wants.tally().unsettled, error: self.error.clone() }
    }

    /// Begins as many fetches as may run.
    pub fn begin(&mut self) {
        while self.paused.is_none()
            && self.running.len() < CONCURRENT
            && let Some(key) = self.wants.next()
        {
            let client = self.client.clone();
            self.running.spawn(async move {
                let answer = fetch(&client, &key).await.unwrap_or_else(Answer::Failed);
                (key, answer)
            });
        }
    }

    /// Waits until a fetch ended, or others can begin. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Change> {
        let wake = self.paused.into_iter().chain(self.wants.due()).min();
        tokio::select! {
            Some(done) = self.running.join_next() => match done {
                Ok((key, answer)) => self.take(&key, answer),
                Err(cause) => {
                    error!(%cause, "a fetch was broken off");
                    None
                }
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                let now = Instant::now();
                self.paused = self.paused.filter(|until| *until > now);
                self.wants.wake(now);
                None
            }
            () = self.back.notified(), if self.paused.is_some() => {
                self.paused = None;
                None
            }
            else => std::future::pending().await,
        }
    }

    fn take(&mut self, key: &Arc<ObjectKey>, answer: Answer) -> Option<Change> {
        let news = match answer {
            Answer::There(object, version) => {
                self.wants.found(key, version).then_some(Change::Upsert(object))
            }
            Answer::NotThere => self.wants.absent(key).then(|| Change::Remove((**key).clone())),
            Answer::Unreadable(message) => {
                let unreadable = Unreadable { key: (**key).clone(), tenant: None, message };
                self.wants.unreadable(key).then_some(Change::Unreadable(unreadable))
            }
            Answer::Failed(failure) => {
                self.fail(key, &failure);
                return None;
            }
        };
        self.backoff.reset();
        if self.wants.tally().failing == 0 && self.error.take().is_some() {
            info!("Secrets and ConfigMaps are fetched again");
        }
        news
    }

    fn fail(&mut self, key: &Arc<ObjectKey>, failure: &Failure) {
        let text = format!("{key}: {failure}");
        debug!("not fetched: {text}");
        if failure.is_of_the_server() {
            self.wants.postponed(key);
            self.paused.get_or_insert_with(|| Instant::now() + self.backoff.pause());
        } else {
            self.wants.failed(key);
        }
        // One line for all that fail together: there may be as many as there are extensions.
        if self.error.is_none() {
            warn!(category = failure.category(), "cannot be fetched; what is held of it stays: {text}");
        }
        self.error = Some(text);
    }
}

async fn fetch(client: &kube::Client, key: &ObjectKey) -> Result<Answer, Failure> {
    let Some((kind, read)) = on_use(key.kind) else { return Ok(Answer::NotThere) };
    let text = match requests::get(client, kind, key).await {
        Ok(text) => text,
        Err(failure) if failure.is_not_found() => return Ok(Answer::NotThere),
        Err(failure) => return Err(failure),
    };
    let head: Head = serde_json::from_str(&text).map_err(Failure::Unreadable)?;
    Ok(match read::object(kind, read, &text) {
        Ok(object) => Answer::There(object, head.version()),
        Err(message) => Answer::Unreadable(message),
    })
}
