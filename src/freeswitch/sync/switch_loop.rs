//! The loop of one switch: connects to it, waits for work, and keeps it in step with the replica.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::apply::{Applier, ApplyReport};
use super::change::{Change, Changes};
use super::metrics::Metrics;
use super::plan::{Outcome, desired_state, trunk_gateways};
use super::pod_ending_marker::PodEndingMarker;
use super::read;
use super::rekeyed;
use super::verify::ReplicaSnapshot;
use crate::freeswitch::esl;
use crate::freeswitch::esl::{Address, Api, Client, EslError, Event, Events, Password, Session};
use crate::freeswitch::registrations::Registrations;
use crate::freeswitch::xml::Answers;
use crate::plan::report::{Applied, GatewayState, SwitchReport};
use crate::replica::follow::Progress;
use crate::replica::tenants::Snapshot;
use crate::secrets::signing_key::SigningKey;
use crate::util::backoff::Backoff;

/// Waits before the next attempt to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// How often a starting switch is asked whether it is ready.
const READY_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long a start may take. A switch that is unreachable for longer is reported as absent, not as
/// restarting.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often legs are counted while the switch drains.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// First wait before the next comparison where differences remain. Doubles up to
/// [`Options::compare_every`].
const MIN_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Why a removal waits while the replica is incomplete.
const INCOMPLETE: &str = "not everything was loaded from Postgres yet";

/// Options of the task.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the event socket.
    pub address: Address,
    /// Its password.
    pub password: Password,
    /// Whether differences are repaired or only reported.
    pub repair: bool,
    /// How often the whole switch is compared when nothing changes.
    pub compare_every: Duration,
}

/// An order to a switch, by its operator or by the end of its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Refuse new calls until [`Order::Resume`].
    Drain,
    /// Refuse new calls because the pod ends.
    End,
    /// Accept new calls again.
    Resume,
}

/// The task that connects to one switch, compares it with the replica, and applies what differs.
#[derive(Debug)]
pub struct Live {
    /// Its options.
    pub options: Options,
    /// The source of XML answers, and therefore of the desired state of the switch.
    pub answers: Arc<Answers>,
    /// How far the replica has loaded.
    pub progress: watch::Receiver<Progress>,
    /// Orders to drain and to resume.
    pub orders: mpsc::Receiver<Order>,
    /// The marker on disk that the pod is ending.
    pub ending: PodEndingMarker,
    /// The switch's report, which becomes part of statuses.
    pub findings: watch::Sender<SwitchReport>,
    /// The revisions that the switch has applied.
    pub applied: watch::Sender<Option<Applied>>,
    /// The registrations of the switch.
    pub registrations: Registrations,
    /// Sends commands to the switch; `None` without a session.
    pub client: watch::Sender<Option<Client>>,
    /// Metrics of the task.
    pub metrics: Metrics,
}

/// State that outlives a session of the event socket.
#[derive(Default)]
pub(super) struct SessionState {
    /// The replica's content that was last applied to the switch.
    pub(super) last_applied: Option<Snapshot>,
    /// Identity of the FreeSWITCH process; another one after a restart.
    pub(super) core_uuid: String,
    /// States of gateways, by name.
    pub(super) gateways: BTreeMap<String, GatewayState>,
    /// Changes that FreeSWITCH refused, to be tried again: not every one shows in a comparison.
    pub(super) retry: Changes,
    /// Changes that disturbed calls and did not help. They are not repeated before a revision changes
    /// something.
    pub(super) ineffective: Changes,
    /// Differences that the last comparison found.
    pub(super) differences: Changes,
    /// Result of the last changes.
    pub(super) last_report: ApplyReport,
    /// Why some kinds of things were not compared: there are too many.
    pub(super) not_compared: Vec<String>,
    /// Whether this session has checked whose calls are up. Calls of a tenant that was removed earlier
    /// are not a difference between two revisions.
    pub(super) calls_checked: bool,
    /// Whether a comparison was attempted since the replica became complete.
    pub(super) compared_complete: bool,
    /// Whether the switch refuses new calls; `None` before it was first asked.
    pub(super) draining: Option<bool>,
    /// Whether all wanted profiles of this FreeSWITCH process have run at the same time once.
    pub(super) has_listened: bool,
}

impl Live {
    /// Keeps the switch in step with the replica until stopped. `restored` is what the previous process
    /// of the sidecar had last applied.
    pub async fn run(mut self, restored: Option<Snapshot>, stop: CancellationToken) {
        let mut session = SessionState { last_applied: restored, ..SessionState::default() };
        stop.run_until_cancelled(self.run_sessions(&mut session)).await;
    }

