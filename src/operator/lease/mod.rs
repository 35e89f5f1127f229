//! Leader election on a `coordination.k8s.io/v1` Lease, as client-go does it: one writer at a time.
//!
//! - Nobody's wall clock is believed. A follower counts the lease's duration from when it last saw
//!   the record change, by its own monotonic clock; the times in the record are for people.
//! - A leader gives up after two thirds of the duration without a renewal, so it has ended before
//!   anybody else may begin. That is counted from before the renewal was sent, and also while the
//!   API server does not answer.
//! - Every write names the resource version that was read: of two who take the lease one fails.
//!
//! A lease does not stop what a frozen process has begun: the store's terms do that
//! ([`Store::lead`](crate::store::Store::lead)), and [`Term`] says what they need to know.

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

/// Which lease to take, and how.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease; made when it is not there.
    pub name: String,
    /// Who we are, for people. Each elector adds a random part: two of one name are still two.
    pub identity: String,
    /// How long a leader that is not heard of stays leader. In the Lease it is whole seconds, at
    /// least one. Of 15 s, a leader renews about every 2 s and gives up after 10 s.
    pub duration: Duration,
}

impl LeaseOptions {
    /// How long a leader goes on without a renewal.
    fn renew_deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// How long one turn may take: the API server may be slow, and there is time for a second try.
    fn turn_timeout(&self) -> Duration {
        self.duration / 3
    }

    /// Pause between a leader's renewals.
    fn renew_pause(&self) -> Duration {
        jittered(self.duration * 2 / 15)
    }

    /// Pause between a follower's looks: a lease that was given back is not left lying.
    fn look_pause(&self) -> Duration {
        jittered(self.duration / 15)
    }
}

/// A time of leadership.
#[derive(Clone, Debug)]
pub struct Term {
    /// Cancelled the moment the lease is lost. All writing must have ended a third of the lease's
    /// duration later, when others may begin.
    pub lost: CancellationToken,
    /// UID of the Lease.
    pub lease: String,
    /// How often the Lease has changed hands: later leaders of the same Lease have a higher number.
    pub transition: i64,
}

/// Who leads.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Somebody else, or nobody.
    Following {
        /// Who, as the Lease says; none when it is free, or not known.
        leader: Option<String>,
    },
    /// We do.
    Leading(Term),
}

/// An election that goes on until it is told to stop.
#[derive(Debug)]
pub struct Election {
    /// Who leads; changes wake whoever waits.
    pub leadership: watch::Receiver<Leadership>,
    /// Whether the elector still works.
    pub life: Liveness,
    task: JoinHandle<()>,
}

impl Election {
    /// Waits for its end: a leader has then given the lease back, if the API server could be reached.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the elector broke off");
        }
    }
}

/// Says when an elector last began a turn. It does so at least once in a lease's duration, whether
/// the API server answers or not: an age beyond that means that it is stuck.
#[derive(Clone, Debug)]
pub struct Liveness(watch::Receiver<Instant>);

impl Liveness {
    /// How long ago it last began a turn.
    pub fn age(&self) -> Duration {
        self.0.borrow().elapsed()
    }
}

/// Takes part in the election for a lease. Cancel `stop` when the work of a leader has ended: it
/// gives the lease back at once, and the next one begins.
pub fn elect(client: Client, options: LeaseOptions, stop: CancellationToken) -> Election {
    let api: Api<Lease> = Api::namespaced(client, &options.namespace);
    let leadership = watch::Sender::new(Leadership::Following { leader: None });
    let turned = watch::Sender::new(Instant::now());
    let (watched, life) = (leadership.subscribe(), Liveness(turned.subscribe()));
    let task = tokio::spawn(Elector::new(api, options, leadership, turned).run(stop));
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
    fn a_leader_gives_up_well_before_others_may_begin() {
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
                let pause = options.renew_pause();
                let shortest = options.duration / 10 - Duration::from_nanos(1);
                assert!(pause >= shortest && pause <= options.duration / 6, "{pause:?}");
                // A leader whose first renewal hangs has the time for another one.
                assert!(pause * 2 + options.turn_timeout() < options.renew_deadline() * 101 / 100);
            }
        }
    }
}
