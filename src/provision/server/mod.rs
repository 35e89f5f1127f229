//! The server that phones fetch their configuration from. Anyone on the Internet may ask it: a phone that does not exist
//! is answered like one whose credential is wrong, with the same bytes, at the same cost.
//!
//! A file's name says which vendor's file it is and of which MAC address; the credential says whose phone asks. Passwords
//! are compared with hashes in memory, so that no stranger makes Postgres work; they are read from Postgres for a phone
//! that showed its own.

mod access;
mod certificate;
mod credential;
mod digest;
mod files;
mod metrics;
mod networks;
mod nonce;
mod outcome;
mod recorder;
mod response;
mod throttle;
mod tls;
mod user_agent;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequest, Request, State};
use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::{Extension, Router};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::body::LimitedBody;
use crate::http::client_certificate::ClientCertificate;
use crate::http::connection_limit::ConnectionLimit;
use crate::http::listener::{Connection, ListenError, Listener};
use crate::phones::ProvisioningUrls;
use crate::provision::{FileName, Templates};
use crate::replica::follow::Progress;
use crate::replica::tenants::Replica;
use crate::resources::device::Vendor;
use crate::store::Reader;
use crate::store::phones::Fetch;
use access::{Attempt, Decision, TenantDevice, decide};
use files::{File, FileError, Files};
use networks::{Client, HttpNetworks};
use nonce::Nonces;
use outcome::Outcome;
use recorder::{Entry, Recorder, Writer, recorder};
use throttle::Throttle;
use tls::Tls;

pub use metrics::Metrics;
pub use networks::Networks;
pub use throttle::Limits;
pub use tls::{TlsError, TlsFiles};

/// Folder of the files, in every address.
const FOLDER: &str = "/provision/";
/// Most bytes of a name in an address.
const MAX_NAME: usize = 192;
/// Most bytes of an upload that are read before it is refused.
const MAX_UPLOAD: usize = 64 << 10;
/// Connections at one time: of all addresses, and of one of them, behind which may be an office.
const MAX_CONNECTIONS: usize = 4096;
const MAX_CONNECTIONS_PER_PEER: usize = 256;
/// How often files that are in memory no longer are.
const FORGET_INTERVAL: std::time::Duration = std::time::Duration::from_secs(2);

/// What the installation says about fetching.
#[derive(Debug)]
pub struct Options {
    /// Address that phones fetch from, without a slash at its end.
    pub urls: ProvisioningUrls,
    /// Host of the time server.
    pub ntp_server: String,
    /// Networks that phones may fetch from; all if empty.
    pub allowed_networks: Networks,
    /// Proxies whose word about a client's address counts.
    pub trusted_proxies: Networks,
    /// Limits of requests.
    pub limits: Limits,
    /// Templates of the files.
    pub templates: Templates,
}

/// Open listeners, which accept nothing yet.
pub struct Listeners {
    tls: Option<(Listener, Tls)>,
    http: Option<Listener>,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServerError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Listeners {
    /// Opens the listeners: one with TLS, one without, or both.
    ///
    /// # Errors
    /// An address is taken, or a file of the certificate cannot be used.
    pub async fn bind(
        tls: Option<(SocketAddr, TlsFiles)>,
        http: Option<SocketAddr>,
        trusted_proxies: &Networks,
    ) -> Result<Self, ServerError> {
        // A proxy opens the connections of everybody.
        let per_peer = if trusted_proxies.is_empty() { MAX_CONNECTIONS_PER_PEER } else { MAX_CONNECTIONS };
        let limit = || ConnectionLimit::new(MAX_CONNECTIONS, per_peer);
        let tls = match tls {
            Some((address, files)) => {
                let tls = Tls::load(files).await?;
                Some((Listener::bind_public("--provision-listen", address, limit()).await?, tls))
            }
            None => None,
        };
        let http = match http {
            Some(address) => Some(Listener::bind_public("--provision-http-listen", address, limit()).await?),
            None => None,
        };
        Ok(Self { tls, http })
    }

    /// The addresses, with the ports that the system chose for port 0: with TLS, and without.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.tls.as_ref().map(|(listener, _)| listener.address()), self.http.as_ref().map(Listener::address))
    }
}

