//! Resources from a Kubernetes API server, followed by watches.
//!
//! - One watch a kind, and a namespace where namespaces are named. A Role cannot read what belongs
//!   to no namespace, so then cluster-wide kinds and Namespaces are not watched at all.
//! - Every watch fails, waits and starts again by itself: a kind that is forbidden or not installed
//!   delays no other. An error never means that something is gone; only the API server's word does,
//!   by an event or by a list that was read to its end.
//! - An object that cannot be read is told as [`Change::Unreadable`]; what was read of it before stays.
//! - Of Secrets and ConfigMaps only metadata is watched. Those that an object refers to are fetched,
//!   and fetched again when their metadata says that they are others now.
//! - What nothing in Centrex uses of an object's metadata is not kept: annotations, managed fields,
//!   owners, and labels except those of Namespaces.

mod batcher;
mod failure;
mod fetch;
mod get;
mod kinds;
mod read;
mod requests;
mod secret_fetch_queue;
mod stream;
mod stream_cache;
#[cfg(test)]
mod tests;
mod watch_health;

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

/// What streams have seen and nobody took up yet, at most.
const INBOX: usize = 256;

/// What a cluster source needs to know.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Access to the API server. A client that does not retry by itself (`default_retry` off) says
    /// what is wrong at once; this source retries everything.
    pub client: kube::Client,
    /// Namespaces to follow; the whole cluster when there are none.
    pub namespaces: Vec<String>,
}

/// What the watches saw.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// What came, changed or went, in the order it was seen. Objects and the Secrets they refer to
    /// come together wherever the Secrets can be had in a fraction of a second.
    pub changes: Vec<Change>,
    /// Whether every watch has listed once and every Secret and ConfigMap that is referred to was
    /// fetched or is not there: only then may what was not shown be taken for gone. Stays true.
    pub complete: bool,
}

/// Starts all watches. They end with `stop`, and when nobody takes updates any more.
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
    let pulses: Vec<Arc<WatchHealth>> = scopes
        .iter()
        .map(|(kind, namespace)| Arc::new(WatchHealth::new(kind.name, namespace.clone())))
        .collect();
    let watches = Watches::new(pulses.clone());
    let (seen, inbox) = mpsc::channel(INBOX);
    let stop = stop.child_token();
    let streams = scopes.len();
    let back = Arc::new(Notify::new());
    for ((kind, namespace), pulse) in scopes.into_iter().zip(pulses) {
        let stream = Stream::new(client.clone(), kind, namespace, seen.clone(), pulse, back.clone());
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(stream.run()).await });
    }
    let gatherer = Batcher::new(Fetcher::new(client, back), streams, updates, watches.clone());
    tokio::spawn(async move {
        // Streams end with it: they would see for nobody.
        let _streams = stop.clone().drop_guard();
        stop.run_until_cancelled(gatherer.run(inbox)).await
    });
    watches
}
