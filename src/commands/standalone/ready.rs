//! Whether everything there is, is served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use crate::freeswitch::listener::Probe;
use crate::reconcile::Progress;
use crate::replica::follow;
use crate::replica::tenants::Replica;

/// Compares what was stored with what the replica holds.
pub struct Ready {
    replica: Arc<Replica>,
    stored: watch::Receiver<Progress>,
    followed: watch::Receiver<follow::Progress>,
}

impl Ready {
    /// From the writing and the following side.
    pub fn new(
        replica: Arc<Replica>,
        stored: watch::Receiver<Progress>,
        followed: watch::Receiver<follow::Progress>,
    ) -> Self {
        Self { replica, stored, followed }
    }

    /// Logs once that everything there is, is served.
    pub async fn tell(self: Arc<Self>) {
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
        info!(tenants, problems, "ready: what is right in the manifests is served");
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
        let held = self.replica.revisions();
        let behind = stored.tenants.iter().filter(|(id, revision)| held.get(id) < Some(revision)).count();
        if behind > 0 {
            missing.push(format!("{behind} of {} tenants are not served yet", stored.tenants.len()));
        }
        let gone = stored.removed.iter().filter(|id| held.contains_key(id)).count();
        if gone > 0 {
            missing.push(format!("{gone} tenants that are gone are still served"));
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
