//! One kind in one scope: turns the events of a kube-runtime watcher into changes.
//!
//! The watcher lists in pages, watches, and watches again from the last version. Left to this file: an
//! object that did not change since the last list is not reported again, one that cannot be read is
//! reported as such, and how long to pause after an error. (`kube::runtime::reflector` would keep a second
//! copy of every object; its `StreamBackoff` cannot be cut short when the API server is back.)

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, watcher};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::failure::Failure;
use super::kinds::{WatchMode, WatchedKind};
use super::raw_object::RawObject;
use super::stream_cache::{RefDelta, StreamCache};
use super::watch_health::WatchHealth;
use super::{read, wire};
use crate::resources::Kind;
use crate::source::references::references;
use crate::source::{Object, ObjectKey, Unreadable};
use crate::util::backoff::{Backoff, jitter};

/// Pauses after a failure.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// After how long the API server ends a watch, at least and at most. The watcher gives a watch up that was
/// silent for 5 s longer; bookmarks come every minute.
const WATCH_TIME: (Duration, Duration) = (Duration::from_secs(115), Duration::from_secs(145));

/// What a stream has seen.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// An object is new or different.
    Object(Object, RefDelta),
    /// An object was deleted.
    Deleted(ObjectKey, RefDelta),
    /// An object exists and cannot be read.
    Unreadable(Unreadable),
    /// A Secret or ConfigMap exists at a version.
    MetadataSeen(ObjectKey, u64),
    /// A Secret or ConfigMap was deleted.
    MetadataDeleted(ObjectKey),
    /// A list begins.
    ListStarted(Kind, Option<String>),
    /// A list was read to its end; whether it is the stream's first.
    ListFinished(Kind, Option<String>, bool),
}

/// A kind in a scope.
pub(super) struct Stream {
    kind: &'static WatchedKind,
    namespace: Option<String>,
    client: kube::Client,
    cache: StreamCache,
    backoff: Backoff,
    health: Arc<WatchHealth>,
    out: Sender<StreamEvent>,
    listed: bool,
}

impl Stream {
    /// A stream that sends what it sees to `out`, and records in `health` how it is.
    pub fn new(
        client: kube::Client,
        kind: &'static WatchedKind,
        namespace: Option<String>,
        out: Sender<StreamEvent>,
        health: Arc<WatchHealth>,
    ) -> Self {
        let client = wire::observed(client, health.clone());
        let (cache, backoff) = (StreamCache::default(), BACKOFF);
        Self { kind, namespace, client, cache, backoff, health, out, listed: false }
    }

    /// Follows the kind for ever.
    pub async fn run(self) {
        match self.kind.metadata_only() {
            true => self.follow::<true>().await,
            false => self.follow::<false>().await,
        }
    }

