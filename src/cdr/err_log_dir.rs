//! Call records that FreeSWITCH could not post: it leaves files `[a_]UUID.cdr.xml` in its `err-log-dir`
//! (contract §7.1). This module imports them as if they were posted, and removes each once it is in the spool.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use rustix::fs::OFlags;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::document::Encoding;
use super::intake::Intake;
use super::spool::Received;
use crate::http::body::MAX_BODY_BYTES;

/// How often the directory is read.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Files imported at the same time, at most. Each waits for a disk write.
const MAX_PARALLEL: usize = 64;
/// Largest file: URL-encoding makes a document at most three times as long.
const MAX_FILE_BYTES: u64 = 3 * MAX_BODY_BYTES as u64;
/// Age from which a file counts as complete. FreeSWITCH may still write to a younger one.
const MIN_AGE: Duration = Duration::from_secs(5);

/// Imports the files of a directory every `SWEEP_INTERVAL`, until stopped.
pub async fn sweep(directory: PathBuf, intake: Intake, stop: CancellationToken) {
    let work = async {
        loop {
            let imported = sweep_once(&directory, &intake).await;
            if imported > 0 {
                info!(files = imported, "call records that FreeSWITCH could not post were imported");
            }
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn sweep_once(directory: &Path, intake: &Intake) -> usize {
    let directory = directory.to_owned();
    let files = tokio::task::spawn_blocking(move || complete_files(&directory)).await.unwrap_or_default();
    let imported = stream::iter(files).map(|path| async move {
        let outcome = import_file(&path, intake).await;
        if let Err(cause) = &outcome {
            warn!(path = %path.display(), cause, "a call record was not imported and stays in err-log-dir");
        }
        usize::from(outcome.is_ok())
    });
    imported.buffered(MAX_PARALLEL).fold(0, async |all, one| all + one).await
}

/// The complete files, the oldest first; none if the directory is missing, because FreeSWITCH creates it
/// when it needs it.
fn complete_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(".cdr.xml")))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .filter(|(modified, _)| modified.elapsed().is_ok_and(|age| age >= MIN_AGE))
        .collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

async fn import_file(path: &Path, intake: &Intake) -> Result<(), String> {
    let of = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&of)).await;
    let received = read.map_err(|error| error.to_string())??;
    intake.accept(received).await.map_err(|refusal| refusal.to_string())?;
    tokio::fs::remove_file(path).await.map_err(|error| error.to_string())
}

/// Reads a file. Does not follow links: FreeSWITCH owns the directory, and this process may read files that
/// FreeSWITCH may not.
fn read(path: &Path) -> Result<Received, String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(i32::try_from(flags).unwrap_or_default()).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let modified = metadata.modified().map_err(|error| error.to_string())?;
    let mut body = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut body).map_err(|error| error.to_string())?;
    if body.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it has {} bytes; the most is {MAX_FILE_BYTES}", metadata.len()));
    }
    let at = Timestamp::try_from(modified).map_err(|error| error.to_string())?;
    Ok(Received { at, encoding: Encoding::of_file(&body), body: body.into() })
}
