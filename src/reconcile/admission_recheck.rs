//! Second review before a proposal is refused. The watch lags behind the API server: the objects that the
//! verdict depends on are read again, because one that the watch has not shown yet is no reason to refuse.

use std::collections::BTreeSet;

use super::CompileState;
use super::admission::tenant_of;
use super::problem_log::ProblemLog;
use crate::compile;
use crate::compile::{Claims, Compiled, Problem};
use crate::resources::Kind;
use crate::source::references::trunks;
use crate::source::{Change, Object, ObjectKey};

impl CompileState {
    /// The objects that a verdict depends on: the proposal's namespace, its Tenant and TenantProfile, its
    /// Trunks, and the holders of the values it claims.
    pub fn admission_inputs(&self, object: &Object, refused: &[Problem]) -> BTreeSet<ObjectKey> {
        let mut keys = BTreeSet::new();
        if let Some(name) = object.metadata().namespace.clone() {
            keys.insert(ObjectKey { kind: Kind::Namespace, namespace: None, name });
        }
        keys.extend(trunks(object));
        let holders = refused.iter().filter_map(|problem| problem.holder.clone());
        let holders: Vec<ObjectKey> = holders.collect();
        // A holder counts only while its Tenant exists.
        let of_holders = holders.iter().filter_map(|holder| tenant_of(self.world.object(holder)?));
        keys.extend(tenant_of(object).into_iter().chain(of_holders).map(|tenant| tenant.object()));
        keys.extend(holders);
        let tenant = tenant_of(object).and_then(|tenant| self.world.object(&tenant.object()));
        for tenant in [Some(object), tenant].into_iter().flatten() {
            if let Object::Tenant(tenant) = tenant
                && let Some(profile) = &tenant.spec.profile_ref
            {
                let name = profile.name.clone();
                keys.insert(ObjectKey { kind: Kind::TenantProfile, namespace: None, name });
            }
        }
        keys.remove(&object.key());
        keys
    }

    /// Whether a change is already applied.
    pub fn contains(&self, change: &Change) -> bool {
        match change {
            Change::Upsert(new) => match (self.world.object(&new.key()), new) {
                (Some(Object::Namespace(old)), Object::Namespace(new)) => {
                    old.metadata.labels == new.metadata.labels
                }
                (Some(old), new) => old.is_same_input(new),
                (None, _) => false,
            },
            Change::Remove(key) => self.world.object(key).is_none(),
            // The last readable version stays in force.
            Change::Unreadable(_) => true,
        }
    }

    /// A copy of the state with changes applied.
    pub fn with_changes(&self, changes: &[Change]) -> Self {
        let mut world = self.world.clone();
        for change in changes {
            world.apply(change.clone());
        }
        let claims = Claims::new(&world);
        let snapshot = world.platform();
        let in_force = self.in_force.clone();
        let Compiled { plan: platform, problems, kept } =
            compile::platform_after(&snapshot, &claims, in_force.as_ref());
        let (problems, orphans) = (ProblemLog::of(problems), ProblemLog::of(compile::orphans(&world)));
        Self { world, claims, snapshot, platform, problems, kept, in_force, orphans, compiled: true }
    }
}
