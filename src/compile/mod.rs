//! Snapshot in, plan and problems out. Pure: no I/O, no clock, no Kubernetes client.
//!
//! All rules that need more than one resource live here. What one field may hold is in the CRDs.

pub mod claims;
mod countries;
mod patterns;
mod platform;
mod platform_last_good;
mod problem;
mod secrets;
mod sources;
mod tenant;
mod trunk;

pub use claims::Claims;
pub use platform::{platform, platform_after};
pub use problem::{About, Effect, LastGoodRow, Problem, Reason, Stays};
pub use tenant::{tenant, tenant_after};

use crate::plan::{PlatformPlan, TenantPlan};
use crate::source::index::key_of;
use crate::source::{ResourceIndex, TenantKey};

/// What a compile gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled<T> {
    /// What is right, ready to be stored.
    pub plan: T,
    /// What is wrong or missing, in order of the resources.
    pub problems: Vec<Problem>,
    /// Of which resources something stays that was in force before, in order.
    pub kept: Vec<LastGoodRow>,
}

/// Everything compiled at once.
#[derive(Clone, Debug)]
pub struct CompiledPlans {
    /// The platform's rows.
    pub platform: PlatformPlan,
    /// The tenants that were not refused.
    pub tenants: Vec<(TenantKey, TenantPlan)>,
    /// What is wrong or missing anywhere, in order of the resources.
    pub problems: Vec<Problem>,
}

/// Compiles everything a source has seen: for `centrex check`, and to compare worlds.
pub fn world(world: &ResourceIndex) -> CompiledPlans {
    let claims = Claims::new(world);
    let snapshot = world.platform();
    let Compiled { plan: platform, mut problems, .. } = platform::platform(&snapshot, &claims);
    let mut tenants = Vec::new();
    for key in world.tenants().filter_map(|tenant| key_of(tenant)) {
        let Some(tenant_snapshot) = world.tenant(&key) else { continue };
        let compiled = tenant::tenant(&tenant_snapshot, &snapshot, &platform, &claims);
        problems.extend(compiled.problems);
        tenants.extend(compiled.plan.map(|plan| (key, plan)));
    }
    problems.extend(orphans(world));
    problems.sort();
    CompiledPlans { platform, tenants, problems }
}

/// Resources whose Tenant does not exist.
pub fn orphans(world: &ResourceIndex) -> Vec<Problem> {
    world
        .orphans()
        .map(|(tenant, object)| {
            Problem::refused(
                object.key(),
                "spec.tenantRef.name",
                Reason::RefNotFound,
                format!("there is no Tenant {} in namespace {}", tenant.name, tenant.namespace),
            )
            .about(tenant.object())
        })
        .collect()
}
