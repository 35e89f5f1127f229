//! Reports of this switch to Postgres: the revisions that it has, its state, and a heartbeat.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::plan::heartbeat::HEARTBEAT_INTERVAL;
use crate::plan::report::{Applied, SwitchInfo, SwitchReport};
use crate::replica::follow::Progress;
use crate::replica::tenants::Replica;
use crate::store::Reader;
use crate::store::reports::Reporter;
use crate::util::backoff::Backoff;

/// Revisions that are applied within this time share one report.
const REVISION_DELAY: Duration = Duration::from_millis(15);
/// Changes of the switch's state within this time share one report. This is longer: many changes arrive together, and no
/// condition waits for them.
const STATE_DELAY: Duration = Duration::from_millis(250);
/// How long the first report waits for the first comparison with FreeSWITCH. Until then the report of the previous
/// process is most likely still true.
const FIRST_COMPARISON_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before a failed report is retried.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// How often a report is retried while another process uses the name.
const NAME_TAKEN_RETRY: Duration = Duration::from_secs(10);
/// How long the report of the end may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that is reported.
pub(super) struct Reported {
    pub replica: Arc<Replica>,
    pub progress: watch::Receiver<Progress>,
    /// `None` without an event socket: the replica's revisions count as applied.
    pub applied: watch::Receiver<Option<Applied>>,
    pub report: watch::Receiver<SwitchReport>,
}

/// Reports until stopped. While Postgres is unreachable, it is retried.
pub(super) async fn report(
    reader: Reader,
    info: SwitchInfo,
    mut reported: Reported,
    stop: CancellationToken,
) {
    let name = info.name.clone();
    let mut reporter = Reporter::new(&reader, info);
    reported.run(&mut reporter, &name, &stop).await;
    match tokio::time::timeout(LEAVE_TIMEOUT, reporter.leave()).await {
        Ok(Ok(())) => {}
        _ => warn!(%name, "the end of this switch could not be reported"),
    }
}

impl Reported {
    /// Returns when stopped, or when the follower has ended.
    async fn run(&mut self, reporter: &mut Reporter, name: &str, stop: &CancellationToken) {
        if stop.run_until_cancelled(self.wait_until_complete()).await != Some(true) {
            return;
        }
        let (mut backoff, mut name_taken) = (BACKOFF, false);
        loop {
            let (applied, report) = self.current();
            // A report in progress is not cancelled: Postgres might commit it after the report of the end.
            let result = tokio::select! {
                result = reporter.report(applied, &report) => result,
                () = async { stop.cancelled().await; tokio::time::sleep(LEAVE_TIMEOUT).await } => return,
            };
            let pause = match result {
                Ok(true) => {
                    if std::mem::take(&mut name_taken) {
                        info!(%name, "reporting again");
                    }
                    backoff.reset();
                    None
                }
                Ok(false) => {
                    if !std::mem::replace(&mut name_taken, true) {
                        error!(%name, "another sidecar reports under this name (--name); this one goes on answering");
                    }
                    Some(NAME_TAKEN_RETRY)
                }
                Err(cause) => {
                    warn!(category = cause.category(), %cause, "the report failed; retrying");
                    Some(backoff.pause())
                }
            };
            let wait_for_next = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return self.changed(reporter).await,
                }
                true
            };
            if stop.run_until_cancelled(wait_for_next).await != Some(true) {
                return;
            }
        }
    }

    /// Waits until the first report cannot say less than the last one of the previous process: until the replica is
    /// loaded, and FreeSWITCH was compared with it. False when the follower has ended.
    async fn wait_until_complete(&mut self) -> bool {
        if self.progress.wait_for(|progress| progress.caught_up).await.is_err() {
            return false;
        }
        let nothing = Some(Applied::default());
        let compared = self.applied.wait_for(|applied| *applied != nothing);
        // FreeSWITCH that does not answer has nothing applied, and that is reported.
        let _ = tokio::time::timeout(FIRST_COMPARISON_TIMEOUT, compared).await;
        true
    }

    /// The values to report. Later changes end `changed`.
    fn current(&mut self) -> (Applied, SwitchReport) {
        self.progress.mark_unchanged();
        let applied = self.applied.borrow_and_update().clone();
        let applied = applied.unwrap_or_else(|| Applied {
            platform: self.replica.platform_revision(),
            tenants: self.replica.revisions(),
        });
        (applied, self.report.borrow_and_update().clone())
    }

    /// Waits until something changed, or a heartbeat is due. False when the follower has ended.
    async fn changed(&mut self, reporter: &Reporter) -> bool {
        let report_changed = async {
            while self.report.changed().await.is_ok() {
                tokio::time::sleep(STATE_DELAY).await;
                if reporter.is_news(&self.report.borrow_and_update()) {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            changed = self.progress.changed() => match changed {
                Ok(()) => tokio::time::sleep(REVISION_DELAY).await,
                Err(_) => return false,
            },
            Ok(()) = self.applied.changed() => tokio::time::sleep(REVISION_DELAY).await,
            () = report_changed => {}
            () = tokio::time::sleep(HEARTBEAT_INTERVAL) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_revision_in_freeswitch_is_reported_instead_of_the_replicas() {
        let replica = Arc::new(Replica::default());
        replica.put_platform(7, Default::default());
        let (progress, caught_up) = watch::channel(Progress { caught_up: true, ..Progress::default() });
        let (applied, report) = (watch::Sender::default(), watch::Sender::default());
        let mut reported = Reported {
            replica,
            progress: caught_up,
            applied: applied.subscribe(),
            report: report.subscribe(),
        };
        assert!(reported.wait_until_complete().await);
        let replicated = Applied { platform: 7, ..Applied::default() };
        assert_eq!(reported.current(), (replicated, SwitchReport::default()), "without an event socket");

        // With an event socket, the first comparison is waited for: the switch must not seem to have lost everything.
        applied.send_replace(Some(Applied::default()));
        let compared = Applied { platform: 5, ..Applied::default() };
        let first = async { (reported.wait_until_complete().await, reported.current().0) };
        let compare = async {
            tokio::time::sleep(REVISION_DELAY).await;
            applied.send_replace(Some(compared.clone()));
        };
        assert_eq!(tokio::join!(first, compare).0, (true, compared));
        drop(progress);
    }
}
