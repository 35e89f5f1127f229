//! The elector: attempts to acquire or renew the Lease, and the clock that ends a leadership.

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
    /// `holderIdentity` of a Lease that this replica holds.
    identity: String,
    observed: Option<ObservedLease>,
    held: Option<HeldLease>,
    /// True after a failed attempt: only the first failure in a row is logged.
    failing: bool,
    leadership: watch::Sender<Leadership>,
    attempted: watch::Sender<Instant>,
}

/// The Lease while this replica holds it.
struct HeldLease {
    term: Term,
    /// When the last successful renewal was sent.
    renewed: Instant,
    /// Cancels the term when the elector is dropped, as by a panic.
    _guard: DropGuard,
}

/// The outcome of an attempt.
enum Attempt {
    /// This replica holds the Lease, by a write that was sent at this time.
    Held(Instant),
    /// Another replica holds the Lease.
    HeldByOther,
    /// Another client wrote at the same time: the next attempt shows who holds the Lease.
    Conflict,
}

impl Elector {
    pub fn new(
        api: Api<Lease>,
        options: LeaseOptions,
        leadership: watch::Sender<Leadership>,
        attempted: watch::Sender<Instant>,
    ) -> Self {
        let identity = format!("{}_{:016x}", options.identity, rand::random::<u64>());
        Self { api, options, identity, observed: None, held: None, failing: false, leadership, attempted }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.attempted.send_replace(Instant::now());
            self.give_up_if_late(); // first of all: the process may have been frozen
            let limit = Instant::now() + self.options.attempt_timeout();
            let limit = self.deadline().map_or(limit, |deadline| limit.min(deadline));
            match stop.run_until_cancelled(timeout_at(limit, self.attempt())).await {
                None => break,
                Some(Ok(Ok(attempt))) => self.apply(attempt),
                Some(Ok(Err(error))) => self.failed(&error),
                Some(Err(_)) => self.failed(&"the API server does not answer"),
            }
            self.give_up_if_late();
            if stop.run_until_cancelled(sleep_until(self.next_attempt())).await.is_none() {
                break;
            }
        }
        self.release().await;
    }

    /// Tries once to acquire or renew the Lease.
    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        // A leader needs no GET: the Lease is as it wrote it last, unless another client has written.
        if let (Some(_), Some(observed)) = (&self.held, &self.observed) {
            let attempt = self.write(observed.lease.clone()).await?;
            if !matches!(attempt, Attempt::Conflict) {
                return Ok(attempt);
            }
        }
        let Some(lease) = self.api.get_opt(&self.options.name).await? else {
            // The Lease was deleted. Its holder may be alive and create it again: it has until it expires.
            if self.held.is_none() && self.observed.as_ref().is_some_and(|lease| !self.can_acquire(lease)) {
                return Ok(Attempt::HeldByOther);
            }
            let mut lease = Lease::default();
            lease.metadata.name = Some(self.options.name.clone());
            return self.write(lease).await;
        };
        let observed = ObservedLease::now(lease.clone(), self.observed.as_ref());
        let can_acquire = self.can_acquire(&observed);
        self.observed = Some(observed);
        if can_acquire { self.write(lease).await } else { Ok(Attempt::HeldByOther) }
    }

    /// True when a Lease has no holder, is held by this replica, or has expired.
    fn can_acquire(&self, observed: &ObservedLease) -> bool {
        let holder = observed.holder();
        holder.is_none_or(|holder| holder == self.identity)
            || observed.expires(self.options.duration) <= Instant::now()
    }

    /// Writes this replica into the Lease as its holder.
    async fn write(&mut self, lease: Lease) -> Result<Attempt, kube::Error> {
        let sent = Instant::now();
        let lease = record::held(lease, &self.identity, self.options.duration);
        let params = PostParams::default();
        let exists = lease.metadata.resource_version.is_some();
        let written = match exists {
            true => self.api.replace(&self.options.name, &params, &lease).await,
            false => self.api.create(&params, &lease).await,
        };
        match written {
            Ok(lease) => {
                self.observed = Some(ObservedLease::now(lease, self.observed.as_ref()));
                Ok(Attempt::Held(sent))
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Attempt::Conflict)
            }
            // The Lease was deleted. A 404 for a create is an error: the namespace does not exist.
            Err(kube::Error::Api(status)) if exists && status.is_not_found() => Ok(Attempt::Conflict),
            Err(error) => Err(error),
        }
    }

    fn apply(&mut self, attempt: Attempt) {
        self.failing = false;
        match attempt {
            Attempt::Conflict => {}
            Attempt::HeldByOther => {
                self.lose("another replica holds the lease");
                self.publish_following();
            }
            Attempt::Held(sent) => self.renewed(sent),
        }
    }

    /// Renews the term, or begins one.
    fn renewed(&mut self, sent: Instant) {
        let Some(observed) = &self.observed else { return }; // never: a successful write was observed
        let (lease, transition) = (observed.uid().to_owned(), observed.transitions());
        let same = |held: &&mut HeldLease| held.term.lease == lease && held.term.transition == transition;
        if let Some(held) = self.held.as_mut().filter(same) {
            held.renewed = sent;
            return;
        }
        self.lose("the lease was deleted and created again, or has changed hands");
        let lost = CancellationToken::new();
        let term = Term { lost: lost.clone(), lease, transition };
        self.held = Some(HeldLease { term: term.clone(), renewed: sent, _guard: lost.drop_guard() });
        if !self.give_up_if_late() {
            info!(lease = %self.options.name, identity = %self.identity, transition, "leading");
            self.leadership.send_replace(Leadership::Leading(term));
        }
    }

    /// When the leadership of this replica ends, unless it is renewed.
    fn deadline(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.renewed + self.options.renew_deadline())
    }

    /// Ends a leadership that was not renewed in time. Returns true if it did.
    fn give_up_if_late(&mut self) -> bool {
        let late = self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        if late {
            self.lose("the lease was not renewed in time");
            self.publish_following();
        }
        late
    }

    fn lose(&mut self, why: &str) {
        if let Some(held) = self.held.take() {
            held.term.lost.cancel();
            warn!(lease = %self.options.name, identity = %self.identity, why, "no longer leading");
        }
    }

    /// Publishes whom this replica follows, if that has changed.
    fn publish_following(&self) {
        let holder =
            self.observed.as_ref().and_then(ObservedLease::holder).filter(|holder| *holder != self.identity);
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

    fn next_attempt(&self) -> Instant {
        let now = Instant::now();
        if let Some(deadline) = self.deadline() {
            return deadline.min(now + self.options.renew_period());
        }
        let retry = now + self.options.retry_period();
        let expires = self.observed.as_ref().map(|observed| observed.expires(self.options.duration));
        expires.filter(|expires| *expires > now).map_or(retry, |expires| expires.min(retry))
    }

    /// Releases a Lease that is held, so that the next leader need not wait until it expires.
    async fn release(mut self) {
        let Some(held) = self.held.take() else { return };
        held.term.lost.cancel();
        self.leadership.send_replace(Leadership::Following { leader: None });
        match timeout(self.options.attempt_timeout(), self.write_released()).await {
            Ok(Ok(())) => info!(lease = %self.options.name, identity = %self.identity, "lease released"),
            Ok(Err(error)) => warn!(%error, "the lease is not released, and expires"),
            Err(_) => warn!("the lease is not released, and expires: the API server does not answer"),
        }
    }

    async fn write_released(&self) -> Result<(), kube::Error> {
        loop {
            // Read it first: a renewal may have been under way at the stop.
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
