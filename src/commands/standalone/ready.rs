//! Readiness: whether every manifest is served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use crate::freeswitch::listener::Probe;
use crate::reconcile::Progress;
use crate::replica::follow;
use crate::replica::tenants::Replica;

/// Compares the stored revisions with those of the replica.
pub struct Ready {
    replica: Arc<Replica>,
    stored: watch::Receiver<Progress>,
    followed: watch::Receiver<follow::Progress>,
}

impl Ready {
    /// From the progress of the writer and of the follower.
    pub fn new(
        replica: Arc<Replica>,
        stored: watch::Receiver<Progress>,
        followed: watch::Receiver<follow::Progress>,
    ) -> Self {
        Self { replica, stored, followed }
    }

    /// Logs once, when every manifest is served.
    pub async fn log_once(self: Arc<Self>) {
        let (mut stored, mut followed) = (self.stored.clone(), self.followed.clone());
        while !self.missing().is_empty() {
            let changed = tokio::select! {
                changed = stored.changed() => changed,
                changed = followed.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
        let (tenants, problems) = (stored.borrow().tenants.len(), stored.borrow().problems);
        info!(tenants, problems, "ready: everything valid in the manifests is served");
    }
}

impl Probe for Ready {
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let stored = self.stored.borrow();
        if !stored.stored {
            missing.push("manifests are not all compiled and stored yet".to_owned());
        }
        if self.replica.platform_revision() < stored.platform {
            missing.push("the platform's rows are not served yet".to_owned());
        }
        let served = self.replica.revisions();
        let behind = stored.tenants.iter().filter(|(id, revision)| served.get(id) < Some(revision)).count();
        if behind > 0 {
            missing.push(format!("{behind} of {} tenants are not served yet", stored.tenants.len()));
        }
        let removed = stored.removed.iter().filter(|id| served.contains_key(id)).count();
        if removed > 0 {
            missing.push(format!("{removed} removed tenants are still served"));
        }
        missing
    }

    fn replica_age(&self) -> Option<Duration> {
        Some(self.followed.borrow().last_heard?.elapsed())
    }

    fn held_back(&self) -> usize {
        self.followed.borrow().held_back.len()
    }
}
