//! All resources of the source, and the platform's plan compiled from them. The writing loop and the admission
//! webhook share it.

use std::collections::BTreeSet;

use super::problem_log::ProblemLog;
use super::tenant::log_last_good;
use crate::compile;
use crate::compile::{Claims, Compiled, LastGoodRow};
use crate::plan::{InForce, PlatformPlan, TenantPlan};
use crate::source::index::{Affected, key_of};
use crate::source::{Change, ObjectKey, PlatformSnapshot, ResourceIndex, TenantKey, TenantSnapshot};

/// All resources, with the compiled platform.
#[derive(Debug, Default)]
pub struct CompileState {
    /// Every resource.
    pub world: ResourceIndex,
    /// Holders of unique values, such as numbers and domains.
    pub claims: Claims,
    /// The platform's resources.
    pub snapshot: PlatformSnapshot,
    /// The platform's plan.
    pub platform: PlatformPlan,
    /// Problems of the platform's resources.
    pub problems: ProblemLog,
    /// Platform resources whose last good rows or fields stay in force.
    pub kept: Vec<LastGoodRow>,
    /// The platform's rows in force, once they were read.
    pub in_force: Option<InForce<PlatformPlan>>,
    /// Problems of resources without a Tenant.
    pub orphans: ProblemLog,
    /// Whether the platform was compiled.
    pub(super) compiled: bool,
}

/// Work that follows from changes.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Tenants to compile.
    pub tenants: BTreeSet<TenantKey>,
    /// Whether the platform was compiled.
    pub platform: bool,
    /// Whether a claim may have another holder.
    pub claims: bool,
    /// Changed objects with their tenant, or `None` for the platform's; also platform resources whose problem
    /// is gone.
    pub objects: Vec<(Option<TenantKey>, ObjectKey)>,
}

impl CompileState {
    /// Applies changes, compiles the platform if they affect it, and returns the work that follows.
    pub fn apply_changes(&mut self, changes: Vec<Change>) -> Consequences {
        let mut affected = Affected::default();
        for change in changes {
            affected.merge(self.world.apply(change));
        }
        let tenants = std::mem::take(&mut affected.tenants);
        let objects = std::mem::take(&mut affected.objects);
        let mut consequences =
            Consequences { tenants, claims: affected.claims, objects, ..Default::default() };
        self.compile_platform(&affected, &mut consequences);
        self.orphans.replace(compile::orphans(&self.world));
        consequences
    }

    /// Sets the platform's rows in force, and compiles the platform with them.
    pub fn set_in_force(&mut self, in_force: InForce<PlatformPlan>) -> Consequences {
        self.in_force = Some(in_force);
        let mut consequences = Consequences::default();
        let affected = Affected { platform: true, ..Affected::default() };
        self.compile_platform(&affected, &mut consequences);
        consequences
    }

    /// Compiles the platform if changes affect it, and adds the tenants whose plans depend on the difference.
    fn compile_platform(&mut self, affected: &Affected, consequences: &mut Consequences) {
        let tenants = &mut consequences.tenants;
        let mut must_compile = affected.platform || !self.compiled;
        if affected.claims || !self.compiled {
            let claims = Claims::new(&self.world);
            must_compile |= claims.emergency_numbers() != self.claims.emergency_numbers();
            tenants.extend(self.claims.moved(&claims));
            self.claims = claims;
        }
        if !must_compile {
            return;
        }
        let snapshot = self.world.platform();
        let Compiled { plan, problems, kept } =
            compile::platform_after(&snapshot, &self.claims, self.in_force.as_ref());
        // Limits, policies and trunks of every tenant may differ. A carrier's password, or a label that no
        // selector uses, affects no tenant.
        if !self.compiled || plan != self.platform || !snapshot.same_rules(&self.snapshot) {
            tenants.extend(self.world.tenants().filter_map(|tenant| key_of(tenant)));
        }
        self.snapshot = snapshot;
        self.platform = plan;
        for kept in kept.iter().filter(|kept| !self.kept.contains(kept)) {
            log_last_good(&kept.resource, &kept.part);
        }
        self.kept = kept;
        let solved = self.problems.replace(problems);
        consequences.objects.extend(solved.into_iter().map(|key| (None, key)));
        consequences.platform = true;
        self.compiled = true;
    }

    /// Whether the first changes were applied.
    pub fn is_ready(&self) -> bool {
        self.compiled
    }

    /// Compiles a tenant; `None` if the Tenant does not exist.
    pub fn compile(&self, key: &TenantKey) -> Option<Compiled<Option<TenantPlan>>> {
        Some(self.compile_after(&self.world.tenant(key)?, None))
    }

    /// Compiles a tenant's snapshot with the rows in force, if known, to keep what became invalid.
    pub fn compile_after(
        &self,
        snapshot: &TenantSnapshot,
        before: Option<&InForce<TenantPlan>>,
    ) -> Compiled<Option<TenantPlan>> {
        compile::tenant_after(snapshot, &self.snapshot, &self.platform, &self.claims, before)
    }
}
