//! All of Centrex in one process, without a cluster: folder, compile, store, replica, answers.
//!
//! What is served never waits for what is written: the listener opens first and answers from the
//! last good state while Postgres is still starting.

mod options;
mod ready;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

pub use options::StandaloneArgs;

use crate::reconcile::{Progress, Reconciler};
use crate::sidecar::{keep_key, report};
use crate::source::folder::{FileProblem, Folder, FolderError, FolderOptions, Update};
use crate::store::acks::SwitchInfo;
use crate::store::{
    Candidate, Keyring, KeyringError, LocalError, LocalOptions, LocalPostgres, Reader, Store, StoreError,
    StoreOptions, parse_url,
};
use crate::switch::cache::{Cache, CacheError};
use crate::switch::follow::Follower;
use crate::switch::http::{Credentials, CredentialsError, Server, ServerError};
use crate::switch::replica::Replica;
use crate::switch::xml::Answers;
use crate::switch::xml::media::{MediaRoot, MediaRootError};
use crate::switch::xml::templates::{TemplateError, Templates};
use ready::Ready;
use vault::KeyringVault;

/// First and longest pause before Postgres is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// Pause before it is asked again whether the one that writes has ended.
const WRITER_RETRY: Duration = Duration::from_secs(1);

/// Why standalone does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StandaloneError {
    #[error("--data-dir {path}: {source}")]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("--manifests: {0}")]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Postgres(#[from] LocalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("--data-dir: {0}")]
    Cache(#[from] CacheError),
    #[error("--xml-username, --xml-password: {0}")]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("--templates: {0}")]
    Templates(#[from] TemplateError),
    #[error("--media-dir: {0}")]
    Media(#[from] MediaRootError),
    #[error("the signals that end it cannot be waited for: {0}")]
    Signals(std::io::Error),
}

/// Runs until it is told to end by SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with an option, or what is missing on the machine.
pub async fn run(args: StandaloneArgs) -> Result<(), StandaloneError> {
    let stop = CancellationToken::new();
    crate::signals::end_on_signals(stop.clone()).map_err(StandaloneError::Signals)?;
    let data_dir = prepare_data_dir(&args.data_dir)?;
    let keyring = Arc::new(keys(&args, &data_dir)?);
    let replica = Arc::new(Replica::default());
    let key = Arc::new(OnceLock::new());
    let answers = Arc::new(Answers {
        replica: replica.clone(),
        key: key.clone(),
        media: media_root(&args, &data_dir)?,
        templates: match &args.templates {
            Some(directory) => Templates::with_overrides(directory)?,
            None => Templates::built_in()?,
        },
    });
    let credentials = Credentials::from_options(args.xml_username.as_deref(), args.xml_password.as_deref())?;
    let (progress, stored) = watch::channel(Progress::default());
    let (following, followed) = watch::channel(None);
    let ready = Arc::new(Ready::new(replica.clone(), stored, followed));
    let server = Server::bind(args.xml_listen, credentials, answers, ready).await?;
    info!(listen = %server.local_addr().unwrap_or(args.xml_listen), "answering mod_xml_curl");

    // The server has a token of its own: it answers until everything else has ended.
    let stop_serving = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop_serving.clone()));
    let tasks = TaskTracker::new();
    let outcome = async {
        let (mut local, connect) = postgres(&args, &data_dir).await?;
        let options = StoreOptions::new(connect, keyring.clone());
        let cache = Cache::open(&data_dir.join("replica"), keyring.clone())?;
        let mut follower = Follower::new(Reader::lazy(&options), replica.clone(), Some(cache));
        follower.restore().await;
        following.send_replace(Some(follower.progress()));
        tasks.spawn(keep_key(follower.progress(), key, stop.clone()));
        let info =
            SwitchInfo { name: crate::host::name(), hostname: Some(crate::host::name()), version: None };
        tasks.spawn(report(Reader::lazy(&options), info, replica, follower.progress(), stop.clone()));
        let result = write(&args, &data_dir, options, progress, follower, &tasks, &stop).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        if let Some(postgres) = local.take() {
            postgres.stop().await?;
        }
        result
    }
    .await;
    stop_serving.cancel();
    if let Err(cause) = serving.await {
        error!(%cause, "the listener broke off");
    }
    info!("ended");
    outcome
}

