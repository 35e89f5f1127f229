//! The probes: alive while every watch is heard and the loop turns, ready once all was listed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::Liveness;
use super::metrics::Metrics;
use crate::source::cluster::Watches;

/// How long nothing may be heard on a watch: bookmarks come about once a minute, and a watch is
/// renewed every five.
const WATCH_LIMIT: Duration = Duration::from_secs(600);
/// How long the loop may not turn: the largest tenant takes seconds to compile.
const LOOP_LIMIT: Duration = Duration::from_secs(120);

/// What the probes look at.
pub struct Health {
    pub metrics: Metrics,
    pub watches: Watches,
    pub elector: Liveness,
    /// How long the elector may be silent.
    pub lease: Duration,
    turned: Mutex<Instant>,
    fenced: AtomicBool,
}

impl Health {
    /// Nothing is wrong yet.
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

    /// The loop turned.
    pub fn turn(&self) {
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether this replica leads, and Postgres has kept it from writing for too long. Says whether it
    /// was so before.
    pub fn fence(&self, fenced: bool) -> bool {
        self.fenced.swap(fenced, Ordering::Relaxed)
    }

    fn dead(&self) -> Vec<String> {
        let mut dead = self.watches.stale(WATCH_LIMIT);
        if self.elector.age() > self.lease * 3 {
            dead.push("the elector is stuck".to_owned());
        }
        if self.turned.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > LOOP_LIMIT {
            dead.push("the reconcile loop is stuck".to_owned());
        }
        // One that starts anew takes the Lease anew, which counts its changes of hands on.
        if self.fenced.load(Ordering::Relaxed) {
            dead.push(
                "this replica leads, and Postgres says that a later one has written: delete the Lease"
                    .to_owned(),
            );
        }
        dead
    }
}

/// Answers until it is stopped.
pub async fn serve(listener: TcpListener, health: Arc<Health>, stop: CancellationToken) {
    let app = Router::new()
        .route("/livez", get(async |State(health): State<Arc<Health>>| verdict(health.dead())))
        .route("/readyz", get(async |State(health): State<Arc<Health>>| verdict(health.watches.missing())))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the probes' listener ended");
    }
}

fn verdict(wrong: Vec<String>) -> (StatusCode, String) {
    match wrong.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, wrong.join("\n") + "\n"),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    for sign in health.watches.statuses() {
        health.metrics.set_watch(sign.kind, sign.since.as_secs_f64());
    }
    match health.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n").into_response(),
    }
}
