//! The task that keeps one switch as it should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::apply::{Applier, ApplyReport};
use super::change::{Change, Changes};
use super::compare::ReplicaSnapshot;
use super::ending::Ending;
use super::metrics::Metrics;
use super::plan::{Outcome, trunks, wanted};
use super::read;
use crate::freeswitch::esl;
use crate::freeswitch::esl::{Address, Api, Client, EslError, Event, Events, Password, Session};
use crate::freeswitch::xml::Answers;
use crate::plan::report::{Applied, GatewayState, SwitchReport};
use crate::replica::follow::Progress;
use crate::replica::tenants::Snapshot;
use crate::secrets::signing_key::SigningKey;
use crate::util::backoff::Backoff;

/// Pauses between sessions.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// How often a switch that starts is asked whether it has, and how long that may take; one that is
/// not reached for as long is not starting anew, but gone.
const STARTING: Duration = Duration::from_millis(500);
const START: Duration = Duration::from_secs(60);
/// How often legs are counted while somebody waits for them to end.
const COUNT: Duration = Duration::from_secs(1);
/// First pause before a change that did not help is retried; it doubles up to the interval of comparing.
const RETRY: Duration = Duration::from_secs(5);
/// Why a change waits that somebody could lose something by.
const INCOMPLETE: &str = "not everything was loaded from Postgres yet";

/// What the task is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the event socket is.
    pub address: Address,
    /// Its password.
    pub password: Password,
    /// Whether differences are repaired, or only told.
    pub repair: bool,
    /// How often it is compared although nothing happens.
    pub compare_every: Duration,
}

/// What an operator of the switch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No new calls from outside, until somebody says otherwise.
    Drain,
    /// No new calls from outside, because the pod ends.
    End,
    /// New calls again.
    Resume,
}

/// The task.
#[derive(Debug)]
pub struct Live {
    /// See [`Options`].
    pub options: Options,
    /// What FreeSWITCH is answered with, and so what it should have.
    pub answers: Arc<Answers>,
    /// How far the replica is.
    pub progress: watch::Receiver<Progress>,
    /// What is asked for.
    pub orders: mpsc::Receiver<Order>,
    /// Where it is noted that the pod ends.
    pub ending: Ending,
    /// What is found.
    pub findings: watch::Sender<SwitchReport>,
    /// How far the switch is.
    pub applied: watch::Sender<Option<Applied>>,
    /// What is counted.
    pub metrics: Metrics,
}

/// What is remembered from session to session.
#[derive(Default)]
pub(super) struct SessionState {
    /// What the switch was last brought to.
    pub(super) before: Option<Snapshot>,
    /// Its process.
    pub(super) core: String,
    /// States of gateways, by name.
    pub(super) gateways: BTreeMap<String, GatewayState>,
    /// What could not be done, and cannot be seen by comparing.
    pub(super) retry: Changes,
    /// What was tried, did harm, and did not help: not again before something changes.
    pub(super) hopeless: Changes,
    /// What is different, as of the last look.
    pub(super) left: Changes,
    /// What came of the last changes.
    pub(super) done: ApplyReport,
    /// What there is too much of to be compared.
    pub(super) beyond: Vec<String>,
    /// Whether calls were looked at since the connection was made: of a tenant that went before, they
    /// are no difference between two revisions.
    pub(super) looked_at_calls: bool,
    /// Whether it was compared, or tried to, since everything was there.
    pub(super) complete: bool,
    /// Whether new calls are refused on request; none before the switch was asked.
    pub(super) draining: Option<bool>,
    /// Whether this process of FreeSWITCH has listened with every profile that it should have.
    pub(super) has_listened: bool,
}

impl Live {
    /// Keeps the switch as it should be until stopped. `restored` is what it was last seen to be
    /// served with, by the process before.
    pub async fn run(mut self, restored: Option<Snapshot>, stop: CancellationToken) {
        let mut memory = SessionState { before: restored, ..SessionState::default() };
        stop.run_until_cancelled(self.keep(&mut memory)).await;
    }

