//! The operator's probes: alive while every watch receives messages and the reconcile loop runs, ready once
//! every kind was listed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use tokio::time::Instant;

use super::lease::Liveness;
use super::metrics::Metrics;
use crate::http::metrics::scrape;
use crate::source::cluster::Watches;

/// How long a watch may be silent: bookmarks arrive about once a minute, and a watch is renewed every two or
/// three minutes.
const MAX_WATCH_SILENCE: Duration = Duration::from_secs(600);
/// How long one turn of the reconcile loop may take: the largest tenant compiles within seconds.
const MAX_LOOP_TURN: Duration = Duration::from_secs(120);

/// State that the probes read.
pub struct Health {
    pub metrics: Metrics,
    pub watches: Watches,
    pub elector: Liveness,
    /// Duration of the Lease. The elector may be silent for three of them.
    pub lease: Duration,
    turned: Mutex<Instant>,
    fenced: AtomicBool,
}

impl Health {
    /// State of a process that just started: alive.
    pub fn new(metrics: Metrics, watches: Watches, elector: Liveness, lease: Duration) -> Self {
        Self {
            metrics,
            watches,
            elector,
            lease,
            turned: Mutex::new(Instant::now()),
            fenced: AtomicBool::new(false),
        }
    }

    /// Records a turn of the reconcile loop.
    pub fn turn(&self) {
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Records whether this replica holds the Lease while Postgres has refused its writes for too long. Returns the
    /// previous value.
    pub fn fence(&self, fenced: bool) -> bool {
        self.fenced.swap(fenced, Ordering::Relaxed)
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = self.watches.stale(MAX_WATCH_SILENCE);
        if self.elector.age() > self.lease * 3 {
            failures.push("the elector is stuck".to_owned());
        }
        if self.turned.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > MAX_LOOP_TURN {
            failures.push("the reconcile loop is stuck".to_owned());
        }
        // A restarted replica acquires the Lease again, which raises its term above that of the last writer.
        if self.fenced.load(Ordering::Relaxed) {
            failures.push(
                "this replica holds the Lease, but Postgres has seen a writer of a later term: delete the Lease"
                    .to_owned(),
            );
        }
        failures
    }
}

/// Routes of the operator's probes and metrics.
pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(async |State(health): State<Arc<Health>>| status(health.failures())))
        .route("/readyz", get(async |State(health): State<Arc<Health>>| status(health.watches.missing())))
        .route("/metrics", get(metrics))
        .with_state(health)
}

fn status(failures: Vec<String>) -> (StatusCode, String) {
    match failures.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, failures.join("\n") + "\n"),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    for status in health.watches.statuses() {
        health.metrics.set_watch(status.kind.as_str(), status.since.as_secs_f64());
    }
    scrape(health.metrics.registry())
}
