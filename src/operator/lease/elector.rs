//! The elector: turns that take or keep the lease, and the clock that ends a leadership.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use super::record;
use super::record::ObservedLease;
use super::{Leadership, LeaseOptions, Term};

pub(super) struct Elector {
    api: Api<Lease>,
    options: LeaseOptions,
    /// What stands in the Lease when we hold it.
    identity: String,
    seen: Option<ObservedLease>,
    held: Option<OwnLease>,
    /// Whether the last turn failed; the first failure of a row is a warning.
    failing: bool,
    leadership: watch::Sender<Leadership>,
    turned: watch::Sender<Instant>,
}

/// A leadership of ours.
struct OwnLease {
    term: Term,
    /// When the last renewal that succeeded was sent.
    renewed: Instant,
    /// Whatever becomes of the elector, whoever works in this term is told.
    _guard: DropGuard,
}

/// What came of a turn.
enum Attempt {
    /// The lease is ours, by a write sent then.
    Ours(Instant),
    /// Somebody else's.
    Theirs,
    /// Somebody else wrote at the same time: the next turn shows who holds it.
    Missed,
}

impl Elector {
    pub fn new(
        api: Api<Lease>,
        options: LeaseOptions,
        leadership: watch::Sender<Leadership>,
        turned: watch::Sender<Instant>,
    ) -> Self {
        let identity = format!("{}_{:016x}", options.identity, rand::random::<u64>());
        Self { api, options, identity, seen: None, held: None, failing: false, leadership, turned }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.turned.send_replace(Instant::now());
            self.give_up_in_time(); // after a freeze, before anything else
            let limit = Instant::now() + self.options.turn_timeout();
            let limit = self.deadline().map_or(limit, |deadline| limit.min(deadline));
            match stop.run_until_cancelled(timeout_at(limit, self.turn())).await {
                None => break,
                Some(Ok(Ok(turn))) => self.settle(turn),
                Some(Ok(Err(error))) => self.failed(&error),
                Some(Err(_)) => self.failed(&"the API server does not answer"),
            }
            self.give_up_in_time();
            if stop.run_until_cancelled(sleep_until(self.next_turn())).await.is_none() {
                break;
            }
        }
        self.release().await;
    }

    /// Tries once to take or keep the lease.
    async fn turn(&mut self) -> Result<Attempt, kube::Error> {
        // What a leader wrote last still stands there, unless somebody else wrote meanwhile.
        if let (Some(_), Some(seen)) = (&self.held, &self.seen) {
            let turn = self.write(seen.lease.clone()).await?;
            if !matches!(turn, Attempt::Missed) {
                return Ok(turn);
            }
        }
        let Some(lease) = self.api.get_opt(&self.options.name).await? else {
            // A leader that lives makes a deleted one anew: it gets the time it was promised.
            if self.held.is_none() && self.seen.as_ref().is_some_and(|seen| !self.may_take(seen)) {
                return Ok(Attempt::Theirs);
            }
            let mut lease = Lease::default();
            lease.metadata.name = Some(self.options.name.clone());
            return self.write(lease).await;
        };
        let seen = ObservedLease::now(lease.clone(), self.seen.as_ref());
        let free = self.may_take(&seen);
        self.seen = Some(seen);
        if free { self.write(lease).await } else { Ok(Attempt::Theirs) }
    }

    /// Whether a Lease is nobody's, ours, or has run out.
    fn may_take(&self, seen: &ObservedLease) -> bool {
        let holder = seen.holder();
        holder.is_none_or(|holder| holder == self.identity)
            || seen.expires(self.options.duration) <= Instant::now()
    }

    /// Writes ourselves into the lease.
    async fn write(&mut self, lease: Lease) -> Result<Attempt, kube::Error> {
        let sent = Instant::now();
        let lease = record::held(lease, &self.identity, self.options.duration);
        let params = PostParams::default();
        let known = lease.metadata.resource_version.is_some();
        let written = match known {
            true => self.api.replace(&self.options.name, &params, &lease).await,
            false => self.api.create(&params, &lease).await,
        };
        match written {
            Ok(lease) => {
                self.seen = Some(ObservedLease::now(lease, self.seen.as_ref()));
                Ok(Attempt::Ours(sent))
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Attempt::Missed)
            }
            // It was deleted. When making it says so, it is the namespace that is not there.
            Err(kube::Error::Api(status)) if known && status.is_not_found() => Ok(Attempt::Missed),
            Err(error) => Err(error),
        }
    }

    fn settle(&mut self, turn: Attempt) {
        self.failing = false;
        match turn {
            Attempt::Missed => {}
            Attempt::Theirs => {
                self.lose("somebody else took the lease");
                self.follow();
            }
            Attempt::Ours(sent) => self.hold(sent),
        }
    }

    fn hold(&mut self, sent: Instant) {
        let Some(seen) = &self.seen else { return }; // a write that succeeded was seen
        let (lease, transition) = (seen.uid().to_owned(), seen.transitions());
        let same = |held: &&mut OwnLease| held.term.lease == lease && held.term.transition == transition;
        if let Some(held) = self.held.as_mut().filter(same) {
            held.renewed = sent;
            return;
        }
        self.lose("the lease was made anew");
        let lost = CancellationToken::new();
        let term = Term { lost: lost.clone(), lease, transition };
        self.held = Some(OwnLease { term: term.clone(), renewed: sent, _guard: lost.drop_guard() });
        if !self.give_up_in_time() {
            info!(lease = %self.options.name, identity = %self.identity, transition, "leading");
            self.leadership.send_replace(Leadership::Leading(term));
        }
    }

    /// When our leadership ends, unless it is renewed.
    fn deadline(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.renewed + self.options.renew_deadline())
    }

    /// Ends a leadership that was not renewed in time; true when there was one.
    fn give_up_in_time(&mut self) -> bool {
        let late = self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        if late {
            self.lose("it could not be renewed in time");
            self.follow();
        }
        late
    }

    fn lose(&mut self, why: &str) {
        if let Some(held) = self.held.take() {
            held.term.lost.cancel();
            warn!(lease = %self.options.name, identity = %self.identity, why, "no longer leading");
        }
    }

    /// Tells whom we follow, when that is new.
    fn follow(&self) {
        let holder =
            self.seen.as_ref().and_then(ObservedLease::holder).filter(|holder| *holder != self.identity);
        self.leadership.send_if_modified(|leadership| {
            let same = matches!(leadership, Leadership::Following { leader } if leader.as_deref() == holder);
            if !same {
                debug!(leader = holder, "following");
                *leadership = Leadership::Following { leader: holder.map(str::to_owned) };
            }
            !same
        });
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(lease = %self.options.name, namespace = %self.options.namespace, %error, "election: trying again");
        }
    }

    fn next_turn(&self) -> Instant {
        let now = Instant::now();
        if let Some(deadline) = self.deadline() {
            return deadline.min(now + self.options.renew_pause());
        }
        let look = now + self.options.look_pause();
        let expires = self.seen.as_ref().map(|seen| seen.expires(self.options.duration));
        expires.filter(|expires| *expires > now).map_or(look, |expires| expires.min(look))
    }

    /// Gives the lease back, so that the next one need not wait for it to run out.
    async fn release(mut self) {
        let Some(held) = self.held.take() else { return };
        held.term.lost.cancel();
        self.leadership.send_replace(Leadership::Following { leader: None });
        match timeout(self.options.turn_timeout(), self.give_back()).await {
            Ok(Ok(())) => info!(lease = %self.options.name, identity = %self.identity, "lease given back"),
            Ok(Err(error)) => warn!(%error, "the lease is not given back, it runs out"),
            Err(_) => warn!("the lease is not given back, it runs out: the API server does not answer"),
        }
    }

    async fn give_back(&self) -> Result<(), kube::Error> {
        loop {
            // A renewal may have been under way when we were told to stop.
            let Some(lease) = self.api.get_opt(&self.options.name).await? else { return Ok(()) };
            if ObservedLease::now(lease.clone(), None).holder() != Some(&self.identity) {
                return Ok(());
            }
            let written =
                self.api.replace(&self.options.name, &PostParams::default(), &record::released(lease)).await;
            match written {
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                written => return written.map(drop),
            }
        }
    }
}
