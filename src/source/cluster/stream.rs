//! One kind in one scope: listed, then watched, then watched again; listed again where a watch
//! cannot go on.

use crate::resources::Kind;
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncBufReadExt;
use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::failure::Failure;
use super::kinds::{WatchMode, WatchedKind};
use super::read::{self, Head};
use super::requests::{Page, Requests};
use super::stream_cache::{RefDelta, StreamCache};
use super::watch_health::WatchHealth;
use crate::source::references::references;
use crate::source::{Object, ObjectKey, Unreadable};
use crate::util::backoff::Backoff;

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// A watch that lives this long works, even where nothing happens.
const SETTLED: Duration = Duration::from_secs(1);
/// A watch of which nothing is heard for so long is begun anew: bookmarks come every minute.
const SILENCE: Duration = Duration::from_secs(150);
/// Room that is kept for an event between two of them.
const LINE: usize = 64 * 1024;

/// What a stream has seen.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// An object is new or different.
    Object(Object, RefDelta),
    /// An object is gone.
    Gone(ObjectKey, RefDelta),
    /// An object is there and cannot be read.
    Unreadable(Unreadable),
    /// A Secret or ConfigMap is there at a version.
    Shown(ObjectKey, u64),
    /// A Secret or ConfigMap was deleted.
    Hidden(ObjectKey),
    /// A list begins.
    Listing(Kind, Option<String>),
    /// A list was read to its end; whether it is the stream's first.
    Listed(Kind, Option<String>, bool),
}

/// A kind in a scope.
pub(super) struct Stream {
    kind: &'static WatchedKind,
    namespace: Option<String>,
    requests: Requests,
    known: StreamCache,
    backoff: Backoff,
    pulse: Arc<WatchHealth>,
    out: Sender<StreamEvent>,
    listed: bool,
    /// Its last failure was that the API server could not be reached.
    cut_off: bool,
    /// Tells all who wait that the API server can be reached again.
    back: Arc<Notify>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    what: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: String,
}

impl Stream {
    /// A stream that tells what it sees, and how it is.
    pub fn new(
        client: kube::Client,
        kind: &'static WatchedKind,
        namespace: Option<String>,
        out: Sender<StreamEvent>,
        pulse: Arc<WatchHealth>,
        back: Arc<Notify>,
    ) -> Self {
        let requests = Requests::new(client, kind, namespace.as_deref());
        let (known, backoff) = (StreamCache::default(), Backoff::new(PAUSES.0, PAUSES.1));
        Self { kind, namespace, requests, known, backoff, pulse, out, listed: false, cut_off: false, back }
    }

    /// Follows the kind for ever.
    pub async fn run(mut self) {
        let mut version: Option<String> = None;
        loop {
            let done = match version.as_mut() {
                Some(version) => self.watch(version).await,
                None => self.list().await.map(|listed| version = Some(listed)),
            };
            if let Err(failure) = done {
                self.failed(&failure);
                if failure.relists() {
                    version = None;
                }
                self.cut_off = failure.is_outage();
                let pause = sleep(self.backoff.pause());
                tokio::select! {
                    () = pause => {}
                    () = self.back.notified(), if self.cut_off => {}
                }
            }
        }
    }

    /// Lists everything, and gives the version to watch from.
    async fn list(&mut self) -> Result<String, Failure> {
        self.known.begin();
        self.tell(StreamEvent::Listing(self.kind.name, self.namespace.clone())).await;
        let (mut version, mut token) = (None, String::new());
        loop {
            let text = self.requests.page(&token).await?;
            self.reached();
            let page: Page = serde_json::from_str(&text).map_err(Failure::Unreadable)?;
            for item in page.items.into_iter().flatten() {
                self.is_there(item.get()).await?;
            }
            // A later page of a list that went on inconsistently is of a later version.
            version.get_or_insert_with(|| page.metadata.resource_version.into_owned());
            token = page.metadata.next;
            if token.is_empty() {
                break;
            }
        }
        for (path, shift) in self.known.end() {
            self.tell(StreamEvent::Gone(self.key(&path), shift)).await;
        }
        let first = !std::mem::replace(&mut self.listed, true);
        self.tell(StreamEvent::Listed(self.kind.name, self.namespace.clone(), first)).await;
        self.pulse.listed();
        Ok(version.unwrap_or_default())
    }