/// Connects for writing, starts to follow, and reconciles until told to end.
async fn write(
    args: &StandaloneArgs,
    data_dir: &Path,
    options: StoreOptions,
    progress: watch::Sender<Progress>,
    follower: Follower,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StandaloneError> {
    let folder = FolderOptions {
        manifests: args.manifests.clone(),
        data_dir: data_dir.to_owned(),
        vault: Arc::new(KeyringVault(options.keyring.clone())),
    };
    let (updates, mut inbox) = mpsc::channel(16);
    let _folder = Folder::start(folder, updates, stop.clone()).await?;
    let holder = format!("standalone, process {}, --data-dir {}", std::process::id(), data_dir.display());
    let candidate = Candidate { holder, elected: None };
    let mut follower = Some(follower);
    let mut follow = || {
        if let Some(follower) = follower.take() {
            tasks.spawn(follower.run(stop.clone()));
        }
    };
    let led = lead(&options, &candidate, stop, &mut follow).await?;
    follow();
    let Some(mut store) = led else { return Ok(()) };
    let mut reconciler = Reconciler::new(progress, None, Some(media_dir(args, data_dir)));
    reconciler.lead(store.clone());
    let mut problems: Vec<FileProblem> = Vec::new();
    loop {
        let update = tokio::select! {
            () = stop.cancelled() => break,
            () = store.lost().cancelled_owned() => {
                match lead(&options, &candidate, stop, || ()).await? {
                    Some(next) => store = next,
                    None => break,
                }
                reconciler.lead(store.clone());
                continue;
            }
            update = inbox.recv() => update,
            () = reconciler.work() => continue,
        };
        let Some(Update { mut changes, problems: mut now }) = update else { break };
        // All that came while Postgres was away or busy, so that ready means all of it.
        while let Ok(next) = inbox.try_recv() {
            changes.extend(next.changes);
            now = next.problems;
        }
        for problem in now.iter().filter(|problem| !problems.contains(problem)) {
            error!("{problem}; what the file held before stays in force");
        }
        for problem in problems.iter().filter(|problem| !now.contains(problem)) {
            info!("no longer a problem: {problem}");
        }
        problems = now;
        reconciler.take_in(changes, problems.is_empty());
    }
    store.resign().await;
    Ok(())
}

/// Becomes the one that writes. Postgres that is away is waited for, and so is another writer; what
/// only a person can put right ends the start. `None` when told to end meanwhile. `prepared` is told
/// when another one writes: what is stored can be served all the same.
async fn lead(
    options: &StoreOptions,
    candidate: &Candidate,
    stop: &CancellationToken,
    mut prepared: impl FnMut(),
) -> Result<Option<Store>, StandaloneError> {
    let mut wait = FIRST_RETRY;
    let mut told = String::new();
    loop {
        match Store::lead(options, candidate).await {
            Ok(store) => return Ok(Some(store)),
            Err(cause) if cause.is_passing() => {
                let text = cause.to_string();
                if text != told {
                    warn!(category = cause.category(), %cause, "trying again");
                    told = text;
                }
                wait = (wait * 2).min(LONGEST_RETRY);
                if matches!(cause, StoreError::Led(_)) {
                    prepared();
                    wait = WRITER_RETRY;
                }
            }
            Err(cause) => return Err(cause.into()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(None);
        }
    }
}

/// The Postgres to use: the one that is named, or one of our own.
async fn postgres(
    args: &StandaloneArgs,
    data_dir: &Path,
) -> Result<(Option<LocalPostgres>, PgConnectOptions), StandaloneError> {
    match &args.database_url {
        Some(url) => Ok((None, parse_url(url)?)),
        None => {
            let options = LocalOptions { data_dir: data_dir.to_owned(), durable: true };
            let postgres = LocalPostgres::start(&options).await?;
            let connect = postgres.connect_options();
            info!(pid = postgres.pid(), "a Postgres of our own runs under the data directory");
            Ok((Some(postgres), connect))
        }
    }
}

fn prepare_data_dir(path: &Path) -> Result<PathBuf, StandaloneError> {
    let failed = |source| StandaloneError::DataDir { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    std::fs::canonicalize(path).map_err(failed)
}

/// The keys: of the file that is named, or of one of our own, made at the first start. A file that
/// is named must be there: a new key would not open what was sealed with the old one.
fn keys(args: &StandaloneArgs, data_dir: &Path) -> Result<Keyring, KeyringError> {
    if let Some(path) = &args.encryption_key_file {
        return Keyring::read_file(path);
    }
    let path = data_dir.join("encryption-keys");
    if path.exists() {
        return Keyring::read_file(&path);
    }
    info!(path = %path.display(), "a new encryption key was made; back it up with the database");
    Keyring::generate_file(&path)
}

fn media_root(args: &StandaloneArgs, data_dir: &Path) -> Result<MediaRoot, StandaloneError> {
    let path = media_dir(args, data_dir);
    let failed = |source| StandaloneError::DataDir { path: path.clone(), source };
    std::fs::create_dir_all(&path).map_err(failed)?;
    Ok(MediaRoot::new(&path)?)
}

fn media_dir(args: &StandaloneArgs, data_dir: &Path) -> PathBuf {
    args.media_dir.clone().unwrap_or_else(|| data_dir.join("media"))
}
