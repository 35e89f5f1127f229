//! Resources from a Kubernetes API server, followed by watches.
//!
//! - kube-runtime's watcher lists and watches each kind, and each namespace where namespaces are named
//!   (`stream`). A Role cannot read cluster-wide objects, so with named namespaces cluster-wide kinds and
//!   Namespaces are not watched.
//! - Each watch fails, waits and retries by itself: a kind that is forbidden or not installed delays no
//!   other. An error never means that an object was deleted; only a watch event or a complete list does.
//! - An object that cannot be read becomes [`Change::Unreadable`]; its last readable version stays.
//! - Of Secrets and ConfigMaps only metadata is watched. Referenced ones are fetched, and
//!   fetched again when their metadata shows another version.
//! - Metadata that Centrex does not use is dropped: annotations, managed fields, owners, and labels except
//!   those of Namespaces.

mod batcher;
mod failure;
mod fetch;
mod get;
mod kinds;
mod raw_object;
mod read;
mod secret_fetch_queue;
mod stream;
mod stream_cache;
#[cfg(test)]
mod tests;
mod watch_health;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

pub use get::get;
pub use watch_health::{WatchStatus, Watches};

use super::Change;
use batcher::Batcher;
use fetch::Fetcher;
use kinds::KINDS;
use stream::Stream;
use watch_health::WatchHealth;

/// Events that streams have sent and the batcher has not received yet, at most.
const MAX_QUEUED_EVENTS: usize = 256;

/// Options of a cluster source.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Access to the API server. Use a client that does not retry by itself (`default_retry` off): this
    /// source retries everything, and reports errors at once.
    pub client: kube::Client,
    /// Namespaces to follow; the whole cluster when empty.
    pub namespaces: Vec<String>,
}

/// A batch of changes.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Objects that were created, changed or deleted, in the order in which the watches saw them. Objects
    /// and the Secrets they refer to are in one update when the Secrets arrive in a fraction of a second.
    pub changes: Vec<Change>,
    /// Whether every watch has listed once and every referenced Secret and ConfigMap was fetched or is
    /// missing. Only then is an object that was never seen known to be missing. Stays true.
    pub complete: bool,
}

/// Starts all watches. They end when `stop` is cancelled or the receiver of `updates` is dropped.
pub fn start(options: ClusterOptions, updates: mpsc::Sender<Update>, stop: CancellationToken) -> Watches {
    let ClusterOptions { client, namespaces } = options;
    let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
    let scopes: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| match (namespaces.is_empty(), kind.namespaced) {
            (true, _) => vec![(kind, None)],
            (false, true) => namespaces.iter().map(|name| (kind, Some(name.clone()))).collect(),
            (false, false) => Vec::new(),
        })
        .collect();
    let server_is_back = Arc::new(Notify::new());
    let health: Vec<Arc<WatchHealth>> = scopes
        .iter()
        .map(|(kind, namespace)| {
            Arc::new(WatchHealth::new(kind.name, namespace.clone(), server_is_back.clone()))
        })
        .collect();
    let watches = Watches::new(health.clone());
    let (sender, events) = mpsc::channel(MAX_QUEUED_EVENTS);
    let stop = stop.child_token();
    let streams = scopes.len();
    for ((kind, namespace), health) in scopes.into_iter().zip(health) {
        let stream = Stream::new(client.clone(), kind, namespace, sender.clone(), health);
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(stream.run()).await });
    }
    let batcher = Batcher::new(Fetcher::new(client, server_is_back), streams, updates, watches.clone());
    tokio::spawn(async move {
        // When the batcher ends, the streams have no receiver: stop them too.
        let _streams = stop.clone().drop_guard();
        stop.run_until_cancelled(batcher.run(events)).await
    });
    watches
}
