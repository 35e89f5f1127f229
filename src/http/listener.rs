//! A TCP listener and its server: one function serves every router of Centrex, in the clear or over TLS.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::middleware::AddExtension;
use axum::{Extension, Router};
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::client_certificate::{ClientAcceptor, ClientVerifier};
use super::connection_limit::{ConnectionLimit, ConnectionSlot, Peer};

/// How long the head of a request may take to arrive, from the connection or from the answer before it. A
/// connection without a request ends then too.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests in progress may take when the listener ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Limits of a probe listener: connections of all other hosts, and of one of them.
const MAX_PROBE_CONNECTIONS: usize = 512;
const MAX_PROBE_CONNECTIONS_PER_PEER: usize = 64;

/// At most one warning about refused connections in this time.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{option} {address}: {}", describe(.source))]
pub struct ListenError {
    option: &'static str,
    address: SocketAddr,
    source: io::Error,
}

fn describe(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "the port is taken by another process".to_owned(),
        _ => source.to_string(),
    }
}

/// An open TCP listener that does not accept connections yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    limit: Option<ConnectionLimit>,
    head_timeout: Duration,
}

impl Listener {
    /// Binds an address; `option` is the command-line option that errors name.
    ///
    /// # Errors
    /// The address is taken, or not one of this host.
    pub async fn bind(option: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address, limit: None, head_timeout: HEAD_TIMEOUT })
        };
        bound.await.map_err(|source| ListenError { option, address, source })
    }

    /// Binds an address for probes and metrics, which other hosts reach: connections are limited, in all and for
    /// each peer, and closed on arrival beyond that.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_probes(option: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let limit = ConnectionLimit::new(MAX_PROBE_CONNECTIONS, MAX_PROBE_CONNECTIONS_PER_PEER);
        Ok(Self { limit: Some(limit), ..Self::bind(option, address).await? })
    }

    /// Binds an address that strangers reach, as [`Listener::bind_probes`] does, with limits of its own.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_public(
        option: &'static str,
        address: SocketAddr,
        limit: ConnectionLimit,
    ) -> Result<Self, ListenError> {
        Ok(Self { limit: Some(limit), ..Self::bind(option, address).await? })
    }

    /// The same listener with another deadline for each head.
    #[must_use]
    pub fn with_head_timeout(self, head_timeout: Duration) -> Self {
        Self { head_timeout, ..self }
    }

    /// The address, with the port that the system chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a router until `stop` is cancelled; requests in progress then have two seconds.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let acceptor = Acceptor::new(self.limit);
        let (server, handle) = configure(
            Server::from_listener(self.listener).acceptor(acceptor).http1_only(),
            self.head_timeout,
        );
        drain(server.serve(router.into_make_service()), handle, stop).await;
    }

    /// The same, where a handler may take its connection over, as for a WebSocket.
    pub async fn serve_with_upgrades(self, router: Router, stop: CancellationToken) {
        let mut server = Server::from_listener(self.listener).acceptor(Acceptor::new(self.limit));
        // After its own `http1_only`, axum-server refuses to hand a connection over.
        let builder = server.http_builder();
        *builder = std::mem::replace(builder, Builder::new(TokioExecutor::new())).http1_only();
        let (server, handle) = configure(server, self.head_timeout);
        drain(server.serve(router.into_make_service()), handle, stop).await;
    }

    /// The same over TLS, where clients may negotiate HTTP/2, as the API server does. A certificate that is loaded
    /// into `config` later counts for new connections.
    pub async fn serve_tls(self, router: Router, config: RustlsConfig, stop: CancellationToken) {
        let acceptor = RustlsAcceptor::new(config).acceptor(Acceptor::new(self.limit));
        let (server, handle) =
            configure(Server::from_listener(self.listener).acceptor(acceptor), self.head_timeout);
        drain(server.serve(router.into_make_service()), handle, stop).await;
    }

    /// Serves HTTP/1.1 over TLS to clients that may show a certificate: handlers find it as an [`Extension`], a
    /// [`ClientCertificate`](super::client_certificate::ClientCertificate). A configuration that is loaded into `config` later counts for new connections.
    pub async fn serve_tls_to_clients(
        self,
        router: Router,
        config: RustlsConfig,
        clients: ClientVerifier,
        stop: CancellationToken,
    ) {
        let acceptor = RustlsAcceptor::new(config).acceptor(Acceptor::new(self.limit));
        let acceptor = ClientAcceptor { acceptor, clients };
        let (server, handle) = configure(
            Server::from_listener(self.listener).acceptor(acceptor).http1_only(),
            self.head_timeout,
        );
        drain(server.serve(router.into_make_service()), handle, stop).await;
    }
}

/// Sets a deadline for each head of HTTP/1.1.
fn configure<A>(
    server: Server<SocketAddr, A>,
    head_timeout: Duration,
) -> (Server<SocketAddr, A>, Handle<SocketAddr>) {
    let handle = Handle::new();
    let mut server = server.handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(head_timeout);
    (server, handle)
}

