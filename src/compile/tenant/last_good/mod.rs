//! Restores previous rows of resources that became invalid by mistake.
//!
//! A previous row is restored without the rights that its resource gave up since, if its number is free and
//! everything that it leads to exists. Of an accepted resource with a broken part, only that part is
//! restored. Other resources may refer to a restored row, so the tenant is compiled again with it, until no
//! further row is restored or fails.

mod destinations;
mod identifiers;
mod kinds;
mod row_loops;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::Resource;

use super::compiler::{ResourceId, TenantCompiler, name_of};
use super::numbers::emergency_numbers;
use super::{emergency, header};
use crate::compile::{KeptPart, LastGoodRow};
use crate::plan::{InForce, Row, Rows, Target, TenantPlan};
use crate::source::object::created;
use destinations::Destinations;
use identifiers::Identifiers;

/// Most compiles of a tenant for restored rows. Each one restores or gives up more rows than the previous;
/// mostly there is one.
const MAX_ROUNDS: usize = 32;

/// Results of the compiles so far.
#[derive(Default)]
pub struct Rounds {
    /// Resources that keep their previous row.
    pub restored: BTreeSet<ResourceId>,
    /// Resources whose previous row cannot be restored.
    unrestorable: BTreeSet<ResourceId>,
    count: usize,
}

/// The result of a restore.
pub enum Restored {
    /// The plan is final; these previous rows stay in force.
    Complete(Vec<LastGoodRow>),
    /// The tenant must be compiled again: rows were restored that other resources may refer to, or could
    /// not be.
    CompileAgain { restored: BTreeSet<ResourceId>, unrestorable: BTreeSet<ResourceId> },
}

impl Rounds {
    /// Records the result of one compile.
    pub fn record(&mut self, restored: BTreeSet<ResourceId>, unrestorable: BTreeSet<ResourceId>) {
        self.count += 1;
        self.restored.extend(restored);
        self.unrestorable.extend(unrestorable);
        // Too many compiles: gives up all previous rows, and keeps the accepted resources.
        if self.count >= MAX_ROUNDS {
            self.unrestorable.append(&mut self.restored);
        }
        self.restored.retain(|id| !self.unrestorable.contains(id));
    }
}

/// How rows of a kind are restored.
trait Restorable: Row {
    /// The resource that the row is compiled from.
    type Of: Resource;

    /// The row without the rights that its resource gave up since; `None` when it must not be restored.
    fn narrowed(&self, _: &TenantCompiler, _: &Self::Of) -> Option<Self> {
        Some(self.clone())
    }

    /// Whether the number, code or match of the row is free.
    fn is_free(&self, taken: &Identifiers) -> bool {
        self.number().is_none_or(|number| taken.is_free(number))
    }

    /// Claims the number, code or match of the row.
    fn claim(&self, taken: &mut Identifiers) {
        taken.numbers.extend(self.number().map(str::to_owned));
    }

    /// Removes references to what is missing; false when a required one is missing.
    fn remove_dangling(&mut self, _: &Destinations) -> bool {
        true
    }

    /// The links that calls follow automatically, by field.
    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        Vec::new()
    }

    /// Removes the link of a field; false when the row requires it.
    fn break_link(&mut self, _: &str) -> bool {
        true
    }

    /// Restores the previous value of a field, by its path; false when the field has no part to restore.
    fn restore_field(&mut self, _: &Self, _: &Self::Of, _: &str) -> bool {
        false
    }
}

/// Calls a macro with the lists of all kinds of rows, each with its limit in the profile, if it has one.
macro_rules! each_kind {
    ($do:ident) => {
        $do!(
            extensions, max_extensions;
            devices, max_devices;
            ring_groups, max_ring_groups;
            queues, max_queues;
            ivr_menus, max_ivr_menus;
            conferences, max_conferences;
            schedules;
            numbers, max_numbers;
            outbound_routes;
            feature_codes;
        )
    };
}
use each_kind;

