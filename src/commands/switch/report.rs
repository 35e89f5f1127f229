//! What the switch has and what was found on it, reported as it changes, and that it is there at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::plan::report::SwitchInfo;
use crate::plan::report::{Applied, SwitchReport};
use crate::replica::follow::Progress;
use crate::replica::tenants::Replica;
use crate::store::Reader;
use crate::store::reports::Reporter;
use crate::util::backoff::Backoff;

/// How often a switch is heard although nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What changes within this time is one report.
const TOGETHER: Duration = Duration::from_millis(15);
/// What is found within this time is one report: nobody waits for it, and much of it comes together.
const FOUND_TOGETHER: Duration = Duration::from_millis(250);
/// How long a switch may take to be asked for the first time. Until then what the process before
/// applied most likely still holds.
const FIRST_ASKED: Duration = Duration::from_secs(5);
/// Pauses between reports while Postgres refuses them.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// How often it is looked whether a name that another process took is free again.
const TAKEN: Duration = Duration::from_secs(10);
/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is reported.
pub(super) struct Watched {
    pub replica: Arc<Replica>,
    pub progress: watch::Receiver<Progress>,
    /// None where nobody asks the switch: what the replica holds counts as applied.
    pub applied: watch::Receiver<Option<Applied>>,
    pub findings: watch::Receiver<SwitchReport>,
}

/// Reports until stopped; Postgres that is away is waited for.
pub(super) async fn report(reader: Reader, info: SwitchInfo, mut watched: Watched, stop: CancellationToken) {
    let name = info.name.clone();
    let mut reporter = Reporter::new(&reader, info);
    watched.keep_reporting(&mut reporter, &name, &stop).await;
    match tokio::time::timeout(FAREWELL, reporter.leave()).await {
        Ok(Ok(())) => {}
        _ => warn!(%name, "Postgres was not told that the switch has ended"),
    }
}

impl Watched {
    /// Returns when it is stopped, or there is no follower any more.
    async fn keep_reporting(&mut self, reporter: &mut Reporter, name: &str, stop: &CancellationToken) {
        if stop.run_until_cancelled(self.begins()).await != Some(true) {
            return;
        }
        let (mut backoff, mut taken) = (BACKOFF, false);
        loop {
            let (held, findings) = self.now();
            // What was begun is not broken off: Postgres might do it all the same, after the last word.
            let reported = tokio::select! {
                reported = reporter.report(held, &findings) => reported,
                () = async { stop.cancelled().await; tokio::time::sleep(FAREWELL).await } => return,
            };
            let pause = match reported {
                Ok(true) => {
                    if std::mem::take(&mut taken) {
                        info!(%name, "reporting again");
                    }
                    backoff.reset();
                    None
                }
                Ok(false) => {
                    if !std::mem::replace(&mut taken, true) {
                        error!(%name, "another sidecar reports under this name (--name); this one answers all the same");
                    }
                    Some(TAKEN)
                }
                Err(cause) => {
                    warn!(category = cause.category(), %cause, "what is held cannot be reported; trying again");
                    Some(backoff.pause())
                }
            };
            let goes_on = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return self.news(reporter).await,
                }
                true
            };
            if stop.run_until_cancelled(goes_on).await != Some(true) {
                return;
            }
        }
    }

    /// Waits until there is not less to say than stands there of the process before: until everything
    /// is loaded, and the switch was asked. False when there is no follower any more.
    async fn begins(&mut self) -> bool {
        if self.progress.wait_for(|progress| progress.caught_up).await.is_err() {
            return false;
        }
        let unasked = Some(Applied::default());
        let asked = self.applied.wait_for(|applied| *applied != unasked);
        // A switch that is away has nothing applied: that is said then.
        let _ = tokio::time::timeout(FIRST_ASKED, asked).await;
        true
    }

    /// All there is to say. What changes from now on is news.
    fn now(&mut self) -> (Applied, SwitchReport) {
        self.progress.mark_unchanged();
        let applied = self.applied.borrow_and_update().clone();
        let held = applied.unwrap_or_else(|| Applied {
            platform: self.replica.platform_revision(),
            tenants: self.replica.revisions(),
        });
        (held, self.findings.borrow_and_update().clone())
    }

    /// Waits until there is something to say, or a sign of life is due. False when there is no
    /// follower any more.
    async fn news(&mut self, reporter: &Reporter) -> bool {
        let found = async {
            while self.findings.changed().await.is_ok() {
                tokio::time::sleep(FOUND_TOGETHER).await;
                if reporter.is_news(&self.findings.borrow_and_update()) {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            changed = self.progress.changed() => match changed {
                Ok(()) => tokio::time::sleep(TOGETHER).await,
                Err(_) => return false,
            },
            Ok(()) = self.applied.changed() => tokio::time::sleep(TOGETHER).await,
            () = found => {}
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_applied_is_said_in_place_of_what_is_held() {
        let replica = Arc::new(Replica::default());
        replica.put_platform(7, Default::default());
        let (progress, caught_up) = watch::channel(Progress { caught_up: true, ..Progress::default() });
        let (applied, findings) = (watch::Sender::default(), watch::Sender::default());
        let mut watched = Watched {
            replica,
            progress: caught_up,
            applied: applied.subscribe(),
            findings: findings.subscribe(),
        };
        assert!(watched.begins().await);
        let held = Applied { platform: 7, ..Applied::default() };
        assert_eq!(watched.now(), (held, SwitchReport::default()), "nobody asks the switch");

        // One that is to be asked is waited for, so that it does not seem to have lost everything.
        applied.send_replace(Some(Applied::default()));
        let asked = Applied { platform: 5, ..Applied::default() };
        let begins = async { (watched.begins().await, watched.now().0) };
        let asks = async {
            tokio::time::sleep(TOGETHER).await;
            applied.send_replace(Some(asked.clone()));
        };
        assert_eq!(tokio::join!(begins, asks).0, (true, asked));
        drop(progress);
    }
}