    async fn keep(&mut self, memory: &mut SessionState) {
        let (mut backoff, mut told, mut lost) = (BACKOFF, String::new(), Instant::now());
        loop {
            self.metrics.connected(false);
            self.findings.send_modify(|findings| {
                if findings.connected == Some(true) {
                    lost = Instant::now();
                }
                findings.connected = Some(false);
                findings.absent = lost.elapsed() >= START;
            });
            let error = match esl::open(&self.options.address, &self.options.password).await {
                Ok(session) => {
                    info!(address = %self.options.address, "connected to the event socket");
                    (backoff, told) = (BACKOFF, String::new());
                    let Err(error) = self.session(session, memory).await;
                    error
                }
                Err(error) => error,
            };
            self.metrics.failed(&error);
            let text = error.to_string();
            if text != told {
                warn!(category = error.category(), %error, "not connected to the event socket; trying again");
                told = text;
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// One session's life.
    async fn session(
        &mut self,
        Session { client, mut events }: Session,
        memory: &mut SessionState,
    ) -> Result<std::convert::Infallible, EslError> {
        let start = Instant::now();
        // One that was paused by hand is not ready either, and is not waited for.
        while client.api(Api::Ready).await?.trim() != "true" && start.elapsed() < START {
            tokio::time::sleep(STARTING).await;
        }
        self.greet(&client, memory).await?;
        let mut compare_at = Instant::now();
        let mut backoff = Backoff::new(RETRY, self.options.compare_every);
        loop {
            let complete = self.is_complete();
            // What was put off until then is looked at again.
            let due = Instant::now() >= compare_at || (complete && !memory.complete);
            memory.complete = complete;
            if due || self.is_behind(memory) {
                let as_it_should_be = match self.round(&client, memory, due).await {
                    Err(error) if error.ends_session() => return Err(error),
                    Err(error) => {
                        self.metrics.failed(&error);
                        warn!(category = error.category(), %error, "the switch could not be compared");
                        self.findings.send_modify(|findings| findings.drift = vec![error.to_string()]);
                        false
                    }
                    Ok(same) => same,
                };
                let mut failed = backoff.clone();
                let pause = if as_it_should_be { self.options.compare_every } else { failed.pause() };
                let next = Instant::now() + pause;
                let sooner = due || next < compare_at;
                if sooner {
                    compare_at = next;
                }
                if as_it_should_be {
                    backoff.reset();
                } else if sooner {
                    backoff = failed;
                }
            }
            self.wait(&client, &mut events, memory, &mut compare_at).await?;
        }
    }

    /// What is asked once a session.
    async fn greet(&mut self, client: &Client, memory: &mut SessionState) -> Result<(), EslError> {
        let version = client.api(Api::Version).await?.trim().to_owned();
        let core = client.api(Api::CoreUuid).await?.trim().to_owned();
        let legs = read::number(client, Api::CountChannels).await?;
        if memory.core != core {
            if !memory.core.is_empty() {
                info!("FreeSWITCH was started anew");
            }
            memory.hopeless.clear();
            memory.gateways.clear();
            // A new process has read everything anew; who is registered is kept on its disk.
            memory.core = core;
            memory.has_listened = false;
            if let Some(true) = memory.draining {
                client.api(Api::PauseInbound).await?;
            }
        }
        memory.looked_at_calls = false;
        let mut paused = client.api(Api::Paused).await?.trim() == "true";
        if memory.draining.is_none() && self.ending.is_noted() {
            if paused {
                client.api(Api::Resume).await?;
                paused = false;
                info!(
                    "new calls are taken again: they were refused because the pod was to end, and it has not"
                );
            }
            self.ending.forget();
        }
        memory.draining = Some(paused);
        self.metrics.connected(true);
        self.metrics.legs(legs);
        self.findings.send_modify(|findings| {
            findings.connected = Some(true);
            findings.absent = false;
            findings.version = Some(version.chars().take(64).collect());
            findings.draining = paused;
            findings.ending = paused && self.ending.is_noted();
            findings.listening &= memory.has_listened;
            findings.calls = legs;
        });
        Ok(())
    }

    /// Waits for something to do.
    async fn wait(
        &mut self,
        client: &Client,
        events: &mut Events,
        memory: &mut SessionState,
        compare_at: &mut Instant,
    ) -> Result<(), EslError> {
        tokio::select! {
            event = events.next() => self.take(event.ok_or(EslError::Closed)?, memory, compare_at),
            changed = self.progress.changed() => {
                // Without a follower nothing changes any more, and comparing goes on.
                if changed.is_err() {
                    tokio::time::sleep_until(*compare_at).await;
                }
            }
            Some(order) = self.orders.recv() => self.obey(order, client, memory).await?,
            // Somebody waits for them to end.
            () = tokio::time::sleep(COUNT), if memory.draining == Some(true) => {
                self.legs(read::number(client, Api::CountChannels).await?);
            }
            () = tokio::time::sleep_until(*compare_at) => {}
        }
        Ok(())
    }

    fn take(&mut self, event: Event, memory: &mut SessionState, compare_at: &mut Instant) {
        match event {
            Event::Heartbeat { sessions } => {
                self.legs(sessions);
                // What waited for calls to end need not wait longer.
                if sessions == 0 && !memory.done.waiting.is_empty() {
                    *compare_at = Instant::now();
                }
            }
            Event::GatewayState { gateway, state, up } => {
                // Of no other than were found: what is kept has its bounds.
                if let Some(held) = memory.gateways.get_mut(&gateway) {
                    *held = GatewayState { state, up };
                    self.tell_gateways(memory);
                }
            }
            Event::ProfileStarted { .. } => *compare_at = Instant::now(),
            Event::Lost(events) => {
                warn!(events, "events were lost; the switch is compared");
                self.metrics.lost(events);
                *compare_at = Instant::now();
            }
        }
    }

    async fn obey(
        &mut self,
        order: Order,
        client: &Client,
        memory: &mut SessionState,
    ) -> Result<(), EslError> {
        let draining = order != Order::Resume;
        match order {
            // A drain that somebody asked for stays one.
            Order::End if memory.draining == Some(true) => {}
            Order::End => self.ending.note(),
            Order::Drain | Order::Resume => self.ending.forget(),
        }
        client.api(if draining { Api::PauseInbound } else { Api::Resume }).await?;
        memory.draining = Some(draining);
        info!(draining, ending = order == Order::End, "asked for");
        let legs = read::number(client, Api::CountChannels).await?;
        self.legs(legs);
        self.findings.send_modify(|findings| {
            findings.draining = draining;
            findings.ending = draining && self.ending.is_noted();
        });
        Ok(())
    }

    fn legs(&self, legs: u32) {
        self.metrics.legs(legs);
        self.findings.send_if_modified(|findings| std::mem::replace(&mut findings.calls, legs) != legs);
    }

    /// Whether the replica holds everything there is.
    fn is_complete(&self) -> bool {
        let progress = self.progress.borrow();
        progress.filled && progress.complete
    }

    /// Whether the replica holds anything that the switch was not brought to.
    fn is_behind(&self, memory: &SessionState) -> bool {
        if !self.is_complete() {
            return false;
        }
        memory.before.as_ref().is_none_or(|before| self.is_newer_than(before))
    }

    /// Whether the replica holds other revisions than it did.
    pub(super) fn is_newer_than(&self, before: &Snapshot) -> bool {
        let replica = &self.answers.replica;
        let held =
            || before.tenants.iter().map(|(id, held)| (*id, held.revision)).collect::<BTreeMap<_, _>>();
        replica.platform_revision() != before.platform_revision || replica.revisions() != held()
    }

    /// Brings the switch to what the replica holds, and compares all of it where that is due. True
    /// when all is as it should be, as far as it was looked at.
    async fn round(
        &mut self,
        client: &Client,
        memory: &mut SessionState,
        compare: bool,
    ) -> Result<bool, EslError> {
        let Some(key) = self.answers.key.get().cloned() else { return Ok(false) };
        // Before everything is there, what is missing here is not missing.
        if !self.progress.borrow_and_update().filled || self.answers.replica.platform_revision() == 0 {
            return Ok(false);
        }
        let start = Instant::now();
        let mut moment = self.moment(memory, &key);
        if moment.revised.is_empty() && !compare {
            let outcome = Outcome::of(&memory.left, &memory.done, None, &moment.now, &key);
            return Ok(self.conclude(memory, moment, outcome, &key));
        }
        let mut want = wanted(&moment.now, &key, &self.answers.media);
        let mut repairs = Changes::new();
        if compare {
            self.metrics.compared();
            (moment, want) = self.compare(client, memory, (moment, want), &key).await?;
            repairs = std::mem::take(&mut memory.retry);
            if !memory.looked_at_calls {
                let calls = self.calls(client, memory, &moment.now, &key).await?;
                memory.looked_at_calls = moment.complete && calls.as_ref().is_some_and(Changes::is_empty);
                memory.left.extend(calls.into_iter().flatten());
            }
        }
        if !moment.revised.is_empty() {
            memory.hopeless.clear();
        }
        if compare && self.options.repair {
            repairs.extend(memory.left.difference(&memory.hopeless).cloned());
        }
        let all = moment.revised.union(&repairs).cloned();
        let (todo, early): (Changes, Changes) = all.partition(|change| moment.complete || change.only_adds());
        let waiting = early.into_iter().map(|change| (change, INCOMPLETE)).collect();
        if todo.is_empty() {
            memory.done = ApplyReport { waiting, ..ApplyReport::default() };
            let outcome = Outcome::of(&memory.left, &memory.done, None, &moment.now, &key);
            return Ok(self.conclude(memory, moment, outcome, &key));
        }
        self.note_running(client, &todo, &moment.now).await?;
        let mut done = Applier { client, want: &want, key: &key }.apply(&todo).await?;
        done.waiting.extend(waiting);
        for (change, reason) in &done.refused {
            warn!(kind = change.kind(), %change, reason, "a change was refused");
        }
        let (ours, repairs): (Changes, Changes) =
            done.tried.iter().cloned().partition(|c| moment.revised.contains(c));
        self.metrics.changed(&ours, "revision");
        self.metrics.changed(&repairs, "repair");
        let found = self.settle(client, memory, &want, &moment.now, &done).await?;
        for change in &repairs {
            match memory.left.contains(change) {
                true => warn!(kind = change.kind(), %change, "a repair did not help"),
                false => info!(kind = change.kind(), %change, "repaired"),
            }
        }
        memory.retry = done.refused.keys().cloned().collect();
        memory
            .hopeless
            .extend(memory.left.intersection(&done.tried).filter(|change| change.harms()).cloned());
        let outcome = Outcome::of(&memory.left, &done, Some(&found), &moment.now, &key);
        memory.done = done;
        self.metrics.took(start.elapsed().as_secs_f64());
        Ok(self.conclude(memory, moment, outcome, &key))
    }

    fn conclude(
        &mut self,
        memory: &mut SessionState,
        ReplicaSnapshot { complete, now, .. }: ReplicaSnapshot,
        mut outcome: Outcome,
        key: &SigningKey,
    ) -> bool {
        self.metrics.drift(memory.left.len());
        let restarts = |profile: &str| Change::RestartProfile { profile: profile.to_owned() };
        self.answers.running.retain(|profile| memory.left.contains(&restarts(profile)));
        let gateways = trunks(&now, key, &memory.gateways);
        // Before everything is there, what changed since the process before is not done.
        if complete {
            self.applied.send_if_modified(|applied| {
                let next = Some(outcome.applied(applied.as_ref(), &now));
                let changed = *applied != next;
                *applied = next;
                changed
            });
            memory.before = Some(now);
        }
        let same = outcome.drift.is_empty();
        self.metrics.beyond(memory.beyond.len());
        outcome.drift.extend(memory.beyond.iter().cloned());
        self.findings.send_if_modified(|findings| {
            let Outcome { drift, problems, held, .. } = outcome;
            let now = SwitchReport { drift, problems, held, gateways, ..findings.clone() };
            let changed = *findings != now;
            *findings = now;
            changed
        });
        same
    }

    fn tell_gateways(&self, memory: &SessionState) {
        let (Some(key), Some(before)) = (self.answers.key.get(), &memory.before) else { return };
        let gateways = trunks(before, key, &memory.gateways);
        self.findings.send_if_modified(|findings| {
            let changed = findings.gateways != gateways;
            findings.gateways = gateways;
            changed
        });
    }
}
