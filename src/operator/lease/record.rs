//! What stands in a Lease: who holds it, and what to write there.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// A Lease as it was last seen.
pub(super) struct ObservedLease {
    /// As the API server gave it.
    pub lease: Lease,
    /// When it was first seen to say this: its holder lived then, or a little before.
    since: Instant,
}

impl ObservedLease {
    /// What was seen just now, after what was seen before.
    pub fn now(lease: Lease, before: Option<&ObservedLease>) -> Self {
        let same =
            |before: &&ObservedLease| before.lease.spec == lease.spec && uid(&before.lease) == uid(&lease);
        let since = before.filter(same).map_or_else(Instant::now, |before| before.since);
        Self { lease, since }
    }

    /// Who holds it; none when it was given back.
    pub fn holder(&self) -> Option<&str> {
        self.lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// When it runs out, unless it changes: after the time its holder wrote there, else ours.
    pub fn expires(&self, ours: Duration) -> Instant {
        let seconds = self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let theirs = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        self.since + theirs.unwrap_or(ours)
    }

    /// How often it has changed hands.
    pub fn transitions(&self) -> i64 {
        self.lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0).into()
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        uid(&self.lease)
    }
}

fn uid(lease: &Lease) -> &str {
    lease.metadata.uid.as_deref().unwrap_or_default()
}

/// The Lease with us as its holder, from now on or still.
pub(super) fn held(mut lease: Lease, identity: &str, duration: Duration) -> Lease {
    let now = Some(MicroTime(Timestamp::now()));
    let spec = lease.spec.get_or_insert_default();
    let new = spec.holder_identity.as_deref() != Some(identity);
    // The first holder ever took it from nobody.
    let changes_hands = new && spec.holder_identity.is_some();
    if new {
        spec.acquire_time.clone_from(&now);
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(changes_hands.into()));
    spec.lease_duration_seconds = Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1));
    spec.renew_time = now;
    lease
}

/// The Lease given back: without a holder, as client-go leaves it.
pub(super) fn released(mut lease: Lease) -> Lease {
    let now = Some(MicroTime(Timestamp::now()));
    let before = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: now.clone(),
        renew_time: now,
        ..before
    });
    lease
}
