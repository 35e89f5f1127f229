//! `centrex api`: serves phones' files, from a replica that follows Postgres. It has no state of its own: several run
//! beside each other.

mod health;
mod options;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

pub use options::{ApiArgs, ProvisionArgs, ProvisionError, SiteArgs, host, provision_url};

use crate::http::listener::{ListenError, Listener};
use crate::provision::server::{Metrics, Server};
use crate::replica::follow::Follower;
use crate::replica::tenants::Replica;
use crate::secrets::keyring::KeyringError;
use crate::store::{Reader, StoreError, StoreOptions};
use health::Health;

/// Connections to Postgres, whose `max_connections` many processes share.
const MAX_CONNECTIONS: u32 = 8;

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ApiError {
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error("--provision-listen or --provision-http-listen is required: there is nothing else to serve")]
    NothingToServe,
    #[error("SIGTERM and SIGINT cannot be handled: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// An option is wrong. Postgres that is unreachable is no error: it is retried, and logged.
pub async fn run(args: ApiArgs) -> Result<(), ApiError> {
    let stop = CancellationToken::new();
    crate::util::signals::end_on_signals(stop.clone()).map_err(ApiError::Signals)?;
    let options = StoreOptions { max_connections: MAX_CONNECTIONS, ..args.store.options::<ApiError>()? };
    let (served, listeners) = args.provision.open().await?.ok_or(ApiError::NothingToServe)?;
    let probes = Listener::bind_probes("--health-listen", args.health_listen).await?;
    // Before the first file: a phone's dial plan has numbers of its country.
    let _ = tokio::task::spawn_blocking(crate::numbers::load).await;
    let replica = Arc::new(Replica::default());
    let follower = Follower::new(replica.clone(), None);
    let progress = follower.progress();
    let metrics = Metrics::default();
    let mut registry = Registry::with_prefix("centrex");
    metrics.register(&mut registry);
    let health = Health::new(replica.clone(), progress.clone(), registry);
    let reader = Reader::lazy(&options);
    let (serving, following) = (TaskTracker::new(), TaskTracker::new());
    info!(listen = %probes.address(), "answering probes");
    following.spawn(probes.serve(health::router(health), stop.clone()));
    following.spawn(follower.run(reader.clone(), stop.clone()));
    Server::start(served, listeners, (replica, progress), reader, metrics, &serving, &stop);
    stop.cancelled().await;
    serving.close();
    serving.wait().await;
    following.close();
    following.wait().await;
    info!("ended");
    Ok(())
}
