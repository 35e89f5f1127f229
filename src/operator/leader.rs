//! The loop of one replica of the operator: it follows the watches, and writes while it leads.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::api_reachability::ApiServer;
use super::health::Health;
use super::lease::{self, Leadership};
use super::metrics::Metrics;
use super::switches::Switches;
use super::unreadable::UnreadableObjects;
use super::{device_alerts, emergency_calls};
use crate::plan::report::Ack;
use crate::reconcile::{self, Reconciler};
use crate::source::Change;
use crate::source::cluster::Update;
use crate::store::reports::{HeartbeatLimits, follow_acks};
use crate::store::{Elected, Memory, Store, StoreError, StoreOptions, WriterIdentity};
use crate::util::backoff::Backoff;

/// Pauses between connections to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// Interval at which the loop publishes its progress.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// One replica of the operator.
pub(crate) struct Operator {
    pub reconciler: Reconciler,
    pub options: StoreOptions,
    /// The revisions that this process wrote, in all its terms.
    pub memory: Memory,
    pub client: Client,
    pub identity: String,
    /// Namespace and name of the Lease.
    pub lease: String,
    pub cluster_wide: bool,
    pub metrics: Metrics,
    pub health: Arc<Health>,
    /// Changes received before the first list of every kind was complete.
    pub unlisted: Vec<Change>,
    pub unreadable: UnreadableObjects,
    /// `Some` while this replica leads.
    pub session: Option<LeaderSession>,
    pub api_server: ApiServer,
}

/// One term of leadership, and the tasks that work for it.
pub(crate) struct LeaderSession {
    term: lease::Term,
    /// Ends the tasks of the session; cancelled with the Lease too.
    ended: CancellationToken,
    /// The store, sent once Postgres lets this replica write.
    store: oneshot::Receiver<Store>,
    /// True once the store was received.
    has_store: bool,
    /// Cancelled when Postgres lets another process write; `None` before there is a store.
    store_lost: Option<CancellationToken>,
    /// Category of the last error of connecting to the store.
    store_error: watch::Receiver<Option<&'static str>>,
    /// When Postgres first refused this leader, because a later one has written.
    fenced_since: Arc<OnceLock<Instant>>,
    acks: mpsc::Receiver<Ack>,
    /// `None` with `--namespaces`: a Role reaches no Switch objects.
    switches: Option<Switches>,
}

