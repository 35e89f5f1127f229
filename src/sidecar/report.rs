//! What the replica holds, reported as it changes, and that the switch is there at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::store::acks::{Reporter, SwitchInfo};
use crate::store::{Reader, StoreError};
use crate::switch::follow::Progress;
use crate::switch::replica::Replica;

/// How often a switch is heard although nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What changes within this time is one report.
const TOGETHER: Duration = Duration::from_millis(10);
/// First and longest wait before another try.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Reports until stopped; Postgres that is away is waited for.
pub async fn report(
    reader: Reader,
    info: SwitchInfo,
    replica: Arc<Replica>,
    mut progress: watch::Receiver<Progress>,
    stop: CancellationToken,
) {
    let name = info.name.clone();
    let mut reporter = Reporter::new(&reader, info);
    let mut wait = FIRST_RETRY;
    let reporting = async {
        loop {
            match hold(&mut reporter, &replica, &mut progress, &mut wait).await {
                Ok(()) => {
                    error!(%name, "another sidecar reports under this name: this one reports no more (--name)");
                    return;
                }
                Err(cause) => {
                    warn!(category = cause.category(), %cause, "reporting to Postgres; trying again")
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_RETRY);
        }
    };
    stop.run_until_cancelled(reporting).await;
    match tokio::time::timeout(FAREWELL, reporter.leave()).await {
        Ok(Ok(())) => {}
        _ => warn!(%name, "Postgres was not told that the switch has ended"),
    }
}

/// Reports until it fails, or until a younger process has the name.
async fn hold(
    reporter: &mut Reporter,
    replica: &Replica,
    progress: &mut watch::Receiver<Progress>,
    wait: &mut Duration,
) -> Result<(), StoreError> {
    reporter.register().await?;
    loop {
        if !reporter.report(replica.platform_revision(), replica.revisions()).await? {
            return Ok(());
        }
        *wait = FIRST_RETRY;
        if let Ok(Ok(())) = tokio::time::timeout(HEARTBEAT, progress.changed()).await {
            tokio::time::sleep(TOGETHER).await;
            progress.mark_unchanged();
        }
    }
}
