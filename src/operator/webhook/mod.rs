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

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::reconcile::Known;
use crate::source::{Change, ObjectKey, cluster};

pub use certificates::CertificateError;
use certificates::{Pair, SelfMade};
use verdict::Origin;

/// How often certificates are looked at again.
const LOOK: Duration = Duration::from_secs(60);
/// How long reviews under way may take at the end.
const DRAIN: Duration = Duration::from_secs(2);
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

/// Opens the listener and answers until it is stopped.
///
/// # Errors
/// The address is taken, or there is no certificate.
pub async fn start(
    options: Options,
    client: Client,
    known: Arc<RwLock<Known>>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<(), CertificateError> {
    let listen = |source| CertificateError::Listen { listen: options.listen, source };
    let listener = std::net::TcpListener::bind(options.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let judge = Arc::new(Judge { known, client: client.clone() });
    let keeper = Keeper::new(options.source, client);
    let first = keeper.pair().await?;
    let config = first.config().await?;
    let app = Router::new()
        .route("/validate", post(validate))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(judge);
    let handle = Handle::<SocketAddr>::new();
    let server =
        axum_server::from_tcp_rustls(listener, config.clone()).map_err(listen)?.handle(handle.clone());
    tasks.spawn(async move {
        if let Err(error) = server.serve(app.into_make_service()).await {
            tracing::error!(%error, "the webhook's listener ended");
        }
    });
    tasks.spawn(async move {
        let renewing = keep(keeper, first, config);
        stop.run_until_cancelled(renewing).await;
        handle.graceful_shutdown(Some(DRAIN));
    });
    Ok(())
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

    async fn pair(&self) -> Result<Pair, CertificateError> {
        match self {
            Self::Directory(directory) => Pair::read(directory).await,
            Self::SelfMade(made) => made.pair().await,
        }
    }
}

/// What reviews are judged by.
struct Judge {
    known: Arc<RwLock<Known>>,
    client: Client,
}

impl Origin for Judge {
    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Option<Change>, String>> {
        cluster::get(&self.client, key).boxed()
    }
}

async fn validate(
    State(judge): State<Arc<Judge>>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    Json(review::judge(&judge.known, &*judge, review).await)
}
