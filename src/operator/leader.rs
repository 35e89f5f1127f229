//! The loop of a replica: it follows the watches, and writes while it leads.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::api_server::ApiServer;
use super::health::Health;
use super::lease::{self, Leadership};
use super::metrics::Metrics;
use super::switches::Switches;
use super::unreadable::UnreadableObjects;
use crate::plan::report::Ack;
use crate::reconcile::{self, Reconciler};
use crate::source::Change;
use crate::source::cluster::Update;
use crate::store::reports::{HeartbeatLimits, follow_acks};
use crate::store::{Elected, Memory, Store, StoreError, StoreOptions, WriterIdentity};
use crate::util::backoff::Backoff;

/// Pauses between connections to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// How often the loop says how it is.
const PULSE: Duration = Duration::from_secs(1);

/// The loop of a replica.
pub(crate) struct Operator {
    pub reconciler: Reconciler,
    pub options: StoreOptions,
    /// What this process wrote, in all its terms.
    pub memory: Memory,
    pub client: Client,
    pub identity: String,
    /// Namespace and name of the Lease.
    pub lease: String,
    pub cluster_wide: bool,
    pub metrics: Metrics,
    pub health: Arc<Health>,
    /// What was heard before everything was listed.
    pub heard: Vec<Change>,
    pub unreadable: UnreadableObjects,
    /// A time of leadership, while it lasts.
    pub term: Option<LeaderSession>,
    pub api_server: ApiServer,
}

/// A time of leadership.
pub(crate) struct LeaderSession {
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
enum LoopEvent {
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
    /// Runs until it is told to end.
    pub async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Update>,
        mut leadership: watch::Receiver<Leadership>,
        stop: &CancellationToken,
    ) {
        let mut pulse = tokio::time::interval(PULSE);
        leadership.mark_changed();
        loop {
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => LoopEvent::Stop,
                Ok(()) = leadership.changed() => LoopEvent::Leadership(leadership.borrow_and_update().clone()),
                wake = tenure(&mut self.term) => wake,
                update = inbox.recv() => LoopEvent::Update(update),
                () = self.reconciler.work() => LoopEvent::Worked,
                _ = pulse.tick() => LoopEvent::Pulse,
            };
            self.health.turn();
            match wake {
                LoopEvent::Stop => break,
                LoopEvent::Leadership(Leadership::Leading(term)) => self.lead(term),
                LoopEvent::Leadership(Leadership::Following { leader }) => {
                    info!(leader = leader.as_deref().unwrap_or("nobody"), "following");
                    self.follow();
                }
                LoopEvent::Lost => self.lose(),
                LoopEvent::Store(store) => self.begin(store),
                LoopEvent::StoreFails(category) => self.reconciler.store_fails(category),
                LoopEvent::Ack(ack) => self.acknowledge(ack),
                LoopEvent::Update(None) => break,
                LoopEvent::Update(Some(update)) => self.take_in(update, &mut inbox),
                LoopEvent::Worked => {}
                LoopEvent::Pulse => self.tell(),
            }
        }
        self.follow();
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
        let candidate = WriterIdentity { holder: self.identity.clone(), elected: Some(elected) };
        let memory = self.memory.clone();
        tokio::spawn(async move {
            let work = async {
                let store = connect(&options, &candidate, &memory, &metrics.reconcile, &since, &fails).await;
                let reader = store.reader().clone();
                let _ = send.send(store);
                follow_acks(reader, HeartbeatLimits::default(), send_acks, token.clone()).await;
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
            Some(LeaderSession { term: own, written, over, store, failing, acks, switches, leading, fenced });
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
async fn tenure(term: &mut Option<LeaderSession>) -> LoopEvent {
    let Some(term) = term else { return std::future::pending().await };
    tokio::select! {
        biased;
        () = term.over.cancelled() => LoopEvent::Lost,
        () = lost(&term.written) => LoopEvent::Lost,
        store = &mut term.store, if !term.leading => match store {
            Ok(store) => {
                term.leading = true;
                LoopEvent::Store(store)
            }
            Err(_) => LoopEvent::Lost,
        },
        Ok(()) = term.failing.changed(), if !term.leading => match *term.failing.borrow_and_update() {
            Some(category) => LoopEvent::StoreFails(category),
            None => LoopEvent::Pulse,
        },
        Some(ack) = term.acks.recv(), if term.leading => LoopEvent::Ack(ack),
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
    candidate: &WriterIdentity,
    memory: &Memory,
    metrics: &reconcile::Metrics,
    fenced: &OnceLock<Instant>,
    fails: &watch::Sender<Option<&'static str>>,
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
        fails.send_if_modified(|told| told.replace(category) != Some(category));
        tokio::time::sleep(backoff.pause()).await;
    }
}