/// The server.
pub struct Server {
    replica: Arc<Replica>,
    progress: watch::Receiver<Progress>,
    reader: Reader,
    allowed_networks: Networks,
    trusted_proxies: Networks,
    http_networks: HttpNetworks,
    throttle: Throttle,
    files: Files,
    recorder: Recorder,
    metrics: Metrics,
}

/// Whether a listener has TLS.
#[derive(Clone, Copy, Debug)]
struct IsTls(bool);

impl Server {
    /// Starts serving, as tasks that end when stopped.
    pub fn start(
        options: Options,
        listeners: Listeners,
        (replica, progress): (Arc<Replica>, watch::Receiver<Progress>),
        reader: Reader,
        metrics: Metrics,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let (server, writer) = Self::new(options, replica, progress, reader, metrics);
        let ended = CancellationToken::new();
        let serving = TaskTracker::new();
        if let Some((listener, tls)) = listeners.tls {
            tracing::info!(listen = %listener.address(), "phones are served over TLS");
            let (config, clients) = tls.parts();
            let router = server.clone().router(true);
            serving.spawn(listener.serve_tls_to_clients(router, config, clients, stop.clone()));
            tasks.spawn(tls.follow(stop.clone()));
        }
        if let Some(listener) = listeners.http {
            tracing::info!(listen = %listener.address(), "phones that may are served without TLS");
            serving.spawn(listener.serve(server.clone().router(false), stop.clone()));
        }
        serving.close();
        let stopped = ended.clone();
        // What the last requests were is written too.
        tasks.spawn(async move {
            serving.wait().await;
            ended.cancel();
        });
        tasks.spawn(writer.run(stopped.clone()));
        tasks.spawn(async move {
            while stopped.run_until_cancelled(tokio::time::sleep(FORGET_INTERVAL)).await.is_some() {
                server.files.forget_old();
            }
        });
    }

    fn new(
        options: Options,
        replica: Arc<Replica>,
        progress: watch::Receiver<Progress>,
        reader: Reader,
        metrics: Metrics,
    ) -> (Arc<Self>, Writer) {
        let Options { urls, ntp_server, allowed_networks, trusted_proxies, limits, templates } = options;
        let (recorder, writer) = recorder(reader.clone(), metrics.clone());
        let server = Self {
            replica,
            progress,
            files: Files::new(reader.clone(), templates, urls, ntp_server),
            reader,
            allowed_networks,
            trusted_proxies,
            http_networks: HttpNetworks::default(),
            throttle: Throttle::new(limits),
            recorder,
            metrics,
        };
        (Arc::new(server), writer)
    }

    fn router(self: Arc<Self>, is_tls: bool) -> Router {
        Router::new().fallback(handle).layer(Extension(IsTls(is_tls))).with_state(self)
    }

