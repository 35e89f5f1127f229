//! The record in a Lease: who holds it, and what to write there.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// A Lease as it was last read.
pub(super) struct ObservedLease {
    /// As the API server returned it.
    pub lease: Lease,
    /// When this record was first read: its holder was alive then, or shortly before.
    since: Instant,
}

impl ObservedLease {
    /// A Lease read just now. The same record as in `previous` keeps its time.
    pub fn now(lease: Lease, previous: Option<&ObservedLease>) -> Self {
        let same = |previous: &&ObservedLease| {
            previous.lease.spec == lease.spec && uid(&previous.lease) == uid(&lease)
        };
        let since = previous.filter(same).map_or_else(Instant::now, |previous| previous.since);
        Self { lease, since }
    }

    /// The holder's identity; `None` for a released Lease.
    pub fn holder(&self) -> Option<&str> {
        self.lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// When the Lease expires, unless it is renewed: after the duration that its holder wrote, else after
    /// `default`.
    pub fn expires(&self, default: Duration) -> Instant {
        let seconds = self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let written = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        self.since + written.unwrap_or(default)
    }

    /// How often the Lease has changed hands.
    pub fn transitions(&self) -> i64 {
        self.lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0).into()
    }

    /// UID of the Lease.
    pub fn uid(&self) -> &str {
        uid(&self.lease)
    }
}

fn uid(lease: &Lease) -> &str {
    lease.metadata.uid.as_deref().unwrap_or_default()
}

/// The Lease with this replica as its holder: acquired now, or renewed.
pub(super) fn held(mut lease: Lease, identity: &str, duration: Duration) -> Lease {
    let now = Some(MicroTime(Timestamp::now()));
    let spec = lease.spec.get_or_insert_default();
    let new = spec.holder_identity.as_deref() != Some(identity);
    // The first holder took the Lease from no other.
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

/// The Lease without a holder, as client-go writes it on release.
pub(super) fn released(mut lease: Lease) -> Lease {
    let now = Some(MicroTime(Timestamp::now()));
    let previous = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: now.clone(),
        renew_time: now,
        ..previous
    });
    lease
}
