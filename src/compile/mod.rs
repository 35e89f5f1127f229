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
pub use problem::{About, Effect, KeptPart, LastGoodRow, Problem, Reason};
pub use tenant::{provisioning_user, tenant, tenant_after};

use crate::plan::{PlatformPlan, TenantPlan};
use crate::source::index::key_of;
use crate::source::{ResourceIndex, TenantKey};

/// The result of a compile.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled<T> {
    /// The rows to store.
    pub plan: T,
    /// What is wrong or missing, sorted by resource.
    pub problems: Vec<Problem>,
    /// Resources whose previous row, or a part of it, stays in force, sorted.
    pub kept: Vec<LastGoodRow>,
}

/// The plans of the platform and of all tenants.
#[derive(Clone, Debug)]
pub struct CompiledPlans {
    /// The platform's rows.
    pub platform: PlatformPlan,
    /// Plans of the tenants that were not refused.
    pub tenants: Vec<(TenantKey, TenantPlan)>,
    /// What is wrong or missing in any resource, sorted by resource.
    pub problems: Vec<Problem>,
}

/// Compiles every resource of an index without previous rows: for `centrex check`, `centrex trace` and
/// tests.
pub fn all(index: &ResourceIndex) -> CompiledPlans {
    let claims = Claims::new(index);
    let snapshot = index.platform();
    let Compiled { plan: platform, mut problems, .. } = platform::platform(&snapshot, &claims);
    let mut tenants = Vec::new();
    for key in index.tenants().filter_map(|tenant| key_of(tenant)) {
        let Some(tenant_snapshot) = index.tenant(&key) else { continue };
        let compiled = tenant::tenant(&tenant_snapshot, &snapshot, &platform, &claims);
        problems.extend(compiled.problems);
        tenants.extend(compiled.plan.map(|plan| (key, plan)));
    }
    problems.extend(orphans(index));
    problems.sort();
    CompiledPlans { platform, tenants, problems }
}

/// Resources whose Tenant does not exist.
pub fn orphans(index: &ResourceIndex) -> Vec<Problem> {
    index
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
