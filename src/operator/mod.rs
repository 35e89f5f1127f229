//! Centrex on a cluster: watches, compile, store, and the truth in statuses. Every replica watches;
//! the one that leads writes.

mod api;
mod api_server;
mod events;
mod health;
mod metrics;
mod options;
mod outside;
mod secrets;
mod statuses;
mod switches;
mod unreadable;
mod webhook;

pub use api::FINALIZER;
pub use options::OperatorArgs;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::lease::{self, Leadership, LeaseOptions};
use crate::reconcile::{self, Progress, Reconciler};
use crate::source::Change;
use crate::source::cluster::{self, ClusterOptions, Update};
use crate::source::folder::{Folder, FolderError};
use crate::status::acks::Ack;
use crate::store::acks::{Patience, follow_acks};
use crate::store::{Candidate, Elected, KeyringError, Memory, Store, StoreError, StoreOptions};
use api_server::ApiServer;
use events::Events;
use health::Health;
use metrics::Metrics;
use outside::Cluster;
use statuses::Statuses;
use switches::Switches;
use unreadable::UnreadableObjects;

/// First and longest pause before Postgres is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// How often the loop says how it is.
const PULSE: Duration = Duration::from_secs(1);

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
    #[error("--listen {listen}: {source}")]
    Listen { listen: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Webhook(#[from] webhook::CertificateError),
    #[error("the signals that end it cannot be waited for: {0}")]
    Signals(std::io::Error),
}

/// Runs until it is told to end by SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with an option, or what is missing.
pub async fn run(args: OperatorArgs) -> Result<(), OperatorError> {
    let stop = CancellationToken::new();
    crate::signals::end_on_signals(stop.clone()).map_err(OperatorError::Signals)?;
    let options = args.store.options::<OperatorError>()?;
    let platform = platform_manifests(&args)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|source| OperatorError::Listen { listen: args.listen, source })?;
    let address = listener.local_addr().unwrap_or(args.listen);
    let config = kube::Config::infer().await.map_err(|cause| OperatorError::Kubeconfig(Box::new(cause)))?;
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let api_server = ApiServer::at(&config.cluster_url);
    let connect = |config| Client::try_from(config).map_err(|cause| OperatorError::Client(Box::new(cause)));
    // Watches retry by themselves, and say at once what is wrong.
    let mut impatient = config.clone();
    impatient.default_retry = false;
    let (client, watching) = (connect(config)?, connect(impatient)?);
    let identity = args.identity.clone().unwrap_or_else(crate::host::name);

    let (metrics, tasks) = (Metrics::default(), TaskTracker::new());
    let lease_namespace = namespace.clone();
    let lease = LeaseOptions {
        namespace,
        name: args.lease_name.clone(),
        identity: identity.clone(),
        duration: args.lease_seconds,
    };
    // The lease is given back when all writing has ended, not before.
    let stop_election = CancellationToken::new();
    let election = lease::elect(client.clone(), lease, stop_election.clone());
    let (updates, inbox) = mpsc::channel(16);
    let watching = ClusterOptions { client: watching, namespaces: args.namespaces.clone() };
    let watches = cluster::start(watching, updates, stop.clone());
    let health = Arc::new(Health::new(metrics.clone(), watches, election.life.clone(), args.lease_seconds));
    tasks.spawn(health::serve(listener, health.clone(), stop.clone()));
    info!(listen = %address, %identity, "the operator watches");

    let statuses = Statuses::start(&client, &metrics, &tasks, &stop);
    let cluster_wide = args.namespaces.is_empty();
    let regarding = lease_reference(&lease_namespace, &args.lease_name);
    let events = Events::start(client.clone(), identity.clone());
    let unreadable = UnreadableObjects::new(events.clone());
    let outside = Cluster::new(client.clone(), events, statuses, cluster_wide, regarding);
    let (progress, _) = watch::channel(Progress::default());
    let mut reconciler = Reconciler::new(progress, Some(Arc::new(outside)), args.media_dir.clone());
    reconciler.count(metrics.reconcile.clone());
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
        heard: platform,
        unreadable,
        term: None,
        api_server,
    };
    if let Some(options) = webhook_options(&args, lease_namespace)? {
        let known = operator.reconciler.known();
        webhook::start(options, operator.client.clone(), known, &tasks, stop.clone()).await?;
    }
    let outcome = operator.run(inbox, election.leadership.clone(), &stop).await;
    operator.follow();
    stop.cancel();
    stop_election.cancel();
    election.ended().await;
    tasks.close();
    tasks.wait().await;
    info!("ended");
    outcome
}

