//! What FreeSWITCH could not deliver: files `[a_]UUID.cdr.xml` in its `err-log-dir` (contract
//! §7.1), taken in as if they were posted, and removed once they are on a disk of ours.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::document::Encoding;
use super::intake::Intake;
use super::spool::Received;
use crate::switch::http::MAX_BODY_BYTES;

/// How often it is looked for them.
const EVERY: Duration = Duration::from_secs(10);
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
    let mut taken = 0;
    for (path, modified) in settled(directory) {
        match take(&path, modified, intake).await {
            Ok(()) => taken += 1,
            Err(cause) => {
                warn!(path = %path.display(), cause, "a call record stays where FreeSWITCH left it")
            }
        }
    }
    taken
}

/// Files that are whole, the oldest first. A directory that is not there has none: FreeSWITCH makes
/// it when it needs it.
fn settled(directory: &Path) -> Vec<(PathBuf, SystemTime)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(".cdr.xml")))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.modified().ok()?)))
        .filter(|(_, modified)| modified.elapsed().is_ok_and(|age| age >= SETTLED))
        .collect();
    files.sort_by_key(|(_, modified)| *modified);
    files
}

async fn take(path: &Path, modified: SystemTime, intake: &Intake) -> Result<(), String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    // URL-encoded, a document takes three times its size.
    if length > 3 * MAX_BODY_BYTES as u64 {
        return Err(format!("it has {length} bytes; the most is {}", 3 * MAX_BODY_BYTES));
    }
    let body = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    let at = Timestamp::try_from(modified).map_err(|error| error.to_string())?;
    let encoding = Encoding::of_file(&body);
    intake.take(Received { at, encoding, body: body.into() }).await.map_err(|refusal| refusal.to_string())?;
    tokio::fs::remove_file(path).await.map_err(|error| error.to_string())
}
