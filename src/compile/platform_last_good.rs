//! Previous rows of the platform, restored for resources that became invalid by mistake.

use std::net::IpAddr;

use super::platform::{BoundPort, addresses_overlap, sockets, trunk_name};
use super::problem::{Effect, KeptPart, LastGoodRow, Problem};
use super::trunk::last_good_trunk_row;
use crate::plan::*;
use crate::resources::Kind;
use crate::resources::{DialRule, Trunk};
use crate::source::object::created;
use crate::source::{ObjectKey, PlatformSnapshot};

/// The platform's rows that were in force, and those that stay.
pub(super) struct PlatformLastGood<'a> {
    before: Option<&'a InForce<PlatformPlan>>,
    pub last_good_rows: Vec<LastGoodRow>,
}

impl<'a> PlatformLastGood<'a> {
    pub fn new(before: Option<&'a InForce<PlatformPlan>>) -> Self {
        Self { before, last_good_rows: Vec::new() }
    }

    /// The previous row of a resource, with the generation that it was compiled from; `None` when the row
    /// came from another object of that name.
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

    fn record(&mut self, resource: ObjectKey, part: KeptPart) {
        self.last_good_rows.push(LastGoodRow { resource, part });
    }

    /// Restores the previous rows of refused profiles, the oldest first, where their ports are free.
    pub fn sip_profiles(
        &mut self,
        snapshot: &PlatformSnapshot,
        mut bound: Vec<BoundPort>,
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
            let sockets = sockets(address, (row.sip_port, row.tls_port, row.ws_port));
            let taken = |(_, address, port): &(&str, Option<IpAddr>, i32)| {
                bound.iter().any(|(other, held, _)| held == port && addresses_overlap(*other, *address))
            };
            if sockets.iter().any(taken) {
                continue;
            }
            bound.extend(sockets.into_iter().map(|(_, address, port)| (address, port, name.clone())));
            plan.sip_profiles.insert(name, row.clone());
            self.record(key, KeptPart::Whole(generation));
        }
    }

    /// The row of a trunk to put in force: the row of its spec, with the previous registration if the new
    /// password is invalid; or the previous row if the spec is refused by mistake.
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
            let row = last_good_trunk_row(trunk, before, snapshot, plan)?;
            self.record(key.clone(), KeptPart::Whole(generation));
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
            self.record(key.clone(), KeptPart::Fields(vec![field.to_owned()]));
        }
        Some(row)
    }

    /// The previous row of a rule that is refused by mistake, with the trunks that still exist; `None` when
    /// none does.
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
        self.record(key, KeptPart::Whole(generation));
        Some(row)
    }
}

/// The lower of two limits; `None` means unlimited.
pub(super) fn least(one: Option<i32>, other: Option<i32>) -> Option<i32> {
    one.into_iter().chain(other).min()
}

/// Whether a resource is refused for a problem that does not withdraw a right.
fn refused_by_mistake(problems: &[Problem], key: &ObjectKey) -> bool {
    problems.iter().any(|problem| {
        problem.resource == *key && problem.effect == Effect::Refused && problem.keeps_last_row()
    })
}
