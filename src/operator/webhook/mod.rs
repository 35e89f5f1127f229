//! The validating admission webhook: refuses at `kubectl apply` what compile would refuse.
//!
//! Reconciling checks the same rules again, so the webhook has `failurePolicy: Ignore`: while the operator is down,
//! `kubectl apply` works.

mod certificates;
mod response;
mod review;
mod verdict;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::routing::post;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::body::LimitedBody;
use crate::http::listener::Listener;
use crate::reconcile::CompileState;
use crate::source::{Change, ObjectKey, cluster};
use crate::util::backoff::Backoff;

pub use certificates::CertificateError;
use certificates::{CertificateIssuer, TlsPair};
use verdict::ObjectReader;

/// How often the certificate is read again, or checked for renewal.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(60);
/// Pauses before another attempt to get a certificate.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
/// Limit of a review in bytes: two objects of the largest size that etcd takes.
const MAX_REVIEW_BYTES: usize = 7 << 20;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files that cert-manager, for example, renews.
    Directory(PathBuf),
    /// Issued by the operator for a Service, and published in a webhook configuration.
    SelfMade {
        /// Namespace of the Service and of the Secret.
        namespace: String,
        /// Name of the Service.
        service: String,
        /// Name of the ValidatingWebhookConfiguration.
        configuration: String,
    },
}

/// Options of the webhook.
pub struct Options {
    /// Address, `--webhook-listen`.
    pub listen: SocketAddr,
    /// Where its certificate comes from.
    pub source: Source,
}

/// Serves reviews until stopped, as soon as there is a certificate: the API server may refuse its Secret for a
/// while, and the rest of the operator runs meanwhile.
///
/// # Errors
/// The address is taken.
pub async fn start(
    options: Options,
    client: Client,
    state: Arc<RwLock<CompileState>>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<(), CertificateError> {
    let listener = bind(options.listen).await?;
    let reviewer = Arc::new(Reviewer { state, client: client.clone() });
    let certificates = CertificateSource::new(options.source, client);
    // Without a certificate the listener is closed: the API server is refused at once, and does not wait.
    let (first, listener) = match certificates.load().await {
        Ok(loaded) => (Some(loaded), Some(listener)),
        Err(error) => {
            warn_not_serving(&error);
            (None, None)
        }
    };
    tasks.spawn(async move {
        let prepared =
            stop.run_until_cancelled(prepare(&certificates, options.listen, first, listener)).await;
        let Some((pair, config, listener)) = prepared else { return };
        let router = Router::new().route("/validate", post(validate)).with_state(reviewer);
        let serving = listener.serve_tls(router, config.clone(), stop.clone());
        let renewing = stop.run_until_cancelled(renew(certificates, pair, config));
        tokio::join!(serving, renewing);
    });
    Ok(())
}

/// Retries until there are a certificate and a listener.
async fn prepare(
    certificates: &CertificateSource,
    listen: SocketAddr,
    mut first: Option<(TlsPair, RustlsConfig)>,
    mut listener: Option<Listener>,
) -> (TlsPair, RustlsConfig, Listener) {
    let mut backoff = BACKOFF;
    loop {
        if first.is_none() {
            tokio::time::sleep(backoff.pause()).await;
        }
        let attempt = async {
            let (pair, config) = match first.take() {
                Some(loaded) => loaded,
                None => certificates.load().await?,
            };
            let listener = match listener.take() {
                Some(listener) => listener,
                None => bind(listen).await?,
            };
            Ok::<_, CertificateError>((pair, config, listener))
        };
        match attempt.await {
            Ok(prepared) => return prepared,
            Err(error) => warn_not_serving(&error),
        }
    }
}

fn warn_not_serving(error: &CertificateError) {
    tracing::warn!(%error, "the webhook does not answer yet; retrying");
}

async fn bind(listen: SocketAddr) -> Result<Listener, CertificateError> {
    Ok(Listener::bind("--webhook-listen", listen).await?)
}

/// Replaces the served certificate whenever there is a new one.
async fn renew(certificates: CertificateSource, mut served: TlsPair, config: RustlsConfig) {
    loop {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        let renewed = async {
            let pair = certificates.pair().await?;
            if pair != served {
                pair.load_into(&config).await?;
                tracing::info!("the webhook serves a new certificate");
                served = pair;
            }
            Ok::<_, CertificateError>(())
        };
        if let Err(error) = renewed.await {
            tracing::warn!(%error, "the webhook's certificate was not renewed; the previous one is served");
        }
    }
}

/// Reads or issues the certificate.
enum CertificateSource {
    Directory(PathBuf),
    Issuer(Box<CertificateIssuer>),
}

impl CertificateSource {
    fn new(source: Source, client: Client) -> Self {
        match source {
            Source::Directory(directory) => Self::Directory(directory),
            Source::SelfMade { namespace, service, configuration } => {
                Self::Issuer(Box::new(CertificateIssuer::new(client, namespace, service, configuration)))
            }
        }
    }

    /// The current certificate, and a TLS configuration with it.
    async fn load(&self) -> Result<(TlsPair, RustlsConfig), CertificateError> {
        let pair = self.pair().await?;
        let config = pair.config().await?;
        Ok((pair, config))
    }

    async fn pair(&self) -> Result<TlsPair, CertificateError> {
        match self {
            Self::Directory(directory) => TlsPair::read(directory).await,
            Self::Issuer(issuer) => issuer.pair().await,
        }
    }
}

/// What reviews are answered from.
struct Reviewer {
    state: Arc<RwLock<CompileState>>,
    client: Client,
}

impl ObjectReader for Reviewer {
    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Option<Change>, String>> {
        cluster::get(&self.client, key).boxed()
    }
}

async fn validate(
    State(reviewer): State<Arc<Reviewer>>,
    LimitedBody(body): LimitedBody<MAX_REVIEW_BYTES>,
) -> Result<Json<AdmissionReview<DynamicObject>>, JsonRejection> {
    let Json(review) = Json::from_bytes(&body)?;
    Ok(Json(review::review(&reviewer.state, &*reviewer, review).await))
}
