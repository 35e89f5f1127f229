//! The sidecar of one FreeSWITCH, the same in every mode: the listeners, the replica that they answer from, and the
//! reports of its applied revisions. The switch keeps running while Postgres is unreachable.

mod command;
mod control;
mod drain;
mod esl;
mod options;
mod report;
mod run;
mod sip_websocket;

pub use command::{SwitchCommand, SwitchOrder};
pub use drain::{DrainArgs, ResumeArgs, drain, resume};
pub use esl::{EslArgs, EslArgsError};
pub use options::{AnswerArgs, SwitchArgs};
pub use run::run;
pub use sip_websocket::SipWebsocketArgs;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::cdr::delivery::Delivery;
use crate::cdr::err_log_dir::sweep;
use crate::cdr::intake::Intake;
use crate::cdr::metrics::CdrMetrics;
use crate::cdr::spool::SpoolError;
use crate::commands::api::SiteArgs;
use crate::freeswitch::Destination;
use crate::freeswitch::emergency_calls::EmergencyCalls;
use crate::freeswitch::esl::Client;
use crate::freeswitch::listener::{self, BindError, Probe, Routes};
use crate::freeswitch::notify::Notifier;
use crate::freeswitch::registrations;
use crate::freeswitch::registrations::Registrations;
use crate::freeswitch::sync;
use crate::freeswitch::sync::{Live, PodEndingMarker};
use crate::freeswitch::xml::Answers;
use crate::freeswitch::xml::profile_overrides::ProfileOverrides;
use crate::freeswitch::xml::templates::TemplateError;
use crate::http::credentials::CredentialsError;
use crate::http::listener::{ListenError, Listener};
use crate::plan::report::{Ack, SwitchInfo, SwitchState};
use crate::plan::report::{Applied, SwitchReport};
use crate::replica::cache::{Cache, CacheError};
use crate::replica::follow::{Follower, Progress};
use crate::replica::tenants::Replica;
use crate::route::media::MediaRootError;
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::sip_websocket::{self as relay, Relay};
use crate::store::{Reader, StoreError, StoreOptions};
use control::Control;