/// What the loop handles next.
enum LoopEvent {
    Stop,
    Leadership(Leadership),
    /// `None` when the watches have ended.
    Update(Option<Update>),
    StoreConnected(Store),
    /// With the category of the error.
    StoreFailed(&'static str),
    Ack(Ack),
    /// The Lease or the right to write to Postgres was lost.
    Lost,
    /// The reconciler has worked on a job.
    Worked,
    Tick,
}

impl Operator {
    /// Runs until `stop` is cancelled or the watches end.
    pub async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Update>,
        mut leadership: watch::Receiver<Leadership>,
        stop: &CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(TICK_INTERVAL);
        leadership.mark_changed();
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => LoopEvent::Stop,
                Ok(()) = leadership.changed() => LoopEvent::Leadership(leadership.borrow_and_update().clone()),
                event = session_event(&mut self.session) => event,
                update = inbox.recv() => LoopEvent::Update(update),
                () = self.reconciler.work() => LoopEvent::Worked,
                _ = ticks.tick() => LoopEvent::Tick,
            };
            self.health.turn();
            match event {
                LoopEvent::Stop => break,
                LoopEvent::Leadership(Leadership::Leading(term)) => self.lead(term),
                LoopEvent::Leadership(Leadership::Following { leader }) => {
                    info!(leader = leader.as_deref().unwrap_or("none"), "following");
                    self.step_down();
                }
                LoopEvent::Lost => self.restart_or_step_down(),
                LoopEvent::StoreConnected(store) => self.use_store(store),
                LoopEvent::StoreFailed(category) => self.reconciler.store_failed(category),
                LoopEvent::Ack(ack) => self.acknowledge(ack),
                LoopEvent::Update(None) => break,
                LoopEvent::Update(Some(update)) => self.apply_changes(update, &mut inbox),
                LoopEvent::Worked => {}
                LoopEvent::Tick => self.publish_progress(),
            }
        }
        self.step_down();
    }

    /// Applies changes of the watches. Until the first list of every kind is complete, changes are collected.
    fn apply_changes(&mut self, update: Update, inbox: &mut mpsc::Receiver<Update>) {
        let Update { mut changes, mut complete } = update;
        while let Ok(next) = inbox.try_recv() {
            complete = next.complete;
            changes.extend(next.changes);
        }
        let writes = self.session.as_ref().is_some_and(|session| session.has_store);
        self.unreadable.apply_changes(&changes, writes);
        self.unlisted.extend(changes);
        if complete {
            self.reconciler.apply_changes(std::mem::take(&mut self.unlisted), true);
        }
    }

    fn acknowledge(&mut self, ack: Ack) {
        if let Some(switches) = self.session.as_ref().and_then(|session| session.switches.as_ref()) {
            switches.record(&ack);
        }
        self.reconciler.acknowledge(ack);
    }

    /// Starts a session: connects to Postgres and follows the switches' reports.
    fn lead(&mut self, term: lease::Term) {
        self.step_down();
        info!(transition = term.transition, "leading");
        let ended = term.lost.child_token();
        let (send_store, store) = oneshot::channel();
        let (send_error, store_error) = watch::channel(None);
        let (send_acks, acks) = mpsc::channel(64);
        let (options, token, metrics) = (self.options.clone(), ended.clone(), self.metrics.clone());
        let fenced_since = Arc::<OnceLock<Instant>>::default();
        let fenced = fenced_since.clone();
        let elected = Elected { lease: term.lease.clone(), transition: term.transition };
        let candidate = WriterIdentity { holder: self.identity.clone(), elected: Some(elected) };
        let memory = self.memory.clone();
        let (client, identity) = (self.client.clone(), self.identity.clone());
        tokio::spawn(async move {
            let work = async {
                let store =
                    connect(&options, &candidate, &memory, &metrics.reconcile, &fenced, &send_error).await;
                let reader = store.reader().clone();
                let _ = send_store.send(store);
                let devices = device_alerts::announce(reader.clone(), client.clone(), identity.clone());
                let announce = emergency_calls::announce(reader.clone(), client, identity);
                let follow = follow_acks(reader, HeartbeatLimits::default(), send_acks, token.clone());
                tokio::join!(follow, announce, devices);
            };
            token.run_until_cancelled(work).await;
        });
        let switches = self.cluster_wide.then(|| {
            let (switches, token) = (Switches::default(), ended.clone());
            let writer = switches.clone().run(self.client.clone(), self.identity.clone());
            tokio::spawn(async move { token.run_until_cancelled(writer).await });
            switches
        });
        self.reconciler.lead_without_store();
        self.session = Some(LeaderSession {
            term,
            ended,
            store,
            has_store: false,
            store_lost: None,
            store_error,
            fenced_since,
            acks,
            switches,
        });
    }

    /// Writes to a store from now on.
    fn use_store(&mut self, store: Store) {
        if let Some(session) = &mut self.session {
            session.store_lost = Some(store.lost());
        }
        self.reconciler.lead(store);
        self.unreadable.publish_all();
    }

    /// Handles a lost session. While the Lease is still held, only Postgres has taken the right to write:
    /// it is requested again, for the same term.
    fn restart_or_step_down(&mut self) {
        let term = self.session.as_ref().map(|session| session.term.clone());
        match term.filter(|term| !term.lost.is_cancelled()) {
            Some(term) => self.lead(term),
            None => self.step_down(),
        }
    }

    /// Ends the session, and all writing at once.
    fn step_down(&mut self) {
        if let Some(session) = self.session.take() {
            session.ended.cancel();
        }
        self.reconciler.step_down();
    }

    fn publish_progress(&mut self) {
        self.api_server.log_outage(&self.health.watches);
        let writes = self.session.as_ref().is_some_and(|session| session.has_store);
        self.metrics.set_loop(writes, self.reconciler.pending(), self.reconciler.reasons());
        let connecting = self.session.as_ref().filter(|session| !session.has_store);
        let fenced_since = connecting.and_then(|session| session.fenced_since.get());
        let fenced = fenced_since.is_some_and(|since| since.elapsed() > self.health.lease);
        if !self.health.fence(fenced) && fenced {
            error!(
                lease = %self.lease,
                "this replica leads, and Postgres says that a later one has written: the Lease was set back, as \
                 by a backup of the cluster; nothing is written until it is deleted"
            );
        }
    }
}

/// The next event of a session; never, without a session.
async fn session_event(session: &mut Option<LeaderSession>) -> LoopEvent {
    let Some(session) = session else { return std::future::pending().await };
    let (has_store, store_error) = (session.has_store, &mut session.store_error);
    tokio::select! {
        biased;
        () = session.ended.cancelled() => LoopEvent::Lost,
        () = lost(&session.store_lost) => LoopEvent::Lost,
        store = &mut session.store, if !has_store => match store {
            Ok(store) => {
                session.has_store = true; // a receiver must not be polled again
                LoopEvent::StoreConnected(store)
            }
            Err(_) => LoopEvent::Lost,
        },
        Ok(()) = store_error.changed(), if !has_store => match *store_error.borrow_and_update() {
            Some(category) => LoopEvent::StoreFailed(category),
            None => LoopEvent::Tick,
        },
        Some(ack) = session.acks.recv(), if has_store => LoopEvent::Ack(ack),
        else => std::future::pending().await,
    }
}

/// Returns when the right to write to the store is lost; never, before there is a store.
async fn lost(store_lost: &Option<CancellationToken>) {
    match store_lost {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Connects for writing, and retries after any error: an administrator can correct it without a restart,
/// and until then the statuses say that the store fails. Normally a fenced leader has lost the Lease too,
/// which ends the session in a moment; `fenced` keeps the time of the first refusal for the case that it
/// has not.
async fn connect(
    options: &StoreOptions,
    candidate: &WriterIdentity,
    memory: &Memory,
    metrics: &reconcile::Metrics,
    fenced: &OnceLock<Instant>,
    error: &watch::Sender<Option<&'static str>>,
) -> Store {
    let mut backoff = BACKOFF;
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
        error.send_if_modified(|previous| previous.replace(category) != Some(category));
        tokio::time::sleep(backoff.pause()).await;
    }
}