/// One restore into a plan.
struct Restore<'a> {
    compiler: &'a TenantCompiler<'a>,
    before: &'a InForce<TenantPlan>,
    /// Refused resources whose previous row may be restored.
    refused: BTreeSet<ResourceId>,
    /// Degraded fields of accepted resources.
    degraded: BTreeMap<ResourceId, Vec<String>>,
    /// Resources whose previous row is restored.
    restored_rows: BTreeSet<ResourceId>,
    /// Fields whose previous value is restored.
    restored_fields: Vec<(ResourceId, String)>,
    taken: Identifiers,
    unrestorable: BTreeSet<ResourceId>,
}

/// Restores previous rows and fields into a plan.
pub fn restore(
    compiler: &TenantCompiler,
    plan: &mut TenantPlan,
    before: &InForce<TenantPlan>,
    rounds: &Rounds,
) -> Restored {
    let (refused, degraded) = candidates(compiler, &rounds.unrestorable);
    if refused.is_empty() && degraded.is_empty() && rounds.restored.is_empty() {
        return Restored::Complete(Vec::new());
    }
    let taken = Identifiers::new(plan, emergency_numbers(compiler));
    let mut restore = Restore::new(compiler, before, (refused, degraded), taken);
    restore.restore_into(plan);
    // Other resources were accepted because of these rows, so the rows must be in the plan.
    let missing = rounds.restored.iter().filter(|(kind, name)| compiler.keeps_previous_row(*kind, name));
    let missing = missing.filter(|id| !restore.restored_rows.contains(id)).cloned();
    restore.unrestorable.extend(missing.collect::<Vec<_>>());
    if restore.unrestorable.is_empty() && restore.restored_rows.iter().all(|id| rounds.restored.contains(id))
    {
        return Restored::Complete(restore.last_good_rows(plan));
    }
    Restored::CompileAgain { restored: restore.restored_rows, unrestorable: restore.unrestorable }
}

/// The plan of a tenant that is refused as a whole: all its previous rows, without deleted resources,
/// without what another tenant holds now, and without withdrawn rights. `None` when nothing was in force.
pub fn without_tenant(
    compiler: &mut TenantCompiler,
    before: &InForce<TenantPlan>,
) -> Option<(TenantPlan, Vec<LastGoodRow>)> {
    let mut plan = TenantPlan::empty(header::last_good_row(compiler, &before.plan.tenant)?);
    let emergency = plan.tenant.emergency.take().unwrap_or_default();
    plan.tenant.emergency = Some(emergency::last_good_row(compiler, emergency));
    let numbers = plan.tenant.emergency.iter().flat_map(|row| row.numbers.clone()).collect();
    let all = compiler.ids().map(|(kind, name)| (kind, name.to_owned())).collect();
    let taken = Identifiers::new(&plan, numbers);
    let mut restore = Restore::new(compiler, before, (all, BTreeMap::new()), taken);
    restore.restore_into(&mut plan);
    let mut kept = restore.last_good_rows(&plan);
    kept.push(LastGoodRow { resource: compiler.tenant_key(), part: KeptPart::Whole(None) });
    emergency::complete(compiler, &mut plan);
    Some((plan, kept))
}

/// Refused resources whose previous row may be restored, and degraded fields of the accepted ones.
fn candidates(
    compiler: &TenantCompiler,
    unrestorable: &BTreeSet<ResourceId>,
) -> (BTreeSet<ResourceId>, BTreeMap<ResourceId, Vec<String>>) {
    let (mut refused, mut degraded) = (BTreeSet::new(), BTreeMap::<ResourceId, Vec<String>>::new());
    for problem in compiler.problems.iter().filter(|problem| problem.keeps_last_row()) {
        let id = (problem.resource.kind, problem.resource.name.clone());
        match compiler.refusal(id.0, &id.1) {
            None => degraded.entry(id).or_default().push(problem.field.clone()),
            Some(_) if problem.effect.is_kept_out() && !unrestorable.contains(&id) => {
                refused.insert(id);
            }
            Some(_) => {}
        }
    }
    (refused, degraded)
}