    async fn run_sessions(&mut self, session: &mut SessionState) {
        let (mut backoff, mut last_error, mut disconnected) = (BACKOFF, String::new(), Instant::now());
        loop {
            self.metrics.connected(false);
            self.findings.send_modify(|findings| {
                if findings.connected == Some(true) {
                    disconnected = Instant::now();
                }
                findings.connected = Some(false);
                findings.absent = disconnected.elapsed() >= START_TIMEOUT;
            });
            let error = match esl::open(&self.options.address, &self.options.password).await {
                Ok(connection) => {
                    info!(address = %self.options.address, "connected to the event socket");
                    (backoff, last_error) = (BACKOFF, String::new());
                    let Err(error) = self.run_session(connection, session).await;
                    self.client.send_replace(None);
                    error
                }
                Err(error) => error,
            };
            self.metrics.failed(&error);
            let text = error.to_string();
            if text != last_error {
                warn!(category = error.category(), %error, "not connected to the event socket; trying again");
                last_error = text;
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Runs one session until its connection fails.
    async fn run_session(
        &mut self,
        Session { client, mut events }: Session,
        session: &mut SessionState,
    ) -> Result<std::convert::Infallible, EslError> {
        let start = Instant::now();
        // A switch that was paused by hand is not ready either, hence the timeout.
        while client.api(Api::Ready).await?.trim() != "true" && start.elapsed() < START_TIMEOUT {
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
        self.on_connect(&client, session).await?;
        self.client.send_replace(Some(client.clone()));
        let mut compare_at = Instant::now();
        let mut backoff = Backoff::new(MIN_RETRY_DELAY, self.options.compare_every);
        loop {
            let complete = self.is_complete();
            // Changes that waited for a complete replica are due now.
            let due = Instant::now() >= compare_at || (complete && !session.compared_complete);
            session.compared_complete = complete;
            if due || self.is_behind(session) {
                let in_sync = match self.sync_once(&client, session, due).await {
                    Err(error) if error.ends_session() => return Err(error),
                    Err(error) => {
                        self.metrics.failed(&error);
                        warn!(category = error.category(), %error, "the switch could not be compared");
                        self.findings.send_modify(|findings| findings.drift = vec![error.to_string()]);
                        false
                    }
                    Ok(in_sync) => in_sync,
                };
                let mut failed = backoff.clone();
                let pause = if in_sync { self.options.compare_every } else { failed.pause() };
                let next = Instant::now() + pause;
                let sooner = due || next < compare_at;
                if sooner {
                    compare_at = next;
                }
                if in_sync {
                    backoff.reset();
                } else if sooner {
                    backoff = failed;
                }
            }
            self.wait_for_work(&client, &mut events, session, &mut compare_at).await?;
        }
    }

    /// Reads version, process and drain state, once a session.
    async fn on_connect(&mut self, client: &Client, session: &mut SessionState) -> Result<(), EslError> {
        let version = client.api(Api::Version).await?.trim().to_owned();
        let core = client.api(Api::CoreUuid).await?.trim().to_owned();
        let legs = read::read_count(client, Api::CountChannels).await?;
        if session.core_uuid != core {
            if !session.core_uuid.is_empty() {
                info!("FreeSWITCH was restarted");
            }
            session.ineffective.clear();
            session.gateways.clear();
            // A new process has read its whole configuration; registrations survive on its disk.
            session.core_uuid = core;
            session.has_listened = false;
            if let Some(true) = session.draining {
                client.api(Api::PauseInbound).await?;
            }
        }
        session.calls_checked = false;
        let mut paused = client.api(Api::Paused).await?.trim() == "true";
        if session.draining.is_none() && self.ending.is_set() {
            if paused {
                client.api(Api::Resume).await?;
                paused = false;
                info!(
                    "new calls are accepted again: they were refused because the pod was ending, but it has not ended"
                );
            }
            self.ending.clear();
        }
        session.draining = Some(paused);
        self.metrics.connected(true);
        self.metrics.legs(legs);
        self.findings.send_modify(|findings| {
            findings.connected = Some(true);
            findings.absent = false;
            findings.version = Some(version.chars().take(64).collect());
            findings.draining = paused;
            findings.ending = paused && self.ending.is_set();
            findings.listening &= session.has_listened;
            findings.calls = legs;
        });
        Ok(())
    }

    /// Waits for an event, a revision, an order or the next comparison.
    async fn wait_for_work(
        &mut self,
        client: &Client,
        events: &mut Events,
        session: &mut SessionState,
        compare_at: &mut Instant,
    ) -> Result<(), EslError> {
        tokio::select! {
            event = events.next() => self.on_event(event.ok_or(EslError::Closed)?, session, compare_at),
            changed = self.progress.changed() => {
                // Without a follower nothing changes any more, but comparisons continue.
                if changed.is_err() {
                    tokio::time::sleep_until(*compare_at).await;
                }
            }
            Some(order) = self.orders.recv() => self.run_order(order, client, session).await?,
            // The number of legs is polled during a drain, because the drain ends with the last leg.
            () = tokio::time::sleep(DRAIN_POLL_INTERVAL), if session.draining == Some(true) => {
                self.record_legs(read::read_count(client, Api::CountChannels).await?);
            }
            () = tokio::time::sleep_until(*compare_at) => {}
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event, session: &mut SessionState, compare_at: &mut Instant) {
        match event {
            Event::Heartbeat { sessions } => {
                self.record_legs(sessions);
                // Changes that waited for calls to end can be made now.
                if sessions == 0 && !session.last_report.waiting.is_empty() {
                    *compare_at = Instant::now();
                }
            }
            Event::GatewayState { gateway, state, up } => {
                // Only of gateways that were read, so that the map stays bounded.
                if let Some(held) = session.gateways.get_mut(&gateway) {
                    *held = GatewayState { state, up };
                    self.publish_gateways(session);
                }
            }
            Event::ProfileStarted { .. } => *compare_at = Instant::now(),
            Event::Registered { profile, user, registration } => {
                self.registrations.registered(&profile, user, *registration);
                self.count_registrations();
            }
            Event::Unregistered { profile, user, call_id } => {
                self.registrations.ended(&profile, &user, call_id.as_deref());
                self.count_registrations();
            }
            Event::Lost(events) => {
                warn!(events, "events were lost; the switch is compared");
                self.metrics.lost(events);
                *compare_at = Instant::now();
            }
        }
    }

    async fn run_order(
        &mut self,
        order: Order,
        client: &Client,
        session: &mut SessionState,
    ) -> Result<(), EslError> {
        let draining = order != Order::Resume;
        match order {
            // A drain on request outlasts the pod's end.
            Order::End if session.draining == Some(true) => {}
            Order::End => self.ending.set(),
            Order::Drain | Order::Resume => self.ending.clear(),
        }
        client.api(if draining { Api::PauseInbound } else { Api::Resume }).await?;
        session.draining = Some(draining);
        info!(draining, ending = order == Order::End, "order carried out");
        let legs = read::read_count(client, Api::CountChannels).await?;
        self.record_legs(legs);
        self.findings.send_modify(|findings| {
            findings.draining = draining;
            findings.ending = draining && self.ending.is_set();
        });
        Ok(())
    }

    pub(super) fn count_registrations(&self) {
        self.metrics.registrations(self.registrations.counts());
    }

    fn record_legs(&self, legs: u32) {
        self.metrics.legs(legs);
        self.findings.send_if_modified(|findings| std::mem::replace(&mut findings.calls, legs) != legs);
    }

    /// Whether the replica has everything that Postgres has.
    fn is_complete(&self) -> bool {
        let progress = self.progress.borrow();
        progress.filled && progress.complete
    }

    /// Whether the replica has revisions that were not applied to the switch.
    fn is_behind(&self, session: &SessionState) -> bool {
        if !self.is_complete() {
            return false;
        }
        session.last_applied.as_ref().is_none_or(|before| self.is_newer_than(before))
    }

    /// Whether the replica's revisions differ from those of a snapshot.
    pub(super) fn is_newer_than(&self, before: &Snapshot) -> bool {
        let replica = &self.answers.replica;
        let held =
            || before.tenants.iter().map(|(id, held)| (*id, held.revision)).collect::<BTreeMap<_, _>>();
        replica.platform_revision() != before.platform_revision || replica.revisions() != held()
    }

    /// Applies what changed in the replica and, if `compare`, compares the whole switch and repairs
    /// differences. Returns whether no difference is known.
    async fn sync_once(
        &mut self,
        client: &Client,
        session: &mut SessionState,
        compare: bool,
    ) -> Result<bool, EslError> {
        let Some(key) = self.answers.key.get().cloned() else { return Ok(false) };
        // Until the replica is filled, what it lacks may exist.
        if !self.progress.borrow_and_update().filled || self.answers.replica.platform_revision() == 0 {
            return Ok(false);
        }
        let start = Instant::now();
        let mut snapshot = self.replica_snapshot(session, &key);
        if snapshot.revised.is_empty() && !compare {
            let outcome = Outcome::new(&session.differences, &session.last_report, None, &snapshot.now, &key);
            return Ok(self.publish_outcome(session, snapshot, outcome, &key));
        }
        let mut want = desired_state(&snapshot.now, &key, &self.answers.media);
        let mut repairs = Changes::new();
        if compare {
            self.metrics.compared();
            (snapshot, want) = self.compare(client, session, (snapshot, want), &key).await?;
            repairs = std::mem::take(&mut session.retry);
            if !session.calls_checked {
                let calls = self.stray_calls(client, session, &snapshot.now, &key).await?;
                session.calls_checked = snapshot.complete && calls.as_ref().is_some_and(Changes::is_empty);
                session.differences.extend(calls.into_iter().flatten());
            }
        }
        if !snapshot.revised.is_empty() {
            session.ineffective.clear();
        }
        if compare && self.options.repair {
            repairs.extend(session.differences.difference(&session.ineffective).cloned());
        }
        let all = snapshot.revised.union(&repairs).cloned();
        let (todo, early): (Changes, Changes) =
            all.partition(|change| snapshot.complete || change.only_adds());
        let waiting = early.into_iter().map(|change| (change, INCOMPLETE)).collect();
        if todo.is_empty() {
            session.last_report = ApplyReport { waiting, ..ApplyReport::default() };
            let outcome = Outcome::new(&session.differences, &session.last_report, None, &snapshot.now, &key);
            return Ok(self.publish_outcome(session, snapshot, outcome, &key));
        }
        self.record_profile_overrides(client, &todo, &snapshot.now).await?;
        rekeyed::tell(client, &todo, &snapshot.now, &self.registrations).await?;
        let mut report = Applier { client, want: &want, key: &key }.apply(&todo).await?;
        report.waiting.extend(waiting);
        for (change, reason) in &report.refused {
            warn!(kind = change.kind(), %change, reason, "FreeSWITCH refused a change");
        }
        let (ours, repairs): (Changes, Changes) =
            report.tried.iter().cloned().partition(|c| snapshot.revised.contains(c));
        self.metrics.changed(&ours, "revision");
        self.metrics.changed(&repairs, "repair");
        let found = self.await_changes(client, session, &want, &snapshot.now, &report).await?;
        for change in &repairs {
            match session.differences.contains(change) {
                true => warn!(kind = change.kind(), %change, "a repair had no effect"),
                false => info!(kind = change.kind(), %change, "repaired"),
            }
        }
        session.retry = report.refused.keys().cloned().collect();
        session
            .ineffective
            .extend(session.differences.intersection(&report.tried).filter(|change| change.harms()).cloned());
        let outcome = Outcome::new(&session.differences, &report, Some(&found), &snapshot.now, &key);
        session.last_report = report;
        self.metrics.took(start.elapsed().as_secs_f64());
        Ok(self.publish_outcome(session, snapshot, outcome, &key))
    }

    fn publish_outcome(
        &mut self,
        session: &mut SessionState,
        ReplicaSnapshot { complete, now, .. }: ReplicaSnapshot,
        mut outcome: Outcome,
        key: &SigningKey,
    ) -> bool {
        self.metrics.drift(session.differences.len());
        let restarts = |profile: &str| Change::RestartProfile { profile: profile.to_owned() };
        self.answers.running.retain(|profile| session.differences.contains(&restarts(profile)));
        let gateways = trunk_gateways(&now, key, &session.gateways);
        // An incomplete replica does not show everything that changed since the previous process.
        if complete {
            self.applied.send_if_modified(|applied| {
                let next = Some(outcome.applied(applied.as_ref(), &now));
                let changed = *applied != next;
                *applied = next;
                changed
            });
            session.last_applied = Some(now);
        }
        let same = outcome.drift.is_empty();
        self.metrics.not_compared(session.not_compared.len());
        outcome.drift.extend(session.not_compared.iter().cloned());
        self.findings.send_if_modified(|findings| {
            let Outcome { drift, problems, not_applied: held, .. } = outcome;
            let now = SwitchReport { drift, problems, held, gateways, ..findings.clone() };
            let changed = *findings != now;
            *findings = now;
            changed
        });
        same
    }

    fn publish_gateways(&self, session: &SessionState) {
        let (Some(key), Some(before)) = (self.answers.key.get(), &session.last_applied) else { return };
        let gateways = trunk_gateways(before, key, &session.gateways);
        self.findings.send_if_modified(|findings| {
            let changed = findings.gateways != gateways;
            findings.gateways = gateways;
            changed
        });
    }
}
