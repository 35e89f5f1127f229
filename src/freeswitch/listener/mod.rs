//! What FreeSWITCH and the kubelet ask the sidecar over HTTP: lookups of mod_xml_curl, call records of
//! mod_xml_cdr, probes and metrics.

mod cdr;
mod lookup;
pub mod metrics;
mod probe;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::sync;
use super::xml::Answers;
use crate::cdr::intake::Intake;
use crate::cdr::metrics::CdrMetrics;
use crate::http::credentials::{Credentials, require};
use crate::http::listener::{ListenError, Listener};
use crate::plan::report::SwitchReport;
use metrics::Metrics;
pub use probe::Probe;
use status::Status;

/// Why the listener that FreeSWITCH asks was not opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Answers hold secrets, and other hosts could read them.
    #[error(
        "--xml-listen {0} is reachable from other machines, and answers hold secrets: set --xml-username and \
         --xml-password, or listen on 127.0.0.1 or [::1]"
    )]
    Exposed(SocketAddr),
    /// See [`ListenError`].
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Binds the address that FreeSWITCH asks (`--xml-listen`): without credentials on loopback only.
///
/// # Errors
/// The address is taken, or reachable from other hosts without credentials.
pub async fn bind(address: SocketAddr, credentials: Option<&Credentials>) -> Result<Listener, BindError> {
    if credentials.is_none() && !address.ip().to_canonical().is_loopback() {
        return Err(BindError::Exposed(address));
    }
    Ok(Listener::bind("--xml-listen", address).await?)
}

/// Everything the routes need.
#[derive(Debug)]
pub struct Routes {
    answers: Arc<Answers>,
    probe: Arc<dyn Probe>,
    credentials: Option<Credentials>,
    cdrs: Option<(Intake, CdrMetrics)>,
    switch: Option<(sync::Metrics, watch::Receiver<SwitchReport>)>,
}

impl Routes {
    /// Routes of lookups, probes and metrics. Lookups need the credentials, where there are any.
    pub fn new(answers: Arc<Answers>, probe: Arc<dyn Probe>, credentials: Option<Credentials>) -> Self {
        Self { answers, probe, credentials, cdrs: None, switch: None }
    }

    /// Adds the route of call records, with the same credentials.
    #[must_use]
    pub fn with_cdrs(self, intake: Intake, metrics: CdrMetrics) -> Self {
        Self { cdrs: Some((intake, metrics)), ..self }
    }

    /// Adds what the event socket reports: to `/readyz/freeswitch`, `/drained` and the metrics.
    #[must_use]
    pub fn with_switch(self, metrics: sync::Metrics, report: watch::Receiver<SwitchReport>) -> Self {
        Self { switch: Some((metrics, report)), ..self }
    }

    /// Two routers that count in the same metrics: all routes, for FreeSWITCH, and those of probes and metrics
    /// alone, for a listener that other hosts reach. `more` registers metrics of other parts of the process.
    pub fn into_routers(self, more: impl FnOnce(&mut Registry)) -> (Router, Router) {
        let mut metrics = Metrics::new(self.answers.replica.clone(), self.probe.clone());
        let (sync_metrics, report) = self.switch.unzip();
        if let Some(sync_metrics) = sync_metrics {
            sync_metrics.register(metrics.registry_mut());
        }
        self.answers.emergencies.register(metrics.registry_mut());
        if let Some((_, cdrs)) = &self.cdrs {
            cdrs.register(metrics.registry_mut());
        }
        more(metrics.registry_mut());
        let metrics = Arc::new(metrics);
        let status = status::router(Status::new(self.probe, metrics.clone(), report));
        let credentials = self.credentials.as_ref();
        let mut all = status.clone().merge(lookup::router(self.answers, metrics, credentials));
        if let Some((intake, metrics)) = self.cdrs {
            all = all.merge(cdr::router(intake, metrics, credentials));
        }
        (all.fallback(not_found), status.fallback(not_found))
    }
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "nothing is served here\n")
}

/// A route of POST behind credentials; another method is answered 405 without them.
fn guarded(post: MethodRouter, credentials: Option<&Credentials>) -> MethodRouter {
    let guarded = match credentials {
        Some(credentials) => post.route_layer(from_fn_with_state(credentials.clone(), require)),
        None => post,
    };
    guarded.fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "lookups and call records are posted\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_credentials_only_loopback_is_bound() {
        let credentials = Credentials::new("fs", "secret").unwrap();
        for (address, allowed) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("192.0.2.1:0", false),
        ] {
            let address = address.parse().unwrap();
            let exposed = |bound| matches!(bound, Err(BindError::Exposed(_)));
            assert_eq!(exposed(bind(address, None).await), !allowed, "{address}");
            assert!(!exposed(bind(address, Some(&credentials)).await), "{address}");
        }
    }
}
