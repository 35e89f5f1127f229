//! The listener FreeSWITCH asks: HTTP/1.1, one small handler, nothing in between. mod_xml_curl
//! opens a connection for every lookup (contract §1.1), so accepting one must cost little.

mod handler;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::Metrics;
use super::sync;
use super::xml::Answers;
use crate::cdr::intake::Intake;
use crate::cdr::metrics::CdrMetrics;
use crate::http::connection_limit::{ConnectionLimit, ConnectionSlot, Peer};
use crate::http::credentials::{Credentials, CredentialsError, check_exposure};
use crate::http::deadline::ConnectionDeadline;
use crate::http::probe::Probe;
use crate::plan::report::SwitchReport;
use handler::Handler;

/// How long a connection may stay without a request, and the head and the body of one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long requests under way may take when the listener ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Most connections of other hosts to the listener of probes, and most of one of them. Beyond, one is
/// closed as it comes.
const CONNECTIONS: (usize, usize) = (512, 64);
/// Most of them that wait for calls to end (`/drained`).
const WAITERS: (usize, usize) = (16, 4);
/// How often it is told that connections are refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Why the listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// See [`CredentialsError`].
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The address cannot be listened on.
    #[error("{option} {listen}: {}", reason(.source))]
    Listen {
        /// The option that names it.
        option: &'static str,
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
}

fn reason(source: &std::io::Error) -> String {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => "the port is taken by another process".to_owned(),
        _ => source.to_string(),
    }
}

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    /// Lookups, probes and metrics.
    All,
    /// Probes and metrics.
    Pages,
}

/// A listener, open but not yet answering.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    handler: Arc<Handler>,
    serves: Serves,
}

impl Server {
    /// Whether a listener can be opened, without keeping it.
    ///
    /// # Errors
    /// The address is taken, or reachable from elsewhere without credentials.
    pub fn check(listen: SocketAddr, credentials: Option<&Credentials>) -> Result<(), ServerError> {
        check_exposure(listen, credentials)?;
        let listener = std::net::TcpListener::bind(listen);
        listener.map(drop).map_err(|source| ServerError::Listen { option: "--xml-listen", listen, source })
    }

    /// Opens the listener.
    ///
    /// # Errors
    /// The address is taken, or reachable from elsewhere without credentials.
    pub async fn bind(
        listen: SocketAddr,
        credentials: Option<Credentials>,
        answers: Arc<Answers>,
        probe: Arc<dyn Probe>,
    ) -> Result<Self, ServerError> {
        check_exposure(listen, credentials.as_ref())?;
        let listener = open("--xml-listen", listen).await?;
        let metrics = Metrics::new(answers.replica.clone(), probe.clone());
        let cdrs = OnceLock::new();
        let waiters = ConnectionLimit::new(WAITERS.0, WAITERS.1);
        let handler = Handler { credentials, answers, probe, metrics, findings: None, waiters, cdrs };
        let handler = Arc::new(handler);
        Ok(Self { listener, handler, serves: Serves::All })
    }

    /// Where call records are counted.
    pub fn cdr_metrics(&self) -> CdrMetrics {
        self.handler.metrics.cdrs.clone()
    }

    /// Takes call records in from now on; before, none is acknowledged.
    pub fn take_cdrs(&self, intake: Intake) {
        // There is one sidecar, and so one intake.
        let _ = self.handler.cdrs.set(intake);
    }

    /// Opens a second listener, with the same `/healthz`, `/readyz` and `/metrics` and without
    /// lookups: those stay on loopback, and kubelet and Prometheus come from elsewhere. Whoever else
    /// may come cannot take all of it.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn bind_pages(&self, listen: SocketAddr) -> Result<Self, ServerError> {
        let listener = open("--health-listen", listen).await?;
        Ok(Self { listener, handler: self.handler.clone(), serves: Serves::Pages })
    }

    /// Shows what is found on the switch too. To be told before it serves, and before its pages are
    /// bound.
    pub fn show(&mut self, metrics: &sync::Metrics, findings: watch::Receiver<SwitchReport>) {
        if let Some(handler) = Arc::get_mut(&mut self.handler) {
            metrics.register(handler.metrics.registry());
            handler.findings = Some(findings);
        }
    }

    /// The address it listens on, with the port the system chose for port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until cancelled; requests under way are finished then, for two seconds at most.
    pub async fn serve(self, cancel: CancellationToken) {
        let connections = TaskTracker::new();
        let places =
            (self.serves == Serves::Pages).then(|| ConnectionLimit::new(CONNECTIONS.0, CONNECTIONS.1));
        let mut told: Option<Instant> = None;
        while let Some((stream, peer)) = self.accept(&cancel).await {
            let place = match places.as_ref().map(|places| places.take(peer)) {
                Some(None) => {
                    if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                        tracing::warn!(
                            ?peer,
                            "connections to the listener of probes are refused: too many are open"
                        );
                        told = Some(Instant::now());
                    }
                    continue;
                }
                place => place.flatten(),
            };
            let (handler, cancel) = (self.handler.clone(), cancel.clone());
            connections.spawn(connection((stream, peer), place, handler, self.serves, cancel));
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut at the end");
        }
    }

    /// The next connection; none when cancelled. Running out of file descriptors is waited out.
    async fn accept(&self, cancel: &CancellationToken) -> Option<(TcpStream, Peer)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let peer = stream.local_addr().map(|local| Peer::of(peer, local)).unwrap_or_default();
                    return Some((stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn open(option: &'static str, listen: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(listen).await.map_err(|source| ServerError::Listen { option, listen, source })
}

/// Serves a connection, which holds its place until it ends.
async fn connection(
    (stream, peer): (TcpStream, Peer),
    _place: Option<ConnectionSlot>,
    handler: Arc<Handler>,
    serves: Serves,
    cancel: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let patience = Arc::new(ConnectionDeadline::new(PATIENCE));
    let service = service_fn(|request| {
        let (handler, patience) = (handler.clone(), patience.clone());
        async move { Ok::<_, Infallible>(handler.handle(request, serves, peer, &patience).await) }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None); // a timer for each head: `patience` has one for all
    builder.writev(false); // answers are small: one piece is cheaper to write than two
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut timer = pin!(patience.timer());
    let mut cancelled = pin!(cancel.cancelled_owned());
    let mut ending = false;
    let ended = poll_fn(|context| {
        if !ending && cancelled.as_mut().poll(context).is_ready() {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        if patience.poll_ended(&mut timer, context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection ended early");
    }
}
