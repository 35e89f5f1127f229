//! What the replica holds, reported as it changes, and that the switch is there at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::store::Reader;
use crate::store::acks::{Reporter, SwitchInfo};
use crate::switch::follow::{Progress, jittered};
use crate::switch::replica::Replica;

/// How often a switch is heard although nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What changes within this time is one report.
const TOGETHER: Duration = Duration::from_millis(15);
/// First and longest wait before another try.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How often it is looked whether a name that another process took is free again.
const TAKEN: Duration = Duration::from_secs(10);
/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Reports until stopped; Postgres that is away is waited for.
pub(super) async fn report(
    reader: Reader,
    info: SwitchInfo,
    replica: Arc<Replica>,
    mut progress: watch::Receiver<Progress>,
    stop: CancellationToken,
) {
    let name = info.name.clone();
    let mut reporter = Reporter::new(&reader, info);
    stop.run_until_cancelled(keep_reporting(&mut reporter, &name, &replica, &mut progress)).await;
    match tokio::time::timeout(FAREWELL, reporter.leave()).await {
        Ok(Ok(())) => {}
        _ => warn!(%name, "Postgres was not told that the switch has ended"),
    }
}

/// Returns only when there is no follower any more.
async fn keep_reporting(
    reporter: &mut Reporter,
    name: &str,
    replica: &Replica,
    progress: &mut watch::Receiver<Progress>,
) {
    // Before everything is loaded there is less to say than stands there of the process before.
    if progress.wait_for(|progress| progress.caught_up).await.is_err() {
        return;
    }
    let (mut wait, mut taken) = (BACKOFF.0, false);
    loop {
        progress.mark_unchanged();
        match reporter.report(replica.platform_revision(), replica.revisions()).await {
            Ok(true) => {
                if std::mem::take(&mut taken) {
                    info!(%name, "reporting again");
                }
                wait = BACKOFF.0;
                match tokio::time::timeout(HEARTBEAT, progress.changed()).await {
                    Ok(Ok(())) => tokio::time::sleep(TOGETHER).await,
                    Ok(Err(_)) => return,
                    Err(_) => {}
                }
            }
            Ok(false) => {
                if !std::mem::replace(&mut taken, true) {
                    error!(%name, "another sidecar reports under this name (--name); this one answers all the same");
                }
                tokio::time::sleep(TAKEN).await;
            }
            Err(cause) => {
                warn!(category = cause.category(), %cause, "what is held cannot be reported; trying again");
                tokio::time::sleep(jittered(wait)).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }
}