/// The loop of a replica.
struct Operator {
    reconciler: Reconciler,
    options: StoreOptions,
    /// What this process wrote, in all its terms.
    memory: Memory,
    client: Client,
    identity: String,
    /// Namespace and name of the Lease.
    lease: String,
    cluster_wide: bool,
    metrics: Metrics,
    health: Arc<Health>,
    /// What was heard before everything was listed.
    heard: Vec<Change>,
    unreadable: UnreadableObjects,
    /// A time of leadership, while it lasts.
    term: Option<Tenure>,
    api_server: ApiServer,
}

/// A time of leadership.
struct Tenure {
    /// As it was elected.
    term: lease::Term,
    /// Cancelled when Postgres no longer lets us write.
    written: Option<CancellationToken>,
    /// Ends what belongs to it.
    over: CancellationToken,
    /// The store, once it is there.
    store: oneshot::Receiver<Store>,
    /// Why it is not there yet: the category of the last error.
    failing: watch::Receiver<Option<&'static str>>,
    acks: mpsc::Receiver<Ack>,
    /// None where a Role does not reach Switch objects.
    switches: Option<Switches>,
    leading: bool,
    /// Since when the store says that a later leader has written.
    fenced: Arc<OnceLock<Instant>>,
}

/// What woke the loop.
enum Wake {
    Stop,
    Leadership(Leadership),
    Update(Option<Update>),
    Store(Store),
    StoreFails(&'static str),
    Ack(Ack),
    Lost,
    Worked,
    Pulse,
}

impl Operator {
    async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Update>,
        mut leadership: watch::Receiver<Leadership>,
        stop: &CancellationToken,
    ) -> Result<(), OperatorError> {
        let mut pulse = tokio::time::interval(PULSE);
        leadership.mark_changed();
        loop {
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                Ok(()) = leadership.changed() => Wake::Leadership(leadership.borrow_and_update().clone()),
                wake = tenure(&mut self.term) => wake,
                update = inbox.recv() => Wake::Update(update),
                () = self.reconciler.work() => Wake::Worked,
                _ = pulse.tick() => Wake::Pulse,
            };
            self.health.turn();
            match wake {
                Wake::Stop => return Ok(()),
                Wake::Leadership(Leadership::Leading(term)) => self.lead(term),
                Wake::Leadership(Leadership::Following { leader }) => {
                    info!(leader = leader.as_deref().unwrap_or("nobody"), "following");
                    self.follow();
                }
                Wake::Lost => self.lose(),
                Wake::Store(store) => self.begin(store),
                Wake::StoreFails(category) => self.reconciler.store_fails(category),
                Wake::Ack(ack) => self.acknowledge(ack),
                Wake::Update(None) => return Ok(()),
                Wake::Update(Some(update)) => self.take_in(update, &mut inbox),
                Wake::Worked => {}
                Wake::Pulse => self.tell(),
            }
        }
    }

    /// Takes in what the watches saw. Until everything was listed it is only gathered.
    fn take_in(&mut self, update: Update, inbox: &mut mpsc::Receiver<Update>) {
        let Update { mut changes, mut complete } = update;
        while let Ok(next) = inbox.try_recv() {
            complete = next.complete;
            changes.extend(next.changes);
        }
        let leads = self.term.as_ref().is_some_and(|term| term.leading);
        self.unreadable.take_in(&changes, leads);
        self.heard.extend(changes);
        if complete {
            self.reconciler.take_in(std::mem::take(&mut self.heard), true);
        }
    }

    fn acknowledge(&mut self, ack: Ack) {
        if let Some(switches) = self.term.as_ref().and_then(|term| term.switches.as_ref()) {
            switches.take(&ack);
        }
        self.reconciler.acknowledge(ack);
    }

    /// Begins to write, as soon as Postgres can be reached.
    fn lead(&mut self, term: lease::Term) {
        self.follow();
        info!(transition = term.transition, "leading");
        let (own, over) = (term.clone(), term.lost.child_token());
        let (send, store) = oneshot::channel();
        let (fails, failing) = watch::channel(None);
        let (send_acks, acks) = mpsc::channel(64);
        let (options, token, metrics) = (self.options.clone(), over.clone(), self.metrics.clone());
        let fenced = Arc::<OnceLock<Instant>>::default();
        let since = fenced.clone();
        let elected = Elected { lease: term.lease, transition: term.transition };
        let candidate = Candidate { holder: self.identity.clone(), elected: Some(elected) };
        let memory = self.memory.clone();
        tokio::spawn(async move {
            let work = async {
                let store = connect(&options, &candidate, &memory, &metrics.reconcile, &since, &fails).await;
                let reader = store.reader().clone();
                let _ = send.send(store);
                follow_acks(reader, Patience::default(), send_acks, token.clone()).await;
            };
            token.run_until_cancelled(work).await;
        });
        let switches = self.cluster_wide.then(|| {
            let (switches, token) = (Switches::default(), over.clone());
            let keep = switches.clone().keep(self.client.clone(), self.identity.clone());
            tokio::spawn(async move { token.run_until_cancelled(keep).await });
            switches
        });
        self.reconciler.lead_without_store();
        let (written, leading) = (None, false);
        self.term =
            Some(Tenure { term: own, written, over, store, failing, acks, switches, leading, fenced });
    }

    /// Writes to a store from now on.
    fn begin(&mut self, store: Store) {
        if let Some(term) = &mut self.term {
            term.written = Some(store.lost());
        }
        self.reconciler.lead(store);
        self.unreadable.tell_all();
    }

    /// The right to write was lost. Where only Postgres took it, the Lease is still ours, and it is
    /// asked for again.
    fn lose(&mut self) {
        let again = self.term.as_ref().map(|term| term.term.clone()).filter(|term| !term.lost.is_cancelled());
        match again {
            Some(term) => self.lead(term),
            None => self.follow(),
        }
    }

    /// Ends all writing at once.
    fn follow(&mut self) {
        if let Some(term) = self.term.take() {
            term.over.cancel();
        }
        self.reconciler.follow();
    }

    fn tell(&mut self) {
        self.api_server.look(&self.health.watches);
        let leading = self.term.as_ref().is_some_and(|term| term.leading);
        self.metrics.set_loop(leading, self.reconciler.pending(), self.reconciler.reasons());
        let waits = self.term.as_ref().filter(|term| !term.leading);
        let since = waits.and_then(|term| term.fenced.get());
        let fenced = since.is_some_and(|since| since.elapsed() > self.health.lease);
        if !self.health.fence(fenced) && fenced {
            error!(
                lease = %self.lease,
                "this replica leads, and Postgres says that a later one has written: the Lease was set back, as \
                 by a backup of the cluster; nothing is written until it is deleted"
            );
        }
    }
}