impl<'a> Restore<'a> {
    fn new(
        compiler: &'a TenantCompiler<'a>,
        before: &'a InForce<TenantPlan>,
        (refused, degraded): (BTreeSet<ResourceId>, BTreeMap<ResourceId, Vec<String>>),
        taken: Identifiers,
    ) -> Self {
        let (restored_rows, restored_fields, unrestorable) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        Self { compiler, before, refused, degraded, restored_rows, restored_fields, taken, unrestorable }
    }

    /// Restores what it can, and removes again what leads to missing resources or closes a loop.
    fn restore_into(&mut self, plan: &mut TenantPlan) {
        self.restore_rows(plan);
        self.remove_dangling(plan);
    }

    /// Restores rows whose numbers are free, and fields.
    fn restore_rows(&mut self, plan: &mut TenantPlan) {
        let (before, profile) = (self.before, self.compiler.profile.map(|profile| &profile.spec));
        macro_rules! restore_kind {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(
                    let most = None $(.or_else(|| profile.and_then(|profile| profile.$limit)))?;
                    let snapshot = &self.compiler.snapshot.$list;
                    self.restore_kind(snapshot, &before.plan.$list, &mut plan.$list, most);
                )*
            };
        }
        each_kind!(restore_kind);
    }

    fn restore_kind<T: Restorable>(
        &mut self,
        objects: &[Arc<T::Of>],
        before: &Rows<T>,
        rows: &mut Rows<T>,
        most: Option<i32>,
    ) {
        if before.is_empty() {
            return;
        }
        let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
        let mut by_age: Vec<&T::Of> = objects.iter().map(|object| &**object).collect();
        by_age.sort_by_key(|object| (created(object.meta()), name_of(*object)));
        for object in by_age {
            let name = name_of(object);
            let Some(old) = before.get(name) else { continue };
            let id = (T::KIND, name.to_owned());
            let uid = object.meta().uid.as_deref();
            let is_own = self.before.origin(T::KIND.as_str(), name, uid).is_some();
            if self.refused.contains(&id) {
                let narrowed = Some(old).filter(|_| is_own && rows.len() < most);
                let narrowed = narrowed.and_then(|old| old.narrowed(self.compiler, object));
                match narrowed.filter(|row| row.is_free(&self.taken)) {
                    Some(row) => {
                        row.claim(&mut self.taken);
                        rows.insert(name.to_owned(), row);
                        self.restored_rows.insert(id);
                    }
                    None => drop(self.unrestorable.insert(id)),
                }
            } else if let Some(fields) = self.degraded.get(&id).filter(|_| is_own)
                && let Some(row) = rows.get_mut(name)
            {
                for field in fields {
                    if row.restore_field(old, object, field) {
                        self.restored_fields.push((id.clone(), field.clone()));
                    }
                }
            }
        }
    }

    /// Removes references of restored rows and fields to what is missing, and links that close a loop;
    /// removes the row where the part is required.
    fn remove_dangling(&mut self, plan: &mut TenantPlan) {
        loop {
            let unrestorable = self.prune_rows(plan);
            if unrestorable.is_empty() {
                let links = row_loops::links_to_break(
                    self.compiler,
                    plan,
                    &self.restored_rows,
                    &self.restored_fields,
                );
                if !self.break_links(plan, links) {
                    return;
                }
                continue;
            }
            self.remove_rows(plan, unrestorable);
        }
    }

    fn remove_rows(&mut self, plan: &mut TenantPlan, unrestorable: BTreeSet<ResourceId>) {
        macro_rules! remove {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(remove(&mut plan.$list, &unrestorable);)*
            };
        }
        fn remove<T: Restorable>(rows: &mut Rows<T>, unrestorable: &BTreeSet<ResourceId>) {
            for (_, name) in unrestorable.iter().filter(|(kind, _)| *kind == T::KIND) {
                rows.remove(name);
            }
        }
        each_kind!(remove);
        self.restored_rows.retain(|id| !unrestorable.contains(id));
        self.unrestorable.extend(unrestorable);
    }

    /// Removes dangling references from restored rows and fields, and returns the rows that require one.
    fn prune_rows(&self, plan: &mut TenantPlan) -> BTreeSet<ResourceId> {
        let mut unrestorable = BTreeSet::new();
        macro_rules! prune_kind {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(
                    let destinations = Destinations { compiler: self.compiler, plan };
                    let pruned = self.prune_kind(&plan.$list, &destinations, &mut unrestorable);
                    plan.$list.extend(pruned);
                )*
            };
        }
        each_kind!(prune_kind);
        unrestorable
    }

    /// Restored rows of one kind, without their dangling references.
    fn prune_kind<T: Restorable>(
        &self,
        rows: &Rows<T>,
        destinations: &Destinations,
        unrestorable: &mut BTreeSet<ResourceId>,
    ) -> Vec<(String, T)> {
        let touched = self.restored_rows.iter().chain(self.restored_fields.iter().map(|(id, _)| id));
        let mut pruned = Vec::new();
        for (kind, name) in touched.filter(|(kind, _)| *kind == T::KIND) {
            let Some(mut row) = rows.get(name).cloned() else { continue };
            if row.remove_dangling(destinations) {
                pruned.push((name.clone(), row));
            } else {
                unrestorable.insert((*kind, name.clone()));
            }
        }
        pruned
    }

    /// Removes links that close a loop; true when a row required one and was removed.
    fn break_links(&mut self, plan: &mut TenantPlan, links: Vec<(ResourceId, &'static str)>) -> bool {
        let mut unrestorable = BTreeSet::new();
        macro_rules! break_links {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(break_links(&mut plan.$list, &links, &mut unrestorable);)*
            };
        }
        fn break_links<T: Restorable>(
            rows: &mut Rows<T>,
            links: &[(ResourceId, &'static str)],
            unrestorable: &mut BTreeSet<ResourceId>,
        ) {
            for (id, field) in links.iter().filter(|((kind, _), _)| *kind == T::KIND) {
                if rows.get_mut(&id.1).is_some_and(|row| !row.break_link(field)) {
                    unrestorable.insert(id.clone());
                }
            }
        }
        each_kind!(break_links);
        let removed = !unrestorable.is_empty();
        self.remove_rows(plan, unrestorable);
        removed
    }

    /// The previous rows and fields in the plan, sorted by resource.
    fn last_good_rows(&self, plan: &TenantPlan) -> Vec<LastGoodRow> {
        let mut kept = Vec::new();
        macro_rules! list_kind {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(self.list_kind(&self.compiler.snapshot.$list, &self.before.plan.$list, &plan.$list, &mut kept);)*
            };
        }
        each_kind!(list_kind);
        kept.sort();
        kept
    }

    fn list_kind<T: Restorable>(
        &self,
        objects: &[Arc<T::Of>],
        before: &Rows<T>,
        rows: &Rows<T>,
        kept: &mut Vec<LastGoodRow>,
    ) {
        if before.is_empty() {
            return;
        }
        for object in objects {
            let name = name_of(&**object);
            let (Some(old), Some(row)) = (before.get(name), rows.get(name)) else { continue };
            let id = (T::KIND, name.to_owned());
            let part = if self.restored_rows.contains(&id) {
                let origin = self.before.origin(T::KIND.as_str(), name, object.meta().uid.as_deref());
                KeptPart::Whole(origin.and_then(|origin| origin.generation))
            } else {
                // A restored link that was removed again is not in force.
                let as_before = |field: &&String| {
                    let mut again = row.clone();
                    again.restore_field(old, object, field) && again == *row
                };
                let fields = self.restored_fields.iter().filter(|(owner, _)| *owner == id);
                let fields: Vec<String> = fields.map(|(_, field)| field).filter(as_before).cloned().collect();
                if fields.is_empty() {
                    continue;
                }
                KeptPart::Fields(fields)
            };
            kept.push(LastGoodRow { resource: self.compiler.key(T::KIND, name), part });
        }
    }
}