    async fn follow<const METADATA_ONLY: bool>(mut self) {
        let resource = &self.kind.resource;
        let api: Api<RawObject<METADATA_ONLY>> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        // Each stream has a time of its own, so that not all watches begin again together.
        let seconds = u32::try_from(jitter(WATCH_TIME.0, WATCH_TIME.1).as_secs()).unwrap_or_default();
        loop {
            let mut events = pin!(watcher(api.clone(), watcher::Config::default().timeout(seconds)));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => self.event(event).await,
                    Err(error) => {
                        let breaks_off = matches!(error, watcher::Error::WatchFailed(_));
                        let failure = Failure::from(error);
                        if breaks_off && failure.is_outage() {
                            // The watch worked, otherwise `wire` had reported an error. The next watch
                            // reports the cause.
                            debug!(
                                kind = self.kind.name.as_str(),
                                namespace = self.namespace,
                                "watch ended: {failure}"
                            );
                            continue;
                        }
                        self.pause(&failure).await;
                        if failure.relists() {
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn event<const METADATA_ONLY: bool>(&mut self, event: watcher::Event<RawObject<METADATA_ONLY>>) {
        match event {
            watcher::Event::Init => {
                self.cache.list_started();
                self.send(StreamEvent::ListStarted(self.kind.name, self.namespace.clone())).await;
            }
            watcher::Event::InitApply(object) => {
                self.health.reached();
                self.exists(&object).await;
            }
            watcher::Event::InitDone => self.list_finished().await,
            watcher::Event::Apply(object) => {
                self.health.works();
                self.exists(&object).await;
            }
            watcher::Event::Delete(object) => {
                self.health.works();
                self.deleted(&object).await;
            }
        }
    }

    async fn list_finished(&mut self) {
        self.health.reached();
        for (path, delta) in self.cache.list_finished() {
            self.send(StreamEvent::Deleted(self.key(&path), delta)).await;
        }
        let first = !std::mem::replace(&mut self.listed, true);
        self.send(StreamEvent::ListFinished(self.kind.name, self.namespace.clone(), first)).await;
        self.health.listed();
    }

    async fn exists<const METADATA_ONLY: bool>(&mut self, raw: &RawObject<METADATA_ONLY>) {
        let version = raw.version();
        let key = || raw.key(self.kind.name);
        let read = match self.kind.mode {
            WatchMode::FetchOnReference(_) => {
                return self.send(StreamEvent::MetadataSeen(key(), version)).await;
            }
            WatchMode::Whole(read) | WatchMode::Metadata(read) => read,
        };
        if self.cache.is_current(&raw.path(), version) {
            return;
        }
        let event = match read::object(self.kind, read, raw.json()) {
            Ok(object) => {
                let delta = self.cache.insert(raw.path(), version, references(&object));
                StreamEvent::Object(object, delta)
            }
            Err(message) => {
                self.cache.insert_unreadable(raw.path(), version);
                StreamEvent::Unreadable(Unreadable { key: key(), tenant: read::tenant(raw.json()), message })
            }
        };
        self.send(event).await;
    }

    async fn deleted<const METADATA_ONLY: bool>(&mut self, raw: &RawObject<METADATA_ONLY>) {
        let key = raw.key(self.kind.name);
        if let WatchMode::FetchOnReference(_) = self.kind.mode {
            self.send(StreamEvent::MetadataDeleted(key)).await;
        } else if let Some(delta) = self.cache.remove(&raw.path()) {
            self.send(StreamEvent::Deleted(key, delta)).await;
        }
    }

    fn key(&self, path: &str) -> ObjectKey {
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, path),
        };
        ObjectKey { kind: self.kind.name, namespace, name: name.to_owned() }
    }

    async fn send(&self, event: StreamEvent) {
        let sent = match self.out.try_send(event) {
            Err(TrySendError::Full(event)) => {
                self.health.backpressured(true);
                let sent = self.out.send(event).await.is_ok();
                self.health.backpressured(false);
                sent
            }
            sent => sent.is_ok(),
        };
        if !sent {
            // The receiver is gone, and all streams are about to be stopped.
            std::future::pending::<()>().await;
        }
    }

    /// Records a failure, and waits before the next try.
    async fn pause(&mut self, failure: &Failure) {
        if self.health.worked_since_last_call() {
            self.backoff.reset();
        }
        self.failed(failure);
        let pause = sleep(self.backoff.pause());
        tokio::select! {
            () = pause => {}
            () = self.health.server_is_back(), if failure.is_outage() => {}
        }
    }

    fn failed(&self, failure: &Failure) {
        let (kind, namespace) = (self.kind.name.as_str(), self.namespace.as_deref());
        if failure.is_expired() {
            return debug!(kind, namespace, "listed again: {failure}");
        }
        let text = failure.to_string();
        let away = failure.is_outage();
        if self.health.fails(text.clone(), failure.is_answer(), away) && !away {
            warn!(
                kind,
                namespace,
                category = failure.category(),
                "cannot be watched; what was seen of it stays: {text}"
            );
        }
    }
}
