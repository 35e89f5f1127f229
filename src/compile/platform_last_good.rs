//! The platform's rows from before, for resources that became invalid by mistake.

use crate::resources::Kind;
use std::net::IpAddr;

use super::platform::{Bound, meet, trunk_name};
use super::problem::{Effect, LastGoodRow, Problem, Stays};
use super::trunk::trunk_row_from_before;
use crate::plan::*;
use crate::resources::{DialRule, Trunk};
use crate::source::object::created;
use crate::source::{ObjectKey, PlatformSnapshot};

/// What was in force before, and what of it stays.
pub(super) struct PlatformLastGood<'a> {
    before: Option<&'a InForce<PlatformPlan>>,
    pub kept: Vec<LastGoodRow>,
}

impl<'a> PlatformLastGood<'a> {
    pub fn new(before: Option<&'a InForce<PlatformPlan>>) -> Self {
        Self { before, kept: Vec::new() }
    }

    /// The row from before of a resource, with the generation that it was compiled from.
    fn row<T: Row>(
        &self,
        name: &str,
        uid: Option<&str>,
        rows: impl Fn(&'a PlatformPlan) -> &'a Rows<T>,
    ) -> Option<(&'a T, Option<i64>)> {
        let before = self.before?;
        let origin = before.origin(T::KIND.as_str(), name, uid)?;
        Some((rows(&before.plan).get(name)?, origin.generation))
    }

    fn keep(&mut self, resource: ObjectKey, stays: Stays) {
        self.kept.push(LastGoodRow { resource, stays });
    }

    /// Puts profiles back, the oldest first, whose ports nobody else has taken.
    pub fn sip_profiles(
        &mut self,
        snapshot: &PlatformSnapshot,
        mut bound: Vec<Bound>,
        plan: &mut PlatformPlan,
        problems: &[Problem],
    ) {
        let mut by_age: Vec<_> = snapshot.sip_profiles.iter().collect();
        by_age.sort_by_key(|profile| (created(&profile.metadata), profile.metadata.name.clone()));
        for profile in by_age {
            let name = profile.metadata.name.clone().unwrap_or_default();
            let key = ObjectKey { kind: Kind::SipProfile, namespace: None, name: name.clone() };
            let row = self.row(&name, profile.metadata.uid.as_deref(), |plan| &plan.sip_profiles);
            let Some((row, generation)) = row.filter(|_| refused_by_mistake(problems, &key)) else {
                continue;
            };
            let address: Option<IpAddr> = row.bind_address.as_deref().and_then(|text| text.parse().ok());
            let ports = [Some(row.sip_port), row.tls_port];
            let ports: Vec<i32> = ports.into_iter().flatten().collect();
            let taken = |port| bound.iter().any(|(other, held, _)| held == port && meet(*other, address));
            if ports.iter().any(taken) {
                continue;
            }
            bound.extend(ports.into_iter().map(|port| (address, port, name.clone())));
            plan.sip_profiles.insert(name, row.clone());
            self.keep(key, Stays::Whole(generation));
        }
    }

    /// The row of a trunk as it is in force: that of its spec, with the registration from before where its
    /// password cannot be used; or the one from before.
    pub fn trunk(
        &mut self,
        trunk: &Trunk,
        key: &ObjectKey,
        row: Option<TrunkRow>,
        (snapshot, plan): (&PlatformSnapshot, &PlatformPlan),
        problems: &[Problem],
    ) -> Option<TrunkRow> {
        let name = trunk_name(key.namespace.as_deref().unwrap_or(""), &key.name);
        let before = self.row(&name, trunk.metadata.uid.as_deref(), |plan| &plan.trunks);
        let Some((before, generation)) = before else { return row };
        let Some(mut row) = row else {
            if !refused_by_mistake(problems, key) {
                return None;
            }
            let row = trunk_row_from_before(trunk, before, snapshot, plan)?;
            self.keep(key.clone(), Stays::Whole(generation));
            return Some(row);
        };
        let field = "spec.registration.secretRef";
        let degraded = |problem: &Problem| {
            problem.resource == *key && problem.field == field && problem.keeps_last_row()
        };
        if let (Some(registration), Some(password)) =
            (&before.registration, before.secrets.get(SecretName::Password))
            && problems.iter().any(degraded)
        {
            row.registration = Some(registration.clone());
            row.secrets.insert(SecretName::Password, password);
            self.keep(key.clone(), Stays::Fields(vec![field.to_owned()]));
        }
        Some(row)
    }

    /// The row from before of a rule that is refused, where a trunk of it is there.
    pub fn dial_rule(
        &mut self,
        rule: &DialRule,
        name: &str,
        plan: &PlatformPlan,
        problems: &[Problem],
    ) -> Option<DialRuleRow> {
        let key = ObjectKey { kind: Kind::DialRule, namespace: None, name: name.to_owned() };
        let before = self.row(name, rule.metadata.uid.as_deref(), |plan| &plan.dial_rules);
        let (before, generation) = before.filter(|_| refused_by_mistake(problems, &key))?;
        let mut row = before.clone();
        if let DialActionRow::Route { trunks } = &mut row.action {
            trunks.retain(|trunk| plan.trunks.contains_key(trunk));
            if trunks.is_empty() {
                return None;
            }
        }
        self.keep(key, Stays::Whole(generation));
        Some(row)
    }
}

/// The lower of two limits; none is no limit.
pub(super) fn least(one: Option<i32>, other: Option<i32>) -> Option<i32> {
    one.into_iter().chain(other).min()
}

/// Whether a resource is refused, for a problem that takes no right away.
fn refused_by_mistake(problems: &[Problem], key: &ObjectKey) -> bool {
    problems.iter().any(|problem| {
        problem.resource == *key && problem.effect == Effect::Refused && problem.keeps_last_row()
    })
}
