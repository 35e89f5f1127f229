//! What FreeSWITCH could not deliver: files `[a_]UUID.cdr.xml` in its `err-log-dir` (contract
//! §7.1), taken in as if they were posted, and removed once they are on a disk of ours.

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

/// How often it is looked for them.
const EVERY: Duration = Duration::from_secs(10);
/// So many at one time: each waits for a disk.
const TOGETHER: usize = 64;
/// URL-encoded, a document takes three times its size.
const MOST_BYTES: u64 = 3 * MAX_BODY_BYTES as u64;
/// A younger file may still be being written.
const SETTLED: Duration = Duration::from_secs(5);

/// Takes files in until stopped.
pub async fn sweep(directory: PathBuf, intake: Intake, stop: CancellationToken) {
    let work = async {
        loop {
            let taken = sweep_once(&directory, &intake).await;
            if taken > 0 {
                info!(files = taken, "call records that FreeSWITCH could not deliver were taken in");
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn sweep_once(directory: &Path, intake: &Intake) -> usize {
    let directory = directory.to_owned();
    let files = tokio::task::spawn_blocking(move || settled(&directory)).await.unwrap_or_default();
    let taken = stream::iter(files).map(|path| async move {
        let outcome = take(&path, intake).await;
        if let Err(cause) = &outcome {
            warn!(path = %path.display(), cause, "a call record stays where FreeSWITCH left it");
        }
        usize::from(outcome.is_ok())
    });
    taken.buffered(TOGETHER).fold(0, async |all, one| all + one).await
}

/// Files that are whole, the oldest first. A directory that is not there has none: FreeSWITCH makes
/// it when it needs it.
fn settled(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(".cdr.xml")))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .filter(|(modified, _)| modified.elapsed().is_ok_and(|age| age >= SETTLED))
        .collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

async fn take(path: &Path, intake: &Intake) -> Result<(), String> {
    let of = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&of)).await;
    let received = read.map_err(|error| error.to_string())??;
    intake.take(received).await.map_err(|refusal| refusal.to_string())?;
    tokio::fs::remove_file(path).await.map_err(|error| error.to_string())
}

/// Reads a file, and no link to one: the directory is FreeSWITCH's, and this process may read what
/// FreeSWITCH may not.
fn read(path: &Path) -> Result<Received, String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(i32::try_from(flags).unwrap_or_default()).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let modified = metadata.modified().map_err(|error| error.to_string())?;
    let mut body = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut body).map_err(|error| error.to_string())?;
    if body.len() as u64 > MOST_BYTES {
        return Err(format!("it has {} bytes; the most is {MOST_BYTES}", metadata.len()));
    }
    let at = Timestamp::try_from(modified).map_err(|error| error.to_string())?;
    Ok(Received { at, encoding: Encoding::of_file(&body), body: body.into() })
}
