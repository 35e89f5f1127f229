//! What would be wrong if an object were written: the same compile, on the proposed world.

use super::CompileState;
use crate::compile;
use crate::compile::{Claims, Compiled, Effect, Problem, Reason};
use crate::source::index::key_of;
use crate::source::{Change, Object, TenantKey};
use crate::status::reason::wants_a_person;

/// What is to be said of a proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionVerdict {
    /// Why it is refused: problems of the object itself that it did not have before, and that
    /// nothing but another spec will end.
    pub refused: Vec<Problem>,
    /// What is to be known all the same: other problems of it, and new ones of others.
    pub warnings: Vec<Problem>,
}

impl CompileState {
    /// Judges an object as it is proposed. A reference to what is not there yet is no reason to
    /// refuse: who applies a folder applies it in any order.
    pub fn propose(&self, object: Object) -> AdmissionVerdict {
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
        let known = |problem: &Problem| {
            before.iter().any(|old| {
                (&old.resource, &old.field, old.reason) == (&problem.resource, &problem.field, problem.reason)
            })
        };
        let is_new = |problem: &&Problem| problem.effect != Effect::Waiting && !known(problem);
        let (mine, others): (Vec<_>, Vec<_>) = after.iter().partition(|problem| problem.resource == own);
        // Whoever writes in a namespace is told nothing of others.
        let may_be_told =
            |problem: &&Problem| own.namespace.is_none() || problem.resource.namespace == own.namespace;
        let (refused, tolerated): (Vec<_>, Vec<_>) =
            mine.into_iter().partition(|problem| is_new(problem) && keeps_out(problem.reason));
        let told = tolerated.into_iter().filter(|problem| problem.effect != Effect::Waiting);
        AdmissionVerdict {
            refused: refused.into_iter().cloned().collect(),
            warnings: told.chain(others.into_iter().filter(may_be_told).filter(is_new)).cloned().collect(),
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

    /// Who would hold what; none when nothing would change hands.
    fn claims_with(&self, object: &Object) -> Option<Claims> {
        let before = self.world.object(&object.key());
        let mut claims = match object {
            Object::Number(_) | Object::Tenant(_) => self.claims.clone(),
            _ => return None,
        };
        match before {
            Some(Object::Number(number)) => claims.remove_number(number),
            Some(Object::Tenant(tenant)) => claims.remove_tenant(tenant),
            _ => {}
        }
        match object {
            Object::Number(number) => claims.add_number(number),
            Object::Tenant(tenant) => claims.add_tenant(tenant),
            _ => {}
        }
        Some(claims)
    }
}

/// Whether nothing but another spec will end a problem. A test may be there before what it tests.
fn keeps_out(reason: Reason) -> bool {
    wants_a_person(reason) && reason != Reason::TestFailed
}

/// The tenant that an object belongs to, or is.
pub(super) fn tenant_of(object: &Object) -> Option<TenantKey> {
    match object {
        Object::Tenant(tenant) => key_of(tenant),
        _ => {
            let namespace = object.metadata().namespace.clone()?;
            Some(TenantKey { namespace, name: object.tenant()?.to_owned() })
        }
    }
}
