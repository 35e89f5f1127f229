//! Leader election on a `coordination.k8s.io/v1` Lease, as client-go does it: one writer at a time.
//!
//! - Wall clocks of other machines are not trusted. A follower counts the lease's duration from when it
//!   last saw the record change, by its own monotonic clock; the times in the record are for people.
//! - A leader gives up after two thirds of the duration without a renewal, so that it has ended before
//!   another replica may begin. The time counts from before the renewal was sent, and also while the
//!   API server does not answer.
//! - Every write names the resource version that was read: of two replicas that acquire the lease, one
//!   fails.
//!
//! A lease does not stop a write that a frozen process has begun: the store's fence does that
//! ([`Store::lead`](crate::store::Store::lead)), by the UID and the transition in [`Term`].
//!
//! Not `kube-lease-manager`: that crate keeps leading while the API server is unreachable.

mod elector;
mod record;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::util::backoff::jitter;
use elector::Elector;

/// Which Lease to acquire, and how.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease; it is created if it does not exist.
    pub name: String,
    /// Name of this replica, for people. Each elector adds a random part, so that two replicas of one
    /// name are distinguished.
    pub identity: String,
    /// Time without a renewal after which another replica takes over. The Lease holds whole seconds, at
    /// least one. With 15 s, a leader renews about every 2 s and gives up after 10 s.
    pub duration: Duration,
}

impl LeaseOptions {
    /// Time without a renewal after which a leader gives up.
    fn renew_deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Timeout of one attempt: long enough for a slow API server, and short enough for a second attempt
    /// before the deadline.
    fn attempt_timeout(&self) -> Duration {
        self.duration / 3
    }

    /// Pause between a leader's renewals.
    fn renew_period(&self) -> Duration {
        jittered(self.duration * 2 / 15)
    }

    /// Pause between a follower's attempts: how soon it notices a released Lease.
    fn retry_period(&self) -> Duration {
        jittered(self.duration / 15)
    }
}

/// One term of leadership.
#[derive(Clone, Debug)]
pub struct Term {
    /// Cancelled the moment the lease is lost. All writing must end within a third of the lease's
    /// duration: then another replica may begin.
    pub lost: CancellationToken,
    /// UID of the Lease.
    pub lease: String,
    /// `leaseTransitions`: later leaders of the same Lease have a higher number.
    pub transition: i64,
}

/// Who leads.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Another replica leads, or none does.
    Following {
        /// Identity of the leader; `None` when the Lease has no holder, or was not read yet.
        leader: Option<String>,
    },
    /// This replica leads.
    Leading(Term),
}

/// An election that runs until it is stopped.
#[derive(Debug)]
pub struct Election {
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// When the elector last began an attempt.
    pub life: Liveness,
    task: JoinHandle<()>,
}

impl Election {
    /// Waits until the elector has ended: a leader has released the Lease then, if the API server could be
    /// reached.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the elector panicked");
        }
    }
}

/// The time when an elector last began an attempt. An attempt begins at least once in a lease's duration,
/// whether the API server answers or not: a greater age means that it is stuck.
#[derive(Clone, Debug)]
pub struct Liveness(watch::Receiver<Instant>);

impl Liveness {
    /// Time since the last attempt began.
    pub fn age(&self) -> Duration {
        self.0.borrow().elapsed()
    }
}

/// Takes part in the election for a Lease. Cancel `stop` when the work of a leader has ended: the elector
/// releases the Lease, and another replica begins at once.
pub fn elect(client: Client, options: LeaseOptions, stop: CancellationToken) -> Election {
    let api: Api<Lease> = Api::namespaced(client, &options.namespace);
    let leadership = watch::Sender::new(Leadership::Following { leader: None });
    let attempted = watch::Sender::new(Instant::now());
    let (watched, life) = (leadership.subscribe(), Liveness(attempted.subscribe()));
    let task = tokio::spawn(Elector::new(api, options, leadership, attempted).run(stop));
    Election { leadership: watched, life, task }
}

/// Three quarters to five quarters of a period, so that replicas do not stay in step.
fn jittered(period: Duration) -> Duration {
    jitter(period * 3 / 4, period * 5 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_stops_well_before_another_may_start() {
        for seconds in [1, 15, 60] {
            let options = LeaseOptions {
                namespace: String::new(),
                name: String::new(),
                identity: String::new(),
                duration: Duration::from_secs(seconds),
            };
            assert!(options.renew_deadline() < options.duration * 3 / 4);
            // Often enough to meet both ends of the jitter. A pause is cut to whole nanoseconds.
            for _ in 0..20_000 {
                let pause = options.renew_period();
                let shortest = options.duration / 10 - Duration::from_nanos(1);
                assert!(pause >= shortest && pause <= options.duration / 6, "{pause:?}");
                // A leader whose renewal hangs has time for a second one.
                assert!(pause * 2 + options.attempt_timeout() < options.renew_deadline() * 101 / 100);
            }
        }
    }
}