/// What a time of leadership brings; nothing while there is none.
async fn tenure(term: &mut Option<Tenure>) -> Wake {
    let Some(term) = term else { return std::future::pending().await };
    tokio::select! {
        biased;
        () = term.over.cancelled() => Wake::Lost,
        () = lost(&term.written) => Wake::Lost,
        store = &mut term.store, if !term.leading => match store {
            Ok(store) => {
                term.leading = true;
                Wake::Store(store)
            }
            Err(_) => Wake::Lost,
        },
        Ok(()) = term.failing.changed(), if !term.leading => match *term.failing.borrow_and_update() {
            Some(category) => Wake::StoreFails(category),
            None => Wake::Pulse,
        },
        Some(ack) = term.acks.recv(), if term.leading => Wake::Ack(ack),
        else => std::future::pending().await,
    }
}

async fn lost(written: &Option<CancellationToken>) {
    match written {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Connects for writing, and tries for ever: whatever Postgres says may be put right without us, and until
/// then the statuses say that it fails. When another one was elected meanwhile, the Lease says so in a
/// moment, and ends this; `fenced` says since when, if it does not.
async fn connect(
    options: &StoreOptions,
    candidate: &Candidate,
    memory: &Memory,
    metrics: &reconcile::Metrics,
    fenced: &OnceLock<Instant>,
    fails: &watch::Sender<Option<&'static str>>,
) -> Store {
    let mut wait = FIRST_RETRY;
    loop {
        let cause = match Store::lead_again(options, candidate, memory).await {
            Ok(store) => return store,
            Err(cause) => cause,
        };
        let category = cause.category();
        if matches!(cause, StoreError::Fenced(_)) {
            fenced.get_or_init(Instant::now);
        }
        metrics.failed(category);
        warn!(category, %cause, "nothing can be written to Postgres; trying again");
        fails.send_if_modified(|told| told.replace(category) != Some(category));
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_RETRY);
    }
}

/// What names the Lease in an event.
fn lease_reference(namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("coordination.k8s.io/v1".to_owned()),
        kind: Some("Lease".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// The webhook, where it is wanted.
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

/// Cluster-wide kinds from a folder.
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
