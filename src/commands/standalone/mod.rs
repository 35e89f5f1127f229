//! All of Centrex in one process, without a cluster: folder, compile, store, replica, answers.
//!
//! Lookups never wait for Postgres: the listener opens first, and answers from the last good state while Postgres
//! starts.

mod device_log;
mod options;
mod ready;
mod switch_log;
mod vault;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

pub use options::StandaloneArgs;

use super::api::ProvisionError;
use super::switch::{Sidecar, SidecarError, directory};
use crate::freeswitch::listener::Probe;
use crate::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use crate::provision::server::{Metrics, Server};
use crate::reconcile::{Progress, Reconciler};
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::source::folder::{FileProblem, Folder, FolderError, FolderOptions, Update};
use crate::store::{Memory, Reader, Store, StoreError, StoreOptions, WriterIdentity, parse_url};
use crate::util::backoff::Backoff;
use ready::Ready;
use vault::KeyringVault;

/// Connections to Postgres for phones' files.
const PHONE_CONNECTIONS: u32 = 5;
/// Pauses between connections to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// Pause before another attempt to become the writer, while another process is.
const WRITER_RETRY: Duration = Duration::from_secs(1);

/// Why standalone does not start, or why it ends.
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
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// An option is wrong, or the machine has no Postgres to start.
pub async fn run(args: StandaloneArgs) -> Result<(), StandaloneError> {
    let stop = CancellationToken::new();
    crate::util::signals::end_on_signals(stop.clone()).map_err(SidecarError::Signals)?;
    args.check().await?;
    if args.database_url.is_none() {
        LocalPostgres::make_directory(&args.data_dir)?;
    }
    let data_dir = directory("--data-dir", &args.data_dir)?;
    args.answer.media_root(&data_dir)?;
    let keyring = Arc::new(read_keys(&args, &data_dir)?);
    let (progress, stored) = watch::channel(Progress::default());
    let probe = |replica, followed| {
        let ready = Arc::new(Ready::new(replica, stored, followed));
        tokio::spawn(stop.clone().run_until_cancelled_owned(ready.clone().log_once()));
        ready as Arc<dyn Probe>
    };
    let provisioning = args.provision.open().await?;
    let metrics = Metrics::default();
    let register = |registry: &mut Registry| metrics.register(registry);
    let mut sidecar = Sidecar::open(&args.answer, None, &data_dir, keyring.clone(), probe, register).await?;
    sidecar.notify_phones(&args.provision.site);
    let log = switch_log::run(sidecar.report(), sidecar.progress(), sidecar.replica());
    tokio::spawn(stop.clone().run_until_cancelled_owned(log));
    // The sidecar answers until everything else has ended.
    let outcome = async {
        let (mut local, connect) = postgres(&args, &data_dir).await?;
        let options = StoreOptions::new(connect, keyring);
        let phones = TaskTracker::new();
        if let Some((served, listeners)) = provisioning {
            let reader =
                Reader::lazy(&StoreOptions { max_connections: PHONE_CONNECTIONS, ..options.clone() });
            let replica = (sidecar.replica(), sidecar.progress());
            Server::start(served, listeners, replica, reader, metrics, &phones, &stop);
        }
        phones.close();
        let result = write(&args, &data_dir, options, progress, &mut sidecar, &stop).await;
        stop.cancel();
        phones.wait().await;
        sidecar.stop_following().await;
        if let Some(postgres) = local.take() {
            postgres.stop().await?;
        }
        result
    }
    .await;
    sidecar.close().await;
    outcome
}

/// Becomes the writer, follows what it writes, and reconciles until stopped.
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
    let identity = WriterIdentity { holder, elected: None };
    let memory = Memory::default();
    let mut follow = || sidecar.follow(&options, &crate::util::hostname::name(), stop);
    let store = lead(&options, &identity, &memory, stop, true, &mut follow).await?;
    follow();
    let Some(mut store) = store else { return Ok(()) };
    let devices = device_log::run(store.reader().clone(), sidecar.replica());
    tokio::spawn(stop.clone().run_until_cancelled_owned(devices));
    let mut reconciler = Reconciler::new(progress, None, Some(args.answer.media_dir(data_dir)));
    reconciler.lead(store.clone());
    reconciler.acknowledge(sidecar.ack());
    let mut problems: Vec<FileProblem> = Vec::new();
    loop {
        let update = tokio::select! {
            () = stop.cancelled() => break,
            () = store.lost().cancelled_owned() => {
                store.resign().await;
                match lead(&options, &identity, &memory, stop, false, || ()).await? {
                    Some(next) => store = next,
                    None => break,
                }
                reconciler.lead(store.clone());
                reconciler.acknowledge(sidecar.ack());
                continue;
            }
            update = inbox.recv() => update,
            () = reconciler.work() => continue,
        };
        let Some(Update { mut changes, problems: mut new_problems }) = update else { break };
        // All updates that are waiting, so that ready means all of them.
        while let Ok(next) = inbox.try_recv() {
            changes.extend(next.changes);
            new_problems = next.problems;
        }
        for problem in new_problems.iter().filter(|problem| !problems.contains(problem)) {
            error!("{problem}; what was in force before stays in force");
        }
        for problem in problems.iter().filter(|problem| !new_problems.contains(problem)) {
            info!("no longer a problem: {problem}");
        }
        problems = new_problems;
        reconciler.apply_changes(changes, problems.is_empty());
    }
    store.resign().await;
    Ok(())
}

/// Becomes the writer; `None` when stopped meanwhile. While Postgres is unreachable or refuses the login, or another
/// process is the writer, it retries. At the start, what only a person can repair is an error; later it is retried
/// too. `on_other_writer` is called while another process writes: the stored plans can be served meanwhile.
async fn lead(
    options: &StoreOptions,
    identity: &WriterIdentity,
    memory: &Memory,
    stop: &CancellationToken,
    start: bool,
    mut on_other_writer: impl FnMut(),
) -> Result<Option<Store>, StandaloneError> {
    let mut backoff = BACKOFF;
    let mut logged = String::new();
    loop {
        let pause = match Store::lead_again(options, identity, memory).await {
            Ok(store) => return Ok(Some(store)),
            Err(cause) if cause.is_passing() || !start => {
                let text = cause.to_string();
                if text != logged {
                    warn!(category = cause.category(), %cause, "retrying");
                    logged = text;
                }
                if matches!(cause, StoreError::HeldByOther(_)) {
                    on_other_writer();
                    WRITER_RETRY
                } else {
                    backoff.pause()
                }
            }
            Err(cause) => return Err(cause.into()),
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(None);
        }
    }
}

/// The Postgres of `--database-url`, or else a server of our own.
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
            info!(pid = postgres.pid(), "a Postgres server of our own runs under the data directory");
            Ok((Some(postgres), connect))
        }
    }
}

/// The keys of `--encryption-key-file`, or else of a file that the first start generates. The named file must
/// exist: a new key could not unseal what was sealed with the old one.
fn read_keys(args: &StandaloneArgs, data_dir: &Path) -> Result<Keyring, KeyringError> {
    if let Some(path) = &args.encryption_key_file {
        return Keyring::read_file(path);
    }
    let path = data_dir.join("encryption-keys");
    if path.exists() {
        return Keyring::read_file(&path);
    }
    info!(path = %path.display(), "a new encryption key was generated; back it up with the database");
    Keyring::generate_file(&path)
}
