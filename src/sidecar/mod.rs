//! The sidecar of one FreeSWITCH: replica, answers, reports.

mod options;
mod report;

pub use options::SwitchArgs;
pub use report::report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::route::SigningKey;
use crate::store::acks::SwitchInfo;
use crate::store::{Keyring, KeyringError, Reader, StoreError, StoreOptions};
use crate::switch::cache::{Cache, CacheError};
use crate::switch::follow::{Follower, Progress};
use crate::switch::http::{Credentials, CredentialsError, Probe, Server, ServerError};
use crate::switch::replica::Replica;
use crate::switch::xml::Answers;
use crate::switch::xml::media::{MediaRoot, MediaRootError};
use crate::switch::xml::templates::{TemplateError, Templates};

/// Why the sidecar does not start.
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
    #[error("--xml-username, --xml-password: {0}")]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("--health-listen {listen}: {source}")]
    Health { listen: SocketAddr, source: std::io::Error },
    #[error("--templates: {0}")]
    Templates(#[from] TemplateError),
    #[error("--media-dir: {0}")]
    Media(#[from] MediaRootError),
    #[error(
        "--name {0}: allowed are 1 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends"
    )]
    Name(String),
    #[error("the signals that end it cannot be waited for: {0}")]
    Signals(std::io::Error),
}

/// Ready while there is something to answer from.
struct Ready {
    replica: Arc<Replica>,
    progress: watch::Receiver<Progress>,
}

impl Probe for Ready {
    fn missing(&self) -> Vec<String> {
        let progress = self.progress.borrow();
        let mut missing = Vec::new();
        if self.replica.platform_revision() == 0 {
            missing.push("nothing was loaded yet, from Postgres or from --data-dir".to_owned());
        }
        if progress.signing_key.is_none() {
            missing.push("the signing key is not known yet".to_owned());
        }
        if progress.connected && !progress.caught_up {
            missing.push("not everything that Postgres has is loaded yet".to_owned());
        }
        missing
    }

    fn replica_age(&self) -> Option<Duration> {
        Some(self.progress.borrow().last_heard?.elapsed())
    }
}

/// Runs until it is told to end by SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with an option.
pub async fn run(args: SwitchArgs) -> Result<(), SidecarError> {
    let stop = CancellationToken::new();
    crate::signals::end_on_signals(stop.clone()).map_err(SidecarError::Signals)?;
    let name = name(&args)?;
    let keyring = Arc::new(Keyring::read_file(&args.encryption_key_file)?);
    let options = StoreOptions::from_url(&args.database_url, keyring.clone())?;
    let data_dir = directory("--data-dir", args.data_dir.clone())?;
    let media = directory("--media-dir", args.media_dir.clone().unwrap_or_else(|| data_dir.join("media")))?;
    let replica = Arc::new(Replica::default());
    let cache = Cache::open(&data_dir.join("replica"), keyring)?;
    let reader = Reader::lazy(&options);
    let mut follower = Follower::new(reader.clone(), replica.clone(), Some(cache));
    let key = Arc::new(OnceLock::new());
    let answers = Arc::new(Answers {
        replica: replica.clone(),
        key: key.clone(),
        media: MediaRoot::new(&media)?,
        templates: match &args.templates {
            Some(directory) => Templates::with_overrides(directory)?,
            None => Templates::built_in()?,
        },
    });
    let credentials = Credentials::from_options(args.xml_username.as_deref(), args.xml_password.as_deref())?;
    let ready = Arc::new(Ready { replica: replica.clone(), progress: follower.progress() });
    let server = Server::bind(args.xml_listen, credentials, answers, ready).await?;
    let health = TcpListener::bind(args.health_listen)
        .await
        .map_err(|source| SidecarError::Health { listen: args.health_listen, source })?;
    info!(listen = %health.local_addr().unwrap_or(args.health_listen), "answering probes");
    info!(listen = %server.local_addr().unwrap_or(args.xml_listen), %name, "answering mod_xml_curl");

    // The servers have tokens of their own: they answer until everything else has ended.
    let stop_serving = CancellationToken::new();
    let probes = tokio::spawn(server.pages().serve(health, stop_serving.clone()));
    let serving = tokio::spawn(server.serve(stop_serving.clone()));
    follower.restore().await;
    let tasks = TaskTracker::new();
    let info = SwitchInfo { name, hostname: Some(crate::host::name()), version: None };
    tasks.spawn(keep_key(follower.progress(), key, stop.clone()));
    tasks.spawn(report(reader, info, replica, follower.progress(), stop.clone()));
    tasks.spawn(follower.run(stop.clone()));
    tasks.close();
    tasks.wait().await;
    stop_serving.cancel();
    for ended in [serving.await, probes.await] {
        if let Err(cause) = ended {
            error!(%cause, "a listener broke off");
        }
    }
    info!("ended");
    Ok(())
}

/// Hands the signing key to the answers as soon as the follower has it.
pub async fn keep_key(
    mut progress: watch::Receiver<Progress>,
    key: Arc<OnceLock<SigningKey>>,
    stop: CancellationToken,
) {
    let known = async {
        let found = progress.wait_for(|progress| progress.signing_key.is_some()).await.ok()?;
        found.signing_key.clone()
    };
    if let Some(Some(found)) = stop.run_until_cancelled(known).await {
        key.get_or_init(|| found);
    }
}

fn name(args: &SwitchArgs) -> Result<String, SidecarError> {
    let name = args.name.clone().unwrap_or_else(crate::host::name);
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let good =
        name.len() <= 63 && name.chars().all(legal) && end(name.chars().next()) && end(name.chars().last());
    if good { Ok(name) } else { Err(SidecarError::Name(name)) }
}

fn directory(option: &'static str, path: PathBuf) -> Result<PathBuf, SidecarError> {
    let made = std::fs::create_dir_all(&path).and_then(|()| std::fs::canonicalize(&path));
    made.map_err(|source| SidecarError::Directory { option, path, source })
}