/// Why a sidecar does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SidecarError {
    #[error("{option} {path}: {source}")]
    Directory { option: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("--data-dir: {0}")]
    Cache(#[from] CacheError),
    #[error("--data-dir: {0}")]
    Spool(#[from] SpoolError),
    #[error("--xml-username, --xml-password: {0}")]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("--templates: {0}")]
    Templates(#[from] TemplateError),
    #[error("--media-dir: {0}")]
    Media(#[from] MediaRootError),
    #[error(
        "--name {0:?}: allowed are 1 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends"
    )]
    Name(String),
    #[error(transparent)]
    Esl(#[from] EslArgsError),
    #[error("the socket of drain and resume, {path}: {source}")]
    Control { path: PathBuf, source: std::io::Error },
    #[error("SIGTERM and SIGINT cannot be handled: {0}")]
    Signals(std::io::Error),
}

/// Answers one FreeSWITCH, from the last good state at first.
pub struct Sidecar {
    replica: Arc<Replica>,
    progress: watch::Receiver<Progress>,
    /// `None` as soon as it follows a store.
    follower: Option<Follower>,
    /// What the event socket reports of the switch.
    report: watch::Sender<SwitchReport>,
    /// The revisions applied to the switch. `None` without an event socket: the replica's count as applied.
    applied: watch::Sender<Option<Applied>>,
    /// Where call records go, once `follow` was called.
    database: Arc<OnceLock<Reader>>,
    /// Registrations of the switch, and its event socket, where there is one.
    connection: Option<(Registrations, watch::Receiver<Option<Client>>)>,
    /// The same for emergency calls and registrations.
    destination: Arc<OnceLock<Destination>>,
    following: TaskTracker,
    serving: TaskTracker,
    stop_serving: CancellationToken,
}

impl Sidecar {
    /// Opens the listeners, and restores the last good state. The address `health` gets probes and metrics alone.
    /// `more_metrics` registers those of other parts of the process.
    ///
    /// # Errors
    /// An option is wrong, or an address is taken.
    pub async fn open(
        args: &AnswerArgs,
        health: Option<SocketAddr>,
        data_dir: &Path,
        keyring: Arc<Keyring>,
        probe: impl FnOnce(Arc<Replica>, watch::Receiver<Progress>) -> Arc<dyn Probe>,
        more_metrics: impl FnOnce(&mut Registry),
    ) -> Result<Self, SidecarError> {
        let live = args.esl.options()?;
        // Before the listeners open: FreeSWITCH ends at an answer that has to wait for the data.
        let _ = tokio::task::spawn_blocking(crate::numbers::load).await;
        let replica = Arc::new(Replica::default());
        let cache = Cache::open(&data_dir.join("replica"), keyring)?;
        let mut follower = Follower::new(replica.clone(), Some(cache));
        let progress = follower.progress();
        let waiting = data_dir.join("emergency-calls");
        let (emergency_calls, recorder) = EmergencyCalls::open(&waiting).map_err(|source| {
            SidecarError::Directory { option: "--data-dir", path: waiting.clone(), source }
        })?;
        let answers = Arc::new(Answers {
            replica: replica.clone(),
            key: follower.key(),
            media: args.media_root(data_dir)?,
            templates: args.read_templates()?,
            running: ProfileOverrides::default(),
            emergencies: emergency_calls,
        });
        let credentials = args.credentials()?;
        let xml_listener = listener::bind(args.xml_listen, credentials.as_ref()).await?;
        let probe = probe(replica.clone(), progress.clone());
        let report = watch::Sender::<SwitchReport>::default();
        // Nothing counts as applied before the first comparison.
        let applied = watch::Sender::new(live.is_some().then(Applied::default));
        let (spool, key, cdr_metrics) = (data_dir.join("cdrs"), follower.key(), CdrMetrics::default());
        let delivery = Delivery::new(key, replica.clone(), args.cdr_xml, cdr_metrics.clone());
        let (intake, cdr_writer) = Intake::open(&spool, args.cdr_spool_bytes, delivery)?;
        let metrics = sync::Metrics::default();
        let mut routes =
            Routes::new(answers.clone(), probe, credentials).with_cdrs(intake.clone(), cdr_metrics);
        if live.is_some() {
            routes = routes.with_switch(metrics.clone(), report.subscribe());
        }
        let relay_metrics = relay::Metrics::default();
        let relay = match args.sip_websocket.options() {
            None => None,
            Some((listen, options)) => Some((Relay::bind(listen).await?, options)),
        };
        let has_relay = relay.is_some();
        let (all_routes, probe_routes) = routes.into_routers(|registry| {
            if has_relay {
                relay_metrics.register(registry);
            }
            more_metrics(registry);
        });
        let (serving, stop_serving) = (TaskTracker::new(), CancellationToken::new());
        if let Some(health) = health {
            let probe_listener = Listener::bind_probes("--health-listen", health).await?;
            info!(listen = %probe_listener.address(), "answering probes");
            serving.spawn(probe_listener.serve(probe_routes, stop_serving.clone()));
        }
        info!(listen = %xml_listener.address(), "answering mod_xml_curl");
        serving.spawn(xml_listener.serve(all_routes, stop_serving.clone()));
        if let Some((listener, options)) = relay {
            info!(listen = %listener.address(), "relaying SIP over WebSocket");
            let (replica, stop) = (replica.clone(), stop_serving.clone());
            serving.spawn(Relay::serve(listener, replica, options, relay_metrics, stop));
        }
        follower.restore().await;
        let (registrations, client) = (Registrations::default(), watch::Sender::default());
        let connection = live.is_some().then(|| (registrations.clone(), client.subscribe()));
        let mut registration_writer = None;
        if let Some(options) = live {
            let (order, orders) = mpsc::channel(1);
            let control = Control::bind(data_dir, order, report.subscribe())?;
            serving.spawn(control.serve(stop_serving.clone()));
            let applied_now = applied.subscribe();
            let (progress, applied, findings) = (progress.clone(), applied.clone(), report.clone());
            let ending = PodEndingMarker::of(data_dir);
            registration_writer = Some(registrations::Writer::new(registrations.clone(), replica.clone()));
            let live = Live {
                options,
                answers,
                progress,
                orders,
                ending,
                findings,
                registrations,
                client,
                applied,
                metrics,
            };
            follower.watch(applied_now);
            serving.spawn(live.run(follower.restored(), stop_serving.clone()));
        }
        let database = Arc::default();
        let destination = Arc::default();
        if let Some(writer) = registration_writer {
            serving.spawn(writer.run(Arc::clone(&destination), stop_serving.clone()));
        }
        serving.spawn(recorder.run(Arc::clone(&destination), stop_serving.clone()));
        serving.spawn(cdr_writer.run(Arc::clone(&database), stop_serving.clone()));
        if let Some(leftovers) = &args.cdr_leftovers {
            serving.spawn(sweep(leftovers.clone(), intake, stop_serving.clone()));
        }
        let following = TaskTracker::new();
        Ok(Self {
            replica,
            progress,
            follower: Some(follower),
            report,
            applied,
            connection,
            database,
            destination,
            following,
            serving,
            stop_serving,
        })
    }

    /// What the event socket reports of the switch, as it changes.
    pub fn report(&self) -> watch::Receiver<SwitchReport> {
        self.report.subscribe()
    }

    /// The replica that lookups are answered from.
    pub fn replica(&self) -> Arc<Replica> {
        self.replica.clone()
    }

    /// Progress of the replica, as it changes.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The revisions that the replica has now, as a report.
    pub fn ack(&self) -> Ack {
        let info = SwitchInfo { name: crate::util::hostname::name(), hostname: None };
        let state = SwitchState {
            platform: self.replica.platform_revision(),
            tenants: self.replica.revisions().into_iter().collect(),
            ..SwitchState::default()
        };
        Ack::Reset { reporting: vec![(info, state)], silent: Vec::new() }
    }

    /// Makes phones read their configuration when it changes, if there is an event socket and phones fetch from us.
    /// `site` is that of the server of their files.
    pub fn notify_phones(&mut self, site: &SiteArgs) {
        let (Some((registrations, client)), Some(provisioning_urls)) = (self.connection.take(), site.urls())
        else {
            return;
        };
        let notifier = Notifier {
            replica: self.replica.clone(),
            progress: self.progress.clone(),
            registrations,
            client,
            provisioning_urls,
            ntp_server: site.ntp_server.clone(),
        };
        self.serving.spawn(notifier.run(Arc::clone(&self.destination), self.stop_serving.clone()));
    }

    /// Follows a store and reports to it, under a name, until stopped. Further calls do nothing.
    pub fn follow(&mut self, options: &StoreOptions, name: &str, stop: &CancellationToken) {
        let Some(follower) = self.follower.take() else { return };
        let reader = Reader::lazy(options);
        let info = SwitchInfo { name: name.to_owned(), hostname: Some(crate::util::hostname::name()) };
        let reported = report::Reported {
            replica: self.replica.clone(),
            progress: self.progress.clone(),
            applied: self.applied.subscribe(),
            report: self.report.subscribe(),
        };
        self.following.spawn(report::report(reader.clone(), info, reported, stop.clone()));
        let _ = self.database.set(reader.clone()); // set once: there is one follower
        let _ = self.destination.set((reader.clone(), name.to_owned()));
        self.following.spawn(follower.run(reader, stop.clone()));
    }

    /// Waits, after a stop, until the store is no longer used.
    pub async fn stop_following(&self) {
        self.following.close();
        self.following.wait().await;
    }

    /// Stops answering FreeSWITCH, and waits for the end of every task.
    pub async fn close(self) {
        self.stop_serving.cancel();
        self.serving.close();
        self.serving.wait().await;
        info!("ended");
    }
}

/// The canonical path of a directory that an option names, created if missing.
///
/// # Errors
/// The directory cannot be created.
pub(crate) fn directory(option: &'static str, path: &Path) -> Result<PathBuf, SidecarError> {
    let path_of = std::fs::create_dir_all(path).and_then(|()| std::fs::canonicalize(path));
    path_of.map_err(|source| SidecarError::Directory { option, path: path.to_owned(), source })
}