    /// Watches from a version, which goes on with what is seen, until the watch ends.
    async fn watch(&mut self, version: &mut String) -> Result<(), Failure> {
        let mut events = self.requests.watch(version).await?;
        self.reached();
        self.pulse.lives();
        let (mut settled, mut line) = (false, Vec::new());
        loop {
            line.clear();
            line.shrink_to(LINE);
            let mut next = pin!(events.read_until(b'\n', &mut line));
            let read = match timeout(SETTLED, &mut next).await {
                Ok(read) => Ok(read),
                Err(_) => {
                    settled = true;
                    self.works();
                    timeout(SILENCE, next).await
                }
            };
            match read {
                Ok(Ok(1..)) => {}
                // However a watch ends that worked: the next one says whether something is wrong.
                ended if settled => {
                    debug!(kind = self.kind.name.as_str(), namespace = self.namespace, ?ended, "watch ended");
                    return Ok(());
                }
                Ok(Err(error)) => return Err(Failure::Unreachable(error.to_string())),
                Ok(Ok(_)) | Err(_) => return Err(Failure::Brief),
            }
            let event: Event = serde_json::from_slice(&line).map_err(Failure::Unreadable)?;
            self.event(event, version).await?;
            self.pulse.lives();
            if !settled {
                settled = true;
                self.works();
            }
        }
    }

    async fn event(&mut self, event: Event<'_>, version: &mut String) -> Result<(), Failure> {
        let text = event.object.get();
        *version = match &*event.what {
            "ADDED" | "MODIFIED" => self.is_there(text).await?,
            "DELETED" => self.is_gone(text).await?,
            "BOOKMARK" => {
                let bookmark: Bookmark = serde_json::from_str(text).map_err(Failure::Unreadable)?;
                bookmark.metadata.resource_version
            }
            _ => {
                let status: Status = serde_json::from_str(text).map_err(Failure::Unreadable)?;
                return Err(status.into());
            }
        };
        Ok(())
    }

    /// Takes in an object as it is now, and gives its version.
    async fn is_there(&mut self, text: &str) -> Result<String, Failure> {
        let head: Head = serde_json::from_str(text).map_err(Failure::Unreadable)?;
        let (version, key) = (head.version(), head.key(self.kind.name));
        match self.kind.taken {
            WatchMode::OnUse(_) => self.tell(StreamEvent::Shown(key, version)).await,
            WatchMode::Whole(read) | WatchMode::Metadata(read) => {
                if self.known.is_current(&head.path(), version) {
                    return Ok(head.resource_version().to_owned());
                }
                let seen = match read::object(self.kind, read, text) {
                    Ok(object) => {
                        let shift = self.known.read(head.path(), version, references(&object));
                        StreamEvent::Object(object, shift)
                    }
                    Err(message) => {
                        self.known.unreadable(head.path(), version);
                        StreamEvent::Unreadable(Unreadable { key, tenant: read::tenant(text), message })
                    }
                };
                self.tell(seen).await;
            }
        }
        Ok(head.resource_version().to_owned())
    }

    /// Takes in that an object was deleted, and gives the version of that.
    async fn is_gone(&mut self, text: &str) -> Result<String, Failure> {
        let head: Head = serde_json::from_str(text).map_err(Failure::Unreadable)?;
        let key = head.key(self.kind.name);
        if let WatchMode::OnUse(_) = self.kind.taken {
            self.tell(StreamEvent::Hidden(key)).await;
        } else if let Some(shift) = self.known.remove(&head.path()) {
            self.tell(StreamEvent::Gone(key, shift)).await;
        }
        Ok(head.resource_version().to_owned())
    }

    fn key(&self, path: &str) -> ObjectKey {
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, path),
        };
        ObjectKey { kind: self.kind.name, namespace, name: name.to_owned() }
    }

    async fn tell(&self, seen: StreamEvent) {
        let sent = match self.out.try_send(seen) {
            Err(TrySendError::Full(seen)) => {
                self.pulse.held_up(true);
                let sent = self.out.send(seen).await.is_ok();
                self.pulse.held_up(false);
                sent
            }
            sent => sent.is_ok(),
        };
        if !sent {
            // Nobody listens any more, and who ends all streams then is about to.
            std::future::pending::<()>().await;
        }
    }

    /// The API server answered: whoever waits because it could not be reached need not any longer.
    fn reached(&mut self) {
        if std::mem::take(&mut self.cut_off) {
            self.back.notify_waiters();
        }
    }

    fn works(&mut self) {
        self.backoff.reset();
        if self.pulse.works() {
            info!(kind = self.kind.name.as_str(), namespace = self.namespace, "watched again");
        }
    }

    fn failed(&self, failure: &Failure) {
        let (kind, namespace) = (self.kind.name.as_str(), self.namespace.as_deref());
        if failure.is_expired() {
            return debug!(kind, namespace, "listed again: {failure}");
        }
        let text = failure.to_string();
        let away = failure.is_outage();
        if self.pulse.fails(text.clone(), failure.is_answer(), away) && !away {
            warn!(
                kind,
                namespace,
                category = failure.category(),
                "cannot be watched; what was seen of it stays: {text}"
            );
        }
    }
}
