//! Retention of recordings: the leader removes those older than `recordingDays`, and the oldest beyond
//! `maxStorage`, of the tenant's profile.

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

/// Delay of the first run. By then the profiles of all tenants are probably known.
const FIRST_DELAY: Duration = Duration::from_secs(60);
/// Pause between runs.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Metrics of removed recordings. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordingMetrics {
    removed: Family<Vec<(&'static str, &'static str)>, Counter>,
    full: Gauge,
}

impl RecordingMetrics {
    /// Registers the metrics.
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

/// A tenant whose profile limits its recordings.
struct LimitedTenant {
    tenant: Uuid,
    owner: String,
    /// Age limit of recordings, in days.
    days: Option<u32>,
    /// Size limit of all media, in bytes.
    max_bytes: Option<u64>,
}

/// Removes recordings past their limits, once per [`INTERVAL`], until the handle is dropped.
pub fn retain(
    media: PathBuf,
    state: Arc<RwLock<CompileState>>,
    metrics: RecordingMetrics,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut pause = FIRST_DELAY;
        loop {
            tokio::time::sleep(std::mem::replace(&mut pause, INTERVAL)).await;
            let (media, tenants, metrics) = (media.clone(), limited_tenants(&state), metrics.clone());
            if let Err(cause) = spawn_blocking(move || enforce_limits(&media, tenants, &metrics)).await {
                error!(%cause, "a look at recordings was broken off");
            }
        }
    }))
}

/// Tenants whose profile limits their recordings. Others keep theirs for ever.
fn limited_tenants(state: &RwLock<CompileState>) -> Vec<LimitedTenant> {
    let state = state.read().unwrap_or_else(PoisonError::into_inner);
    let limited = state.world.tenants().filter_map(|tenant| {
        let profile: &TenantProfile =
            state.snapshot.tenant_profiles.get(&tenant.spec.profile_ref.as_ref()?.name)?;
        let days = profile.spec.retention.as_ref().and_then(|retention| retention.recording_days);
        let days = days.and_then(|days| days.try_into().ok());
        let max_bytes = profile.spec.max_storage.as_deref().and_then(bytes);
        let (tenant, owner) = (tenant_id(tenant)?, tenant.metadata.uid.clone()?);
        (days.is_some() || max_bytes.is_some()).then_some(LimitedTenant { tenant, owner, days, max_bytes })
    });
    limited.collect()
}

/// Enforces the limits of all tenants. A failure is logged, and the others go on.
fn enforce_limits(media: &Path, tenants: Vec<LimitedTenant>, metrics: &RecordingMetrics) {
    let mut full = 0;
    for limited in tenants {
        match enforce_limit(media, &limited, metrics) {
            Ok(over) => full += i64::from(over),
            Err(cause) => {
                let tenant = limited.tenant;
                error!(category = cause.category(), %tenant, %cause, "recordings could not be removed");
            }
        }
    }
    metrics.full.set(full);
}

/// Removes a tenant's recordings past its limits. Returns whether its media still exceed `max_bytes`.
fn enforce_limit(
    media: &Path,
    limited: &LimitedTenant,
    metrics: &RecordingMetrics,
) -> Result<bool, MediaError> {
    let LimitedTenant { tenant, owner, days, max_bytes } = limited;
    let now = SystemTime::now();
    if let Some(days) = days {
        let removed = remove_older(media, *tenant, owner, *days, now)?;
        metrics.removed("retention", removed);
        if removed > 0 {
            info!(%tenant, removed, days, "recordings were kept long enough");
        }
    }
    let Some(most) = max_bytes else { return Ok(false) };
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
