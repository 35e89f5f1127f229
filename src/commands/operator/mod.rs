//! `centrex operator`.

mod options;

pub use options::OperatorArgs;

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::http::listener::{ListenError, Listener};
use crate::operator::api_reachability::ApiServer;
use crate::operator::events::Events;
use crate::operator::health::{self, Health};
use crate::operator::leader::Operator;
use crate::operator::lease::{self, LeaseOptions};
use crate::operator::metrics::Metrics;
use crate::operator::resource_sink::KubeSink;
use crate::operator::status_queue::Statuses;
use crate::operator::unreadable::UnreadableObjects;
use crate::operator::webhook;
use crate::reconcile::{Progress, Reconciler};
use crate::secrets::KeyringError;
use crate::source::Change;
use crate::source::cluster::{self, ClusterOptions};
use crate::source::folder::{Folder, FolderError};
use crate::store::{Memory, StoreError};

/// Why the operator does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum OperatorError {
    #[error("the cluster's address and credentials (KUBECONFIG, or the pod's own): {0}")]
    Kubeconfig(#[source] Box<kube::config::InferConfigError>),
    #[error("the API server: {0}")]
    Client(#[source] Box<kube::Error>),
    #[error("--platform-manifests: {0}")]
    Folder(#[from] FolderError),
    #[error("--platform-manifests {0}: {1}")]
    Manifests(PathBuf, String),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Webhook(#[from] webhook::CertificateError),
    #[error("signal handlers cannot be installed: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When an option is wrong, an address is in use, or a file or the kubeconfig is missing.
pub async fn run(args: OperatorArgs) -> Result<(), OperatorError> {
    let stop = CancellationToken::new();
    crate::util::signals::end_on_signals(stop.clone()).map_err(OperatorError::Signals)?;
    tokio::task::spawn_blocking(crate::numbers::load);
    let options = args.store.options::<OperatorError>()?;
    let platform = platform_manifests(&args)?;
    let listener = Listener::bind_probes("--listen", args.listen).await?;
    let address = listener.address();
    let config = kube::Config::infer().await.map_err(|cause| OperatorError::Kubeconfig(Box::new(cause)))?;
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let api_server = ApiServer::at(&config.cluster_url);
    let connect = |config| Client::try_from(config).map_err(|cause| OperatorError::Client(Box::new(cause)));
    // Watches have a backoff of their own, and report the first error at once.
    let mut no_retry_config = config.clone();
    no_retry_config.default_retry = false;
    let (client, watch_client) = (connect(config)?, connect(no_retry_config)?);
    let identity = args.identity.clone().unwrap_or_else(crate::util::hostname::name);

    let (metrics, tasks) = (Metrics::default(), TaskTracker::new());
    let lease_namespace = namespace.clone();
    let lease = LeaseOptions {
        namespace,
        name: args.lease_name.clone(),
        identity: identity.clone(),
        duration: args.lease_seconds,
    };
    // The Lease is released only when all writing has ended.
    let stop_election = CancellationToken::new();
    let election = lease::elect(client.clone(), lease, stop_election.clone());
    let (updates, inbox) = mpsc::channel(16);
    let cluster_options = ClusterOptions { client: watch_client, namespaces: args.namespaces.clone() };
    let watches = cluster::start(cluster_options, updates, stop.clone());
    let health = Arc::new(Health::new(metrics.clone(), watches, election.life.clone(), args.lease_seconds));
    tasks.spawn(listener.serve(health::router(health.clone()), stop.clone()));
    info!(listen = %address, %identity, "the operator watches");

    let statuses = Statuses::start(&client, &metrics, &tasks, &stop);
    let cluster_wide = args.namespaces.is_empty();
    let regarding = lease_reference(&lease_namespace, &args.lease_name);
    let events = Events::start(client.clone(), identity.clone());
    let unreadable = UnreadableObjects::new(events.clone());
    let sink = KubeSink::new(client.clone(), events, statuses, cluster_wide, regarding);
    let (progress, _) = watch::channel(Progress::default());
    let mut reconciler = Reconciler::new(progress, Some(Arc::new(sink)), args.media_dir.clone());
    reconciler.set_metrics(metrics.reconcile.clone());
    let mut operator = Operator {
        reconciler,
        options,
        memory: Memory::default(),
        client,
        identity,
        lease: format!("{lease_namespace}/{}", args.lease_name),
        cluster_wide,
        metrics,
        health,
        unlisted: platform,
        unreadable,
        session: None,
        api_server,
    };
    if let Some(options) = webhook_options(&args, lease_namespace)? {
        let known = operator.reconciler.compile_state();
        webhook::start(options, operator.client.clone(), known, &tasks, stop.clone()).await?;
    }
    operator.run(inbox, election.leadership.clone(), &stop).await;
    stop.cancel();
    stop_election.cancel();
    election.ended().await;
    tasks.close();
    tasks.wait().await;
    info!("ended");
    Ok(())
}

/// The reference by which an event names the Lease.
fn lease_reference(namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("coordination.k8s.io/v1".to_owned()),
        kind: Some("Lease".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// The options of the webhook; `None` without `--webhook-listen`.
fn webhook_options(
    args: &OperatorArgs,
    namespace: String,
) -> Result<Option<webhook::Options>, webhook::CertificateError> {
    let Some(listen) = args.webhook_listen else { return Ok(None) };
    let source = match (&args.webhook_cert_dir, &args.webhook_service, &args.webhook_configuration) {
        (Some(directory), _, _) => webhook::Source::Directory(directory.clone()),
        (None, Some(service), Some(configuration)) => webhook::Source::SelfMade {
            namespace,
            service: service.clone(),
            configuration: configuration.clone(),
        },
        _ => return Err(webhook::CertificateError::Incomplete),
    };
    Ok(Some(webhook::Options { listen, source }))
}

/// The cluster-wide resources of `--platform-manifests`.
fn platform_manifests(args: &OperatorArgs) -> Result<Vec<Change>, OperatorError> {
    let Some(folder) = &args.platform_manifests else { return Ok(Vec::new()) };
    let reading = Folder::read_once(std::slice::from_ref(folder))?;
    if let Some(problem) = reading.problems.first() {
        return Err(OperatorError::Manifests(folder.clone(), problem.to_string()));
    }
    for change in &reading.changes {
        if let Change::Upsert(object) = change
            && object.metadata().namespace.is_some()
        {
            let message =
                format!("{} is not cluster-wide; only kinds without a namespace belong there", object.key());
            return Err(OperatorError::Manifests(folder.clone(), message));
        }
    }
    Ok(reading.changes)
}