    /// Answers a request whose head has arrived.
    async fn answer(self: Arc<Self>, request: Request, is_tls: bool) -> Response {
        let connection = request.extensions().get::<Connection>();
        let Some(peer) = connection.map(|connection| connection.address) else {
            return response::empty(http::StatusCode::INTERNAL_SERVER_ERROR);
        };
        let certificate = request.extensions().get::<ClientCertificate>().cloned().unwrap_or_default();
        let (parts, body) = request.into_parts();
        let Some(name) = parts.uri.path().strip_prefix(FOLDER) else {
            return response::empty(http::StatusCode::NOT_FOUND);
        };
        if parts.method != Method::GET && parts.method != Method::HEAD {
            // The answer to an upload is read by a client that could send all of it.
            let _ = LimitedBody::<MAX_UPLOAD>::from_request(Request::new(body), &()).await;
            self.metrics.count(None, Outcome::Method);
            return response::method_not_allowed();
        }
        let Some(file) = file_name(name) else {
            self.metrics.count(None, Outcome::NoFile);
            return response::empty(http::StatusCode::NOT_FOUND);
        };
        if !self.progress.borrow().filled {
            self.metrics.count(None, Outcome::Unavailable);
            return response::unavailable();
        }
        let client = Client::new(peer, is_tls, &parts.headers, &self.trusted_proxies);
        if !client.is_secure && !self.http_networks.contain(client.address, &self.replica) {
            self.metrics.count(None, Outcome::NeedsTls);
            return response::needs_tls();
        }
        if !self.throttle.request(client.address, Instant::now()) {
            self.metrics.count(None, Outcome::Throttled);
            return response::throttled();
        }
        let user_agent = user_agent::text(&parts.headers);
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let attempt = Attempt {
            file,
            method: &parts.method,
            target,
            headers: &parts.headers,
            client,
            certificate: certificate.0.and_then(|der| certificate::mac(&der)),
            user_agent: &user_agent,
            now: Timestamp::now(),
        };
        let nonces = self.progress.borrow().signing_key.clone().map(Nonces::new);
        let asked = RecordedRequest {
            name: name.to_owned(),
            client,
            user_agent: user_agent.clone(),
            at: attempt.now,
        };
        match decide(&self.replica, nonces.as_ref(), &self.allowed_networks, &attempt) {
            Decision::Granted(known) => self.serve(&known, file, &parts.headers, &asked).await,
            Decision::Enrolling(known, until, guess) => {
                self.count_guess(client.address, guess.as_deref());
                let (outcome, answer) = self.enroll(&known, file, until, client, nonces.as_ref()).await;
                self.finish(Some(&known), outcome, None, &asked);
                answer
            }
            Decision::Refused(refusal) => {
                self.count_guess(client.address, refusal.guess.as_deref());
                let answer = response::unauthorized(client.is_secure, nonces.as_ref(), refusal.is_stale);
                // After the answer, which would else come later for a Device than for a MAC address that none has.
                let server = self.clone();
                tokio::spawn(async move {
                    server.finish(refusal.device.as_ref(), refusal.outcome, None, &asked);
                });
                answer
            }
        }
    }

    /// Counts a wrong credential against its address.
    fn count_guess(&self, address: IpAddr, guess: Option<&[u8]>) {
        if guess.is_some_and(|guess| self.throttle.wrong(address, guess, Instant::now())) {
            tracing::warn!(%address, "an address has shown too many wrong credentials of phones; all its requests are refused for some minutes");
        }
    }

    /// Answers a phone that showed the right credential.
    async fn serve(
        &self,
        known: &TenantDevice,
        file: FileName,
        headers: &HeaderMap,
        asked: &RecordedRequest,
    ) -> Response {
        if !self.throttle.fetch(known.view.plan.tenant.id, &known.device, Instant::now()) {
            self.finish(Some(known), Outcome::Throttled, None, asked);
            return response::throttled();
        }
        self.throttle.right(asked.client.address);
        match self.files.of(&self.replica, known, file).await {
            Ok(file) => {
                let is_known = response::is_known(headers.get_all(IF_NONE_MATCH), &file.etag);
                let outcome = if is_known { Outcome::NotModified } else { Outcome::Served };
                self.finish(Some(known), outcome, file.fingerprint, asked);
                if is_known { response::not_modified(&file) } else { response::file(&file) }
            }
            Err(error) => self.no_file(known, &error, asked),
        }
    }

    fn no_file(&self, known: &TenantDevice, error: &FileError, asked: &RecordedRequest) -> Response {
        let (outcome, answer) = failure(known, error);
        self.finish(Some(known), outcome, None, asked);
        answer
    }

