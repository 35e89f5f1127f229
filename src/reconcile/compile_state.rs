//! Everything a source told, and what compiles from it for all tenants. The writing loop and
//! admission judge by the same.

use std::collections::BTreeSet;

use super::problem_set::ProblemSet;
use super::tenant::tell;
use crate::compile;
use crate::compile::{Claims, Compiled, LastGoodRow};
use crate::plan::{InForce, PlatformPlan, TenantPlan};
use crate::source::index::{Affected, key_of};
use crate::source::{Change, ObjectKey, PlatformSnapshot, ResourceIndex, TenantKey, TenantSnapshot};

/// What is known of the world, with the platform compiled.
#[derive(Debug, Default)]
pub struct CompileState {
    /// Every resource.
    pub world: ResourceIndex,
    /// Who holds what there is only one of.
    pub claims: Claims,
    /// The platform's resources.
    pub snapshot: PlatformSnapshot,
    /// The platform's plan.
    pub platform: PlatformPlan,
    /// What is wrong with the platform's resources.
    pub problems: ProblemSet,
    /// Of which of them something stays that was in force before.
    pub kept: Vec<LastGoodRow>,
    /// The platform's rows as they are stored, once that is known.
    pub in_force: Option<InForce<PlatformPlan>>,
    /// Resources without a tenant.
    pub orphans: ProblemSet,
    /// Whether the platform was compiled yet.
    pub(super) compiled: bool,
}

/// What follows from changes.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Tenants to compile.
    pub tenants: BTreeSet<TenantKey>,
    /// The platform was compiled.
    pub platform: bool,
    /// Something may have changed hands.
    pub claims: bool,
    /// What is new or different, by the tenant whose plan has it, or none for the platform's; of the
    /// platform's also what had a problem that is gone.
    pub objects: Vec<(Option<TenantKey>, ObjectKey)>,
}

impl CompileState {
    /// Takes changes in, and says what is to be done about them.
    pub fn take_in(&mut self, changes: Vec<Change>) -> Consequences {
        let mut touched = Affected::default();
        for change in changes {
            touched.merge(self.world.apply(change));
        }
        let tenants = std::mem::take(&mut touched.tenants);
        let objects = std::mem::take(&mut touched.objects);
        let mut consequences =
            Consequences { tenants, claims: touched.claims, objects, ..Default::default() };
        self.compile_platform(&touched, &mut consequences);
        self.orphans.replace(compile::orphans(&self.world));
        consequences
    }

    /// Takes in what the store has of the platform: what of it may stay as it is does.
    pub fn learn(&mut self, in_force: InForce<PlatformPlan>) -> Consequences {
        self.in_force = Some(in_force);
        let mut consequences = Consequences::default();
        let touched = Affected { platform: true, ..Affected::default() };
        self.compile_platform(&touched, &mut consequences);
        consequences
    }

    /// Compiles the platform if what it is made of was touched; adds tenants that are concerned.
    fn compile_platform(&mut self, touched: &Affected, consequences: &mut Consequences) {
        let tenants = &mut consequences.tenants;
        let mut again = touched.platform || !self.compiled;
        if touched.claims || !self.compiled {
            let claims = Claims::new(&self.world);
            again |= claims.emergency_numbers() != self.claims.emergency_numbers();
            tenants.extend(self.claims.moved(&claims));
            self.claims = claims;
        }
        if !again {
            return;
        }
        let snapshot = self.world.platform();
        let Compiled { plan, problems, kept } =
            compile::platform_after(&snapshot, &self.claims, self.in_force.as_ref());
        // Limits, policies and trunks of every tenant may have changed with it; a carrier's
        // password, or a label nobody selects by, concerns none.
        if !self.compiled || plan != self.platform || !snapshot.same_rules(&self.snapshot) {
            tenants.extend(self.world.tenants().filter_map(|tenant| key_of(tenant)));
        }
        self.snapshot = snapshot;
        self.platform = plan;
        for kept in kept.iter().filter(|kept| !self.kept.contains(kept)) {
            tell(&kept.resource, &kept.part);
        }
        self.kept = kept;
        let mended = self.problems.replace(problems);
        consequences.objects.extend(mended.into_iter().map(|key| (None, key)));
        consequences.platform = true;
        self.compiled = true;
    }

    /// Whether the world was taken in once.
    pub fn is_complete(&self) -> bool {
        self.compiled
    }

    /// Compiles a tenant; `None` when there is no such Tenant.
    pub fn compile(&self, key: &TenantKey) -> Option<Compiled<Option<TenantPlan>>> {
        Some(self.compile_after(&self.world.tenant(key)?, None))
    }

    /// Compiles a tenant's snapshot, where it may be known what was in force before.
    pub fn compile_after(
        &self,
        snapshot: &TenantSnapshot,
        before: Option<&InForce<TenantPlan>>,
    ) -> Compiled<Option<TenantPlan>> {
        compile::tenant_after(snapshot, &self.snapshot, &self.platform, &self.claims, before)
    }
}
