//! Probes of the kubelet, metrics of Prometheus, and the wait of FreeSWITCH's preStop hook.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{MethodFilter, get, on};
use axum::{Extension, Router};
use tokio::sync::watch;

use super::Probe;
use super::metrics::Metrics;
use crate::http::connection_limit::ConnectionLimit;
use crate::http::listener::Connection;
use crate::http::metrics::scrape;
use crate::plan::report::{FREESWITCH_GONE_AFTER, SwitchReport};

/// Limits of requests that wait at `/drained`: of all other hosts, and of one of them.
const MAX_WAITERS: usize = 16;
const MAX_WAITERS_PER_PEER: usize = 4;

/// Longest wait at `/drained`, in seconds: a day.
const MAX_DRAIN_SECONDS: u32 = 86_400;

/// What a status request reads.
#[derive(Clone, Debug)]
pub(super) struct Status {
    probe: Arc<dyn Probe>,
    metrics: Arc<Metrics>,
    /// `None` without an event socket.
    report: Option<watch::Receiver<SwitchReport>>,
    waiters: ConnectionLimit,
}

impl Status {
    pub fn new(
        probe: Arc<dyn Probe>,
        metrics: Arc<Metrics>,
        report: Option<watch::Receiver<SwitchReport>>,
    ) -> Self {
        let waiters = ConnectionLimit::new(MAX_WAITERS, MAX_WAITERS_PER_PEER);
        Self { probe, metrics, report, waiters }
    }

    /// Why FreeSWITCH should get no calls, a line each.
    fn missing_of_freeswitch(&self) -> Vec<&'static str> {
        match &self.report {
            Some(report) => report.borrow().missing(),
            None => vec!["no event socket is configured (--esl-address)"],
        }
    }
}

/// Routes of probes and metrics, which need no credentials.
pub(super) fn router(status: Status) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async |State(status): State<Status>| readiness(&status.probe.missing())))
        .route(
            "/readyz/freeswitch",
            get(async |State(status): State<Status>| readiness(&status.missing_of_freeswitch())),
        )
        .route("/metrics", get(async |State(status): State<Status>| scrape(status.metrics.registry())))
        .route("/drained", on(MethodFilter::GET, drained))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "this is only read\n"))
        .with_state(status)
}

fn readiness(missing: &[impl AsRef<str>]) -> (StatusCode, String) {
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines: Vec<&str> = missing.iter().map(AsRef::as_ref).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready:\n{}\n", lines.join("\n")))
}

/// Waits until a drained switch has no call left, or FreeSWITCH has ended, or `seconds` are over. The preStop hook
/// of FreeSWITCH's container waits here; what drains the switch is `centrex switch drain`.
async fn drained(
    State(status): State<Status>,
    Extension(connection): Extension<Connection>,
    RawQuery(query): RawQuery,
) -> (StatusCode, &'static str) {
    let seconds = query.as_deref().and_then(|query| query.strip_prefix("seconds=")?.parse::<u32>().ok());
    let Some(seconds) = seconds.filter(|seconds| *seconds <= MAX_DRAIN_SECONDS) else {
        return (StatusCode::BAD_REQUEST, "allowed is /drained?seconds=N, N up to 86400\n");
    };
    let Some(report) = status.report else {
        return (StatusCode::OK, "no event socket is configured (--esl-address): nothing is waited for\n");
    };
    let Some(_slot) = status.waiters.try_acquire(connection.peer) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many wait here already\n");
    };
    let limit = Duration::from_secs(seconds.into());
    let ended = tokio::time::timeout(limit, calls_ended(report)).await;
    (StatusCode::OK, ended.unwrap_or("calls are up, and the time is over\n"))
}

/// Waits until the switch is drained and has no call left, or FreeSWITCH has ended.
async fn calls_ended(mut report: watch::Receiver<SwitchReport>) -> &'static str {
    let drained =
        |report: &SwitchReport| report.draining && report.calls == 0 && report.connected == Some(true);
    let disconnected = |report: &SwitchReport| report.connected == Some(false);
    loop {
        match report.wait_for(|report| drained(report) || disconnected(report)).await {
            Ok(report) if disconnected(&report) => {}
            _ => return "no call is up\n",
        }
        // If the connection is back within this time, only the connection was lost: FreeSWITCH did not end.
        if tokio::time::timeout(FREESWITCH_GONE_AFTER, report.wait_for(|report| !disconnected(report)))
            .await
            .is_err()
        {
            return "FreeSWITCH has ended: no call is up\n";
        }
    }
}
