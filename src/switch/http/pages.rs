//! What probes and Prometheus read, for a listener that answers no lookups: lookups stay on
//! loopback, and a kubelet comes from elsewhere.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::handler::Handler;

/// `/healthz`, `/readyz` and `/metrics` of a [`Server`].
#[derive(Clone, Debug)]
pub struct Pages {
    handler: Arc<Handler>,
}

impl Server {
    /// Its pages, to be served elsewhere too.
    pub fn pages(&self) -> Pages {
        Pages { handler: self.handler.clone() }
    }
}

impl Pages {
    /// Serves them until stopped.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let (ready, metrics) = (self.handler.clone(), self.handler);
        let app = Router::new()
            .route("/healthz", get(async || (StatusCode::OK, "ok\n")))
            .route("/readyz", get(async move || page(ready.ready())))
            .route("/metrics", get(async move || page(metrics.scrape())));
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "the probes' listener ended");
        }
    }
}

fn page(response: hyper::Response<http_body_util::Full<bytes::Bytes>>) -> Result<Response<Body>, Infallible> {
    Ok(response.map(Body::new))
}