/// Runs a server until it is stopped and its requests have ended, or the time for that is over.
async fn drain(
    server: impl Future<Output = io::Result<()>>,
    handle: Handle<SocketAddr>,
    stop: CancellationToken,
) {
    let mut server = std::pin::pin!(server);
    let ended = tokio::select! {
        ended = &mut server => ended,
        () = stop.cancelled() => {
            handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
            server.await
        }
    };
    if let Err(error) = ended {
        tracing::error!(%error, "an HTTP listener ended");
    }
    let connections = handle.connection_count();
    if connections > 0 {
        tracing::warn!(connections, "connections were closed with requests in progress");
    }
}

/// What a handler can learn about its connection, as an [`Extension`].
#[derive(Clone, Debug)]
pub struct Connection {
    /// The host at the other end.
    pub peer: Peer,
    /// Its address.
    pub address: IpAddr,
    /// Counts the connection until its service is dropped, which is when the connection ends.
    _slot: Option<Arc<ConnectionSlot>>,
}

/// Applies the limit to each connection, and gives the address of its peer to the handlers.
#[derive(Clone, Debug)]
pub(super) struct Acceptor {
    limit: Option<ConnectionLimit>,
    last_warning: Arc<Mutex<Option<Instant>>>,
}

impl Acceptor {
    fn new(limit: Option<ConnectionLimit>) -> Self {
        Self { limit, last_warning: Arc::default() }
    }

    fn admit(&self, stream: &TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        let peer = Peer::new(address, stream.local_addr()?);
        let slot = match &self.limit {
            Some(limit) => Some(limit.try_acquire(peer).ok_or_else(|| self.refuse(peer))?),
            None => None,
        };
        Ok(Connection { peer, address: address.ip().to_canonical(), _slot: slot.map(Arc::new) })
    }

    fn refuse(&self, peer: Peer) -> io::Error {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            tracing::warn!(?peer, "connections are refused: too many are open");
            *last = Some(Instant::now());
        }
        io::ErrorKind::QuotaExceeded.into()
    }
}

impl<S> Accept<TcpStream, S> for Acceptor {
    type Stream = TcpStream;
    type Service = AddExtension<S, Connection>;
    type Future = Ready<io::Result<(TcpStream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admitted = self.admit(&stream);
        ready(admitted.map(|connection| (stream, Extension(connection).layer(service))))
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    /// A server whose `/` takes as long as given, its address, and what stops it.
    async fn start(
        duration: Duration,
        limit: Option<ConnectionLimit>,
    ) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener { limit, ..Listener::bind("--listen", address).await.unwrap() };
        let (address, stop) = (listener.address(), CancellationToken::new());
        let answer = async move || {
            tokio::time::sleep(duration).await;
            "done"
        };
        let router = Router::new().route("/", get(answer));
        (address, stop.clone(), tokio::spawn(listener.serve(router, stop)))
    }

    async fn send(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream
    }

    /// All remaining bytes until the connection ends.
    async fn rest(mut stream: TcpStream) -> String {
        let mut rest = String::new();
        let _ = stream.read_to_string(&mut rest).await;
        rest
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn a_drain_finishes_requests_and_closes_idle_connections() {
        let (address, stop, server) = start(Duration::from_millis(500), None).await;
        let idle = TcpStream::connect(address).await.unwrap();
        let busy = send(address, REQUEST).await;
        stop.cancel();
        let started = Instant::now();
        server.await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        assert!(rest(busy).await.ends_with("done"));
        assert_eq!(rest(idle).await, "");
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn requests_longer_than_the_drain_are_aborted() {
        let (address, stop, server) = start(Duration::from_secs(60), None).await;
        let (busy, half) = (send(address, REQUEST).await, send(address, "GET / HT").await);
        stop.cancel();
        let started = Instant::now();
        server.await.unwrap();
        assert!(started.elapsed() >= DRAIN_TIMEOUT, "{:?}", started.elapsed());
        assert!(started.elapsed() < 2 * DRAIN_TIMEOUT, "{:?}", started.elapsed());
        assert_eq!(rest(busy).await, "");
        assert_eq!(rest(half).await, "");
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_is_closed_and_an_ended_one_makes_room() {
        let (address, _stop, _server) = start(Duration::ZERO, Some(ConnectionLimit::new(1, 1))).await;
        let first = send(address, "").await;
        assert_eq!(rest(TcpStream::connect(address).await.unwrap()).await, "");
        drop(first);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let closing = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(rest(send(address, closing).await).await.ends_with("done"));
    }

    #[tokio::test]
    async fn a_connection_without_a_complete_head_times_out() {
        let (address, _stop, _server) = start(Duration::ZERO, None).await;
        let (silent, half) = (send(address, "").await, send(address, "GET / HT").await);
        let started = Instant::now();
        tokio::join!(rest(silent), rest(half));
        assert!(started.elapsed() > HEAD_TIMEOUT / 2, "{:?}", started.elapsed());
        assert!(started.elapsed() < 2 * HEAD_TIMEOUT, "{:?}", started.elapsed());
    }
}