    /// Answers a phone in its enrollment window.
    async fn enroll(
        &self,
        known: &TenantDevice,
        file: FileName,
        until: Timestamp,
        client: Client,
        nonces: Option<&Nonces>,
    ) -> (Outcome, Response) {
        let refused = || response::unauthorized(client.is_secure, nonces, false);
        let (file, has_password): (File, bool) = match self.files.bootstrap(&self.replica, known, file).await
        {
            Ok(made) => made,
            Err(FileError::NotMade | FileError::Gone) => return (Outcome::Challenged, refused()),
            Err(error) => return failure(known, &error),
        };
        if !has_password {
            return (Outcome::Served, response::file(&file));
        }
        match self.reader.enroll(known.view.plan.tenant.id, &known.device, until).await {
            Ok(true) => {
                let tenant = &known.view.plan.tenant;
                tracing::info!(namespace = tenant.namespace, device = known.device, address = %client.address, "a phone got its provisioning password in its enrollment window");
                (Outcome::Enrolled, response::file(&file))
            }
            Ok(false) => (Outcome::Challenged, refused()),
            Err(error) => failure(known, &FileError::Store(error)),
        }
    }

    /// Counts an answer, and records it for a Device.
    fn finish(
        &self,
        known: Option<&TenantDevice>,
        outcome: Outcome,
        fingerprint: Option<[u8; 32]>,
        asked: &RecordedRequest,
    ) {
        let row = known.and_then(|known| Some((known, known.row()?)));
        let vendor: Option<Vendor> = row.map(|(_, row)| row.vendor);
        self.metrics.count(vendor, outcome);
        let Some((known, row)) = row else { return };
        // Most phones send their credential after a challenge only: each would be in the history twice.
        if outcome == Outcome::Challenged {
            return;
        }
        let tenant = &known.view.plan.tenant;
        let fetch = Fetch {
            tenant: tenant.id,
            device: known.device.clone(),
            at: asked.at,
            address: asked.client.address,
            user_agent: asked.user_agent.clone(),
            file: asked.name.clone(),
            result: outcome.name(),
            fingerprint,
        };
        let (namespace, phone) = (tenant.namespace.clone(), short(&row.mac));
        self.recorder.record(Entry { fetch, outcome, namespace, phone });
    }
}

/// What is recorded of a request.
struct RecordedRequest {
    /// The file's name, as it was sent.
    name: String,
    client: Client,
    user_agent: String,
    at: Timestamp,
}

async fn handle(
    State(server): State<Arc<Server>>,
    Extension(IsTls(is_tls)): Extension<IsTls>,
    request: Request,
) -> Response {
    server.answer(request, is_tls).await
}

/// Why a phone with the right credential gets no file, for the log and for the phone. It goes on with the configuration
/// that it has.
fn failure(known: &TenantDevice, error: &FileError) -> (Outcome, Response) {
    let (namespace, device) = (&known.view.plan.tenant.namespace, &known.device);
    match error {
        FileError::NotMade => (Outcome::NotMade, response::empty(http::StatusCode::NOT_FOUND)),
        FileError::Gone => (Outcome::Credential, response::empty(http::StatusCode::NOT_FOUND)),
        FileError::Store(cause) => {
            tracing::warn!(category = cause.category(), %cause, namespace, device, "the passwords of a phone cannot be read");
            (Outcome::Unavailable, response::unavailable())
        }
        FileError::NoServer | FileError::Render(_) => {
            tracing::error!(%error, namespace, device, "a phone's file cannot be made");
            (Outcome::Failed, response::unavailable())
        }
    }
}

/// The file of a name in an address.
fn file_name(name: &str) -> Option<FileName> {
    if name.len() > MAX_NAME {
        return None;
    }
    FileName::parse(&percent_decode_str(name).decode_utf8().ok()?)
}

/// A MAC address as logs have it: its maker, and its last two digits.
fn short(mac: &str) -> String {
    format!("{}:…:{}", mac.get(..8).unwrap_or_default(), mac.get(15..).unwrap_or_default())
}
