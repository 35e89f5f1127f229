//! Probes and metrics of `centrex api`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::http::metrics::scrape;
use crate::replica::follow::Progress;
use crate::replica::tenants::Replica;

/// State that the probes read.
pub struct Health {
    replica: Arc<Replica>,
    progress: watch::Receiver<Progress>,
    revision: Gauge,
    connected: Gauge,
    registry: Registry,
}

impl Health {
    /// State of a process with these metrics.
    pub fn new(
        replica: Arc<Replica>,
        progress: watch::Receiver<Progress>,
        mut registry: Registry,
    ) -> Arc<Self> {
        let (revision, connected) = (Gauge::default(), Gauge::default());
        registry.register("api_platform_revision", "Revision of the platform's rows", revision.clone());
        registry.register("api_connected", "Whether changes arrive from Postgres", connected.clone());
        Arc::new(Self { replica, progress, revision, connected, registry })
    }

    /// What is missing before phones can be answered. Once loaded, tenants are there while Postgres is away.
    fn missing(&self) -> Vec<String> {
        let progress = self.progress.borrow();
        let mut missing = Vec::new();
        if !progress.filled {
            missing.push("not all tenants are loaded yet from Postgres".to_owned());
            missing.extend(progress.trouble.clone());
        } else if self.replica.platform_revision() == 0 {
            missing.push("nothing was stored yet by the operator".to_owned());
        }
        missing
    }
}

/// Routes of probes and metrics.
pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async |State(health): State<Arc<Health>>| readiness(&health.missing())))
        .route("/metrics", get(metrics))
        .with_state(health)
}

fn readiness(missing: &[String]) -> (StatusCode, String) {
    match missing.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready:\n{}\n", missing.join("\n"))),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> axum::response::Response {
    health.revision.set(health.replica.platform_revision());
    health.connected.set(health.progress.borrow().connected.into());
    scrape(&health.registry)
}
