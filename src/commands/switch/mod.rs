//! Beside one FreeSWITCH, in every mode: the listeners, the replica they answer from, and the
//! reports of what it holds. Nothing here ends because Postgres is away.

mod command;
mod control;
mod drain;
mod esl;
mod options;
mod report;
mod run;

pub use command::{SwitchCommand, SwitchOrder};
pub use drain::{DrainArgs, ResumeArgs, drain, resume};
pub use esl::{EslArgs, EslArgsError};
pub use options::{AnswerArgs, SwitchArgs};
pub use run::run;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::cdr::delivery::Delivery;
use crate::cdr::err_log_dir::sweep;
use crate::cdr::intake::Intake;
use crate::cdr::metrics::CdrMetrics;
use crate::cdr::spool::SpoolError;
use crate::freeswitch::listener::{self, BindError, Probe, Routes};
use crate::freeswitch::sync;
use crate::freeswitch::sync::{Ending, Live};
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
    #[error("the socket for drain and resume, {path}: {source}")]
    Control { path: PathBuf, source: std::io::Error },
    #[error("the signals that end it cannot be waited for: {0}")]
    Signals(std::io::Error),
}

/// What answers one FreeSWITCH, from the last good state at first.
pub struct Sidecar {
    replica: Arc<Replica>,
    progress: watch::Receiver<Progress>,
    /// Until it follows a store.
    follower: Option<Follower>,
    /// What was found on the switch, and what was applied to it; none where nobody asks it, and then
    /// what the replica holds counts as applied.
    findings: watch::Sender<SwitchReport>,
    applied: watch::Sender<Option<Applied>>,
    /// Where call records go, once it is known.
    database: Arc<OnceLock<Reader>>,
    following: TaskTracker,
    serving: TaskTracker,
    stop_serving: CancellationToken,
}

impl Sidecar {
    /// Opens the listeners, and restores the last good state. Lookups are not answered at `health`.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub async fn open(
        args: &AnswerArgs,
        health: Option<SocketAddr>,
        data_dir: &Path,
        keyring: Arc<Keyring>,
        probe: impl FnOnce(Arc<Replica>, watch::Receiver<Progress>) -> Arc<dyn Probe>,
    ) -> Result<Self, SidecarError> {
        let live = args.esl.options()?;
        let replica = Arc::new(Replica::default());
        let cache = Cache::open(&data_dir.join("replica"), keyring)?;
        let mut follower = Follower::new(replica.clone(), Some(cache));
        let progress = follower.progress();
        let answers = Arc::new(Answers {
            replica: replica.clone(),
            key: follower.key(),
            media: args.media_root(data_dir)?,
            templates: args.read_templates()?,
            running: ProfileOverrides::default(),
        });
        let credentials = args.credentials()?;
        let xml_listener = listener::bind(args.xml_listen, credentials.as_ref()).await?;
        let probe = probe(replica.clone(), progress.clone());
        let findings = watch::Sender::<SwitchReport>::default();
        // Nothing is applied before the switch was asked.
        let applied = watch::Sender::new(live.is_some().then(Applied::default));
        let (spool, key, cdr_metrics) = (data_dir.join("cdrs"), follower.key(), CdrMetrics::default());
        let delivery = Delivery::new(key, replica.clone(), args.cdr_xml, cdr_metrics.clone());
        let (intake, worker) = Intake::open(&spool, args.cdr_spool_bytes, delivery)?;
        let metrics = sync::Metrics::default();
        let mut routes =
            Routes::new(answers.clone(), probe, credentials).with_cdrs(intake.clone(), cdr_metrics);
        if live.is_some() {
            routes = routes.with_switch(metrics.clone(), findings.subscribe());
        }
        let (all_routes, probe_routes) = routes.into_routers();
        let (serving, stop_serving) = (TaskTracker::new(), CancellationToken::new());
        if let Some(health) = health {
            let probe_listener = Listener::bind_probes("--health-listen", health).await?;
            info!(listen = %probe_listener.address(), "answering probes");
            serving.spawn(probe_listener.serve(probe_routes, stop_serving.clone()));
        }
        info!(listen = %xml_listener.address(), "answering mod_xml_curl");
        serving.spawn(xml_listener.serve(all_routes, stop_serving.clone()));
        follower.restore().await;
        if let Some(options) = live {
            let (order, orders) = mpsc::channel(1);
            let control = Control::bind(data_dir, order, findings.subscribe())?;
            serving.spawn(control.serve(stop_serving.clone()));
            let applied_now = applied.subscribe();
            let (progress, applied, findings) = (progress.clone(), applied.clone(), findings.clone());
            let ending = Ending::of(data_dir);
            let live = Live { options, answers, progress, orders, ending, findings, applied, metrics };
            follower.watch(applied_now);
            serving.spawn(live.run(follower.restored(), stop_serving.clone()));
        }
        let database = Arc::default();
        serving.spawn(worker.run(Arc::clone(&database), stop_serving.clone()));
        if let Some(leftovers) = &args.cdr_leftovers {
            serving.spawn(sweep(leftovers.clone(), intake, stop_serving.clone()));
        }
        let following = TaskTracker::new();
        Ok(Self {
            replica,
            progress,
            follower: Some(follower),
            findings,
            applied,
            database,
            following,
            serving,
            stop_serving,
        })
    }

    /// What is found on the switch, as it changes.
    pub fn findings(&self) -> watch::Receiver<SwitchReport> {
        self.findings.subscribe()
    }

    /// What is answered from.
    pub fn replica(&self) -> Arc<Replica> {
        self.replica.clone()
    }

    /// How far the replica is, as it changes.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// What it holds now, as it would report it.
    pub fn holds(&self) -> Ack {
        let info = SwitchInfo { name: crate::util::hostname::name(), hostname: None };
        let state = SwitchState {
            platform: self.replica.platform_revision(),
            tenants: self.replica.revisions().into_iter().collect(),
            ..SwitchState::default()
        };
        Ack::Reset { reporting: vec![(info, state)], silent: Vec::new() }
    }

    /// Follows a store and reports to it, under a name, until stopped. Asked again, it goes on.
    pub fn follow(&mut self, options: &StoreOptions, name: &str, stop: &CancellationToken) {
        let Some(follower) = self.follower.take() else { return };
        let reader = Reader::lazy(options);
        let info = SwitchInfo { name: name.to_owned(), hostname: Some(crate::util::hostname::name()) };
        let watched = report::Watched {
            replica: self.replica.clone(),
            progress: self.progress.clone(),
            applied: self.applied.subscribe(),
            findings: self.findings.subscribe(),
        };
        self.following.spawn(report::report(reader.clone(), info, watched, stop.clone()));
        let _ = self.database.set(reader.clone()); // asked once: there is one follower
        self.following.spawn(follower.run(reader, stop.clone()));
    }

    /// Waits until it no longer needs the store, after it was stopped.
    pub async fn followed(&self) {
        self.following.close();
        self.following.wait().await;
    }

    /// Answers until now, and ends.
    pub async fn close(self) {
        self.stop_serving.cancel();
        self.serving.close();
        self.serving.wait().await;
        info!("ended");
    }
}

/// A directory that an option names, made where it is not there.
pub(crate) fn directory(option: &'static str, path: &Path) -> Result<PathBuf, SidecarError> {
    let made = std::fs::create_dir_all(path).and_then(|()| std::fs::canonicalize(path));
    made.map_err(|source| SidecarError::Directory { option, path: path.to_owned(), source })
}
