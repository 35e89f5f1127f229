//! The validating admission webhook: refuses at `kubectl apply` what compile would refuse.
//!
//! Everything is judged again when it is reconciled, so the API server is told to go on where the
//! webhook cannot be reached (`failurePolicy: Ignore`): an operator that is down must not stop
//! others from working.

mod certificates;
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

pub use certificates::CertificateError;
use certificates::{Pair, SelfMade};
use verdict::Origin;

/// How often certificates are looked at again.
const LOOK: Duration = Duration::from_secs(60);
/// First and longest pause before a certificate that could not be had is asked for again.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// Most bytes of a review: two objects of the largest size etcd takes.
const MAX_BODY: usize = 7 << 20;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From files that somebody else renews, such as cert-manager.
    Directory(PathBuf),
    /// Made by ourselves, for a Service, and put into a webhook configuration.
    SelfMade {
        /// Namespace of the Service and of the Secret.
        namespace: String,
        /// Name of the Service.
        service: String,
        /// Name of the ValidatingWebhookConfiguration.
        configuration: String,
    },
}

/// What the webhook needs.
pub struct Options {
    /// Address.
    pub listen: SocketAddr,
    /// Certificate.
    pub source: Source,
}

/// Answers until it is stopped, from when there is a certificate: the API server may refuse its Secret for
/// the moment, and that stops nothing else.
///
/// # Errors
/// The address is taken.
pub async fn start(
    options: Options,
    client: Client,
    known: Arc<RwLock<CompileState>>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<(), CertificateError> {
    let listener = bind(options.listen).await?;
    let judge = Arc::new(Judge { known, client: client.clone() });
    let keeper = Keeper::new(options.source, client);
    // Without a certificate the address is not held: who connects is refused at once, and does not wait.
    let (first, listener) = match keeper.usable().await {
        Ok(usable) => (Some(usable), Some(listener)),
        Err(error) => {
            told(&error);
            (None, None)
        }
    };
    tasks.spawn(async move {
        let begun = stop.run_until_cancelled(begin(&keeper, options.listen, first, listener)).await;
        let Some((pair, config, listener)) = begun else { return };
        let router = Router::new().route("/validate", post(validate)).with_state(judge);
        let serving = listener.serve_tls(router, config.clone(), stop.clone());
        let renewing = stop.run_until_cancelled(keep(keeper, pair, config));
        tokio::join!(serving, renewing);
    });
    Ok(())
}

/// Tries until there are a certificate and a listener.
async fn begin(
    keeper: &Keeper,
    listen: SocketAddr,
    mut first: Option<(Pair, RustlsConfig)>,
    mut listener: Option<Listener>,
) -> (Pair, RustlsConfig, Listener) {
    let mut wait = FIRST_RETRY;
    loop {
        if first.is_none() {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_RETRY);
        }
        let tried = async {
            let (pair, config) = match first.take() {
                Some(usable) => usable,
                None => keeper.usable().await?,
            };
            let listener = match listener.take() {
                Some(listener) => listener,
                None => bind(listen).await?,
            };
            Ok::<_, CertificateError>((pair, config, listener))
        };
        match tried.await {
            Ok(begun) => return begun,
            Err(error) => told(&error),
        }
    }
}

fn told(error: &CertificateError) {
    tracing::warn!(%error, "the webhook does not answer yet; trying again");
}

async fn bind(listen: SocketAddr) -> Result<Listener, CertificateError> {
    Ok(Listener::bind("--webhook-listen", listen).await?)
}

/// Takes a new certificate as soon as there is one.
async fn keep(keeper: Keeper, mut served: Pair, config: RustlsConfig) {
    loop {
        tokio::time::sleep(LOOK).await;
        let renewed = async {
            let pair = keeper.pair().await?;
            if pair != served {
                pair.put_into(&config).await?;
                tracing::info!("the webhook serves a new certificate");
                served = pair;
            }
            Ok::<_, CertificateError>(())
        };
        if let Err(error) = renewed.await {
            tracing::warn!(%error, "the webhook's certificate; the one before stays");
        }
    }
}

/// Gives the certificate that is to be served now.
enum Keeper {
    Directory(PathBuf),
    SelfMade(Box<SelfMade>),
}

impl Keeper {
    fn new(source: Source, client: Client) -> Self {
        match source {
            Source::Directory(directory) => Self::Directory(directory),
            Source::SelfMade { namespace, service, configuration } => {
                Self::SelfMade(Box::new(SelfMade::new(client, namespace, service, configuration)))
            }
        }
    }

    /// The certificate there is, and what serves it.
    async fn usable(&self) -> Result<(Pair, RustlsConfig), CertificateError> {
        let pair = self.pair().await?;
        let config = pair.config().await?;
        Ok((pair, config))
    }

    async fn pair(&self) -> Result<Pair, CertificateError> {
        match self {
            Self::Directory(directory) => Pair::read(directory).await,
            Self::SelfMade(made) => made.pair().await,
        }
    }
}

/// What reviews are judged by.
struct Judge {
    known: Arc<RwLock<CompileState>>,
    client: Client,
}

impl Origin for Judge {
    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Option<Change>, String>> {
        cluster::get(&self.client, key).boxed()
    }
}

async fn validate(
    State(judge): State<Arc<Judge>>,
    LimitedBody(body): LimitedBody<MAX_BODY>,
) -> Result<Json<AdmissionReview<DynamicObject>>, JsonRejection> {
    let Json(review) = Json::from_bytes(&body)?;
    Ok(Json(review::judge(&judge.known, &*judge, review).await))
}
