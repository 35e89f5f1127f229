//! Admission: compiles with a proposed object, and compares the problems with the present ones.

use super::CompileState;
use crate::compile;
use crate::compile::{Claims, Compiled, Effect, Problem, Reason};
use crate::source::index::key_of;
use crate::source::{Change, Object, TenantKey};
use crate::status::reason::wants_a_person;

/// The verdict on a proposed object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionVerdict {
    /// Reasons to refuse the object: its own new problems that only another spec can solve.
    pub refused: Vec<Problem>,
    /// Its other problems, and new problems of other resources.
    pub warnings: Vec<Problem>,
}

impl CompileState {
    /// Reviews a proposed object. A reference to a missing object is no reason to refuse: the manifests of a
    /// folder are applied in any order.
    pub fn review(&self, object: Object) -> AdmissionVerdict {
        let (before, after) = match &object {
            Object::TenantProfile(_) | Object::SipProfile(_) | Object::DialRule(_) | Object::Trunk(_) => {
                (self.problems.to_vec(), self.platform_with(object.clone()))
            }
            _ => match tenant_of(&object) {
                Some(key) => {
                    let before = self.compile(&key).map(|compiled| compiled.problems);
                    (before.unwrap_or_default(), self.tenant_with(&key, object.clone()))
                }
                None => return AdmissionVerdict::default(),
            },
        };
        let own = object.key();
        let existed = |problem: &Problem| {
            before.iter().any(|old| {
                (&old.resource, &old.field, old.reason) == (&problem.resource, &problem.field, problem.reason)
            })
        };
        let is_new = |problem: &&Problem| problem.effect != Effect::Waiting && !existed(problem);
        let (mine, others): (Vec<_>, Vec<_>) = after.iter().partition(|problem| problem.resource == own);
        // The author may have no rights in other namespaces: their problems are not shown.
        let may_be_shown =
            |problem: &&Problem| own.namespace.is_none() || problem.resource.namespace == own.namespace;
        let (refused, tolerated): (Vec<_>, Vec<_>) =
            mine.into_iter().partition(|problem| is_new(problem) && is_ground_to_refuse(problem));
        let shown = tolerated.into_iter().filter(|problem| problem.effect != Effect::Waiting);
        AdmissionVerdict {
            refused: refused.into_iter().cloned().collect(),
            warnings: shown.chain(others.into_iter().filter(may_be_shown).filter(is_new)).cloned().collect(),
        }
    }

    fn platform_with(&self, object: Object) -> Vec<Problem> {
        let mut world = self.world.subset_for_platform();
        world.apply(Change::Upsert(object));
        compile::platform(&world.platform(), &self.claims).problems
    }

    fn tenant_with(&self, key: &TenantKey, object: Object) -> Vec<Problem> {
        let mut world = self.world.subset_for_tenant(key);
        let claims = self.claims_with(&object);
        world.apply(Change::Upsert(object));
        let Some(snapshot) = world.tenant(key) else { return compile::orphans(&world) };
        let claims = claims.as_ref().unwrap_or(&self.claims);
        let Compiled { problems, .. } = compile::tenant(&snapshot, &self.snapshot, &self.platform, claims);
        problems
    }

    /// The claims with a proposed object; `None` if its kind has none.
    fn claims_with(&self, object: &Object) -> Option<Claims> {
        let before = self.world.object(&object.key());
        let mut claims = match object {
            Object::Number(_) | Object::Device(_) | Object::Tenant(_) => self.claims.clone(),
            _ => return None,
        };
        match before {
            Some(Object::Number(number)) => claims.remove_number(number),
            Some(Object::Device(device)) => claims.remove_device(device),
            Some(Object::Tenant(tenant)) => claims.remove_tenant(tenant),
            _ => {}
        }
        match object {
            Object::Number(number) => claims.add_number(number),
            Object::Device(device) => claims.add_device(device),
            Object::Tenant(tenant) => claims.add_tenant(tenant),
            _ => {}
        }
        Some(claims)
    }
}

/// Whether only another spec can solve a problem. A failing test is tolerated: it may be applied before the
/// resource that it tests.
fn is_ground_to_refuse(problem: &Problem) -> bool {
    problem.effect.is_mistake() && wants_a_person(problem.reason) && problem.reason != Reason::TestFailed
}

/// The tenant that an object belongs to; of a Tenant, its own key.
pub(super) fn tenant_of(object: &Object) -> Option<TenantKey> {
    match object {
        Object::Tenant(tenant) => key_of(tenant),
        _ => {
            let namespace = object.metadata().namespace.clone()?;
            Some(TenantKey { namespace, name: object.tenant()?.to_owned() })
        }
    }
}
