//! Recordings are kept as long as the tenant's profile says, and removed then by whoever leads.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};
use uuid::Uuid;

use super::Known;
use crate::compile::claims::tenant_id;
use crate::store::recordings::remove_older;

/// The first look, when everything is probably known, and how often after it.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(60 * 60);

/// A tenant whose recordings end: identity, owner, days.
type Kept = (Uuid, String, u32);

/// Looks at the recordings of all tenants again and again, until it is dropped.
pub fn keep(media: PathBuf, known: Arc<RwLock<Known>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut wait = FIRST;
        loop {
            tokio::time::sleep(std::mem::replace(&mut wait, EVERY)).await;
            let (media, tenants) = (media.clone(), ending(&known));
            if let Err(cause) = spawn_blocking(move || look(&media, tenants)).await {
                error!(%cause, "a look at recordings was broken off");
            }
        }
    }))
}

/// Tenants with a profile that ends their recordings. Without one they are kept for ever.
fn ending(known: &RwLock<Known>) -> Vec<Kept> {
    let known = known.read().unwrap_or_else(PoisonError::into_inner);
    let kept = known.world.tenants().filter_map(|tenant| {
        let profile = known.snapshot.tenant_profiles.get(&tenant.spec.profile_ref.as_ref()?.name)?;
        let days = u32::try_from(profile.spec.retention.as_ref()?.recording_days?).ok()?;
        Some((tenant_id(tenant)?, tenant.metadata.uid.clone()?, days))
    });
    kept.collect()
}

fn look(media: &std::path::Path, tenants: Vec<Kept>) {
    for (tenant, owner, days) in tenants {
        match remove_older(media, tenant, &owner, days, SystemTime::now()) {
            Ok(0) => {}
            Ok(removed) => info!(%tenant, removed, days, "recordings were kept long enough"),
            Err(cause) => {
                error!(category = cause.category(), %tenant, %cause, "recordings could not be removed");
            }
        }
    }
}
