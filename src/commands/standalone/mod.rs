//! All of Centrex in one process, without a cluster: folder, compile, store, replica, answers.
//!
//! What is served never waits for what is written: the listener opens first and answers from the
//! last good state while Postgres is still starting.

mod findings;
mod options;
mod ready;
mod vault;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use options::StandaloneArgs;

use super::switch::{Sidecar, SidecarError, directory};
use crate::freeswitch::listener::Probe;
use crate::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use crate::reconcile::{Progress, Reconciler};
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::source::folder::{FileProblem, Folder, FolderError, FolderOptions, Update};
use crate::store::{Memory, Store, StoreError, StoreOptions, WriterIdentity, parse_url};
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
    #[error("--manifests: {0}")]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Postgres(#[from] LocalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
}

/// Runs until it is told to end by SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with an option, or what is missing on the machine.
pub async fn run(args: StandaloneArgs) -> Result<(), StandaloneError> {
    let stop = CancellationToken::new();
    crate::util::signals::end_on_signals(stop.clone()).map_err(SidecarError::Signals)?;
    args.check().await?;
    if args.database_url.is_none() {
        LocalPostgres::make_directory(&args.data_dir)?;
    }
    let data_dir = directory("--data-dir", &args.data_dir)?;
    args.answer.media_root(&data_dir)?;
    let keyring = Arc::new(keys(&args, &data_dir)?);
    let (progress, stored) = watch::channel(Progress::default());
    let probe = |replica, followed| {
        let ready = Arc::new(Ready::new(replica, stored, followed));
        tokio::spawn(stop.clone().run_until_cancelled_owned(ready.clone().tell()));
        ready as Arc<dyn Probe>
    };
    let mut sidecar = Sidecar::open(&args.answer, None, &data_dir, keyring.clone(), probe).await?;
    let tell = findings::tell(sidecar.findings(), sidecar.progress(), sidecar.replica());
    tokio::spawn(stop.clone().run_until_cancelled_owned(tell));
    // It answers until everything else has ended.
    let outcome = async {
        let (mut local, connect) = postgres(&args, &data_dir).await?;
        let options = StoreOptions::new(connect, keyring);
        let result = write(&args, &data_dir, options, progress, &mut sidecar, &stop).await;
        stop.cancel();
        sidecar.followed().await;
        if let Some(postgres) = local.take() {
            postgres.stop().await?;
        }
        result
    }
    .await;
    sidecar.close().await;
    outcome
}

/// Connects for writing, starts to follow, and reconciles until told to end.
async fn write(
    args: &StandaloneArgs,
    data_dir: &Path,
    options: StoreOptions,
    progress: watch::Sender<Progress>,
    sidecar: &mut Sidecar,
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
    let candidate = WriterIdentity { holder, elected: None };
    let memory = Memory::default();
    let mut follow = || sidecar.follow(&options, &crate::util::hostname::name(), stop);
    let led = lead(&options, &candidate, &memory, stop, true, &mut follow).await?;
    follow();
    let Some(mut store) = led else { return Ok(()) };
    let mut reconciler = Reconciler::new(progress, None, Some(args.answer.media_dir(data_dir)));
    reconciler.lead(store.clone());
    reconciler.acknowledge(sidecar.holds());
    let mut problems: Vec<FileProblem> = Vec::new();
    loop {
        let update = tokio::select! {
            () = stop.cancelled() => break,
            () = store.lost().cancelled_owned() => {
                store.resign().await;
                match lead(&options, &candidate, &memory, stop, false, || ()).await? {
                    Some(next) => store = next,
                    None => break,
                }
                reconciler.lead(store.clone());
                reconciler.acknowledge(sidecar.holds());
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

/// Becomes the one that writes. Postgres that is away or refuses the login is waited for, and so is another
/// writer; what else only a person can put right ends the start, and later is waited for too. `None` when told to end meanwhile. `prepared` is told
/// when another one writes: what is stored can be served all the same.
async fn lead(
    options: &StoreOptions,
    candidate: &WriterIdentity,
    memory: &Memory,
    stop: &CancellationToken,
    start: bool,
    mut prepared: impl FnMut(),
) -> Result<Option<Store>, StandaloneError> {
    let mut wait = FIRST_RETRY;
    let mut told = String::new();
    loop {
        match Store::lead_again(options, candidate, memory).await {
            Ok(store) => return Ok(Some(store)),
            Err(cause) if cause.is_passing() || !start => {
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
