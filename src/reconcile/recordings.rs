//! Recordings are kept as long, and as many, as the tenant's profile says, and removed then by whoever
//! leads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::CompileState;
use crate::compile::claims::tenant_id;
use crate::media::directory::MediaError;
use crate::media::recordings::{Storage, remove_beyond, remove_older};
use crate::resources::TenantProfile;
use crate::resources::quantity::bytes;

/// The first look, when everything is probably known, and how often after it.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(60 * 60);

/// What is counted of it. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordingMetrics {
    removed: Family<Vec<(&'static str, &'static str)>, Counter>,
    full: Gauge,
}

impl RecordingMetrics {
    /// Puts them where they are read.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Recordings that were removed, by reason: retention or storage";
        registry.register("recordings_removed", help, self.removed.clone());
        let help =
            "Tenants whose media are more than their maxStorage although no recording is left to remove";
        registry.register("tenants_over_storage", help, self.full.clone());
    }

    fn removed(&self, reason: &'static str, recordings: usize) {
        let count = self.removed.get_or_create(&vec![("reason", reason)]);
        count.inc_by(u64::try_from(recordings).unwrap_or(u64::MAX));
    }
}

/// A tenant whose recordings end.
struct RetainedTenant {
    tenant: Uuid,
    owner: String,
    /// Days they are kept.
    days: Option<u32>,
    /// Bytes its media may have.
    most: Option<u64>,
}

/// Looks at the recordings of all tenants again and again, until it is dropped.
pub fn keep(
    media: PathBuf,
    known: Arc<RwLock<CompileState>>,
    metrics: RecordingMetrics,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut wait = FIRST;
        loop {
            tokio::time::sleep(std::mem::replace(&mut wait, EVERY)).await;
            let (media, tenants, metrics) = (media.clone(), ending(&known), metrics.clone());
            if let Err(cause) = spawn_blocking(move || look(&media, tenants, &metrics)).await {
                error!(%cause, "a look at recordings was broken off");
            }
        }
    }))
}

/// Tenants with a profile that ends their recordings. Without one they are kept for ever.
fn ending(known: &RwLock<CompileState>) -> Vec<RetainedTenant> {
    let known = known.read().unwrap_or_else(PoisonError::into_inner);
    let kept = known.world.tenants().filter_map(|tenant| {
        let profile: &TenantProfile =
            known.snapshot.tenant_profiles.get(&tenant.spec.profile_ref.as_ref()?.name)?;
        let days = profile.spec.retention.as_ref().and_then(|retention| retention.recording_days);
        let (days, most) = (days.and_then(|days| days.try_into().ok()), profile.spec.max_storage.as_deref());
        let most = most.and_then(bytes);
        let (tenant, owner) = (tenant_id(tenant)?, tenant.metadata.uid.clone()?);
        (days.is_some() || most.is_some()).then_some(RetainedTenant { tenant, owner, days, most })
    });
    kept.collect()
}

fn look(media: &Path, tenants: Vec<RetainedTenant>, metrics: &RecordingMetrics) {
    let mut full = 0;
    for kept in tenants {
        match look_at(media, &kept, metrics) {
            Ok(over) => full += i64::from(over),
            Err(cause) => {
                let tenant = kept.tenant;
                error!(category = cause.category(), %tenant, %cause, "recordings could not be removed");
            }
        }
    }
    metrics.full.set(full);
}

/// Whether a tenant has more than it may after all.
fn look_at(media: &Path, kept: &RetainedTenant, metrics: &RecordingMetrics) -> Result<bool, MediaError> {
    let RetainedTenant { tenant, owner, days, most } = kept;
    let now = SystemTime::now();
    if let Some(days) = days {
        let removed = remove_older(media, *tenant, owner, *days, now)?;
        metrics.removed("retention", removed);
        if removed > 0 {
            info!(%tenant, removed, days, "recordings were kept long enough");
        }
    }
    let Some(most) = most else { return Ok(false) };
    let Storage { removed, bytes } = remove_beyond(media, *tenant, owner, *most, now)?;
    metrics.removed("storage", removed);
    if removed > 0 {
        info!(%tenant, removed, bytes, most, "the oldest recordings made room: maxStorage");
    }
    if bytes > *most {
        warn!(%tenant, bytes, most, "the tenant's media are more than maxStorage, and not for its recordings");
    }
    Ok(bytes > *most)
}
