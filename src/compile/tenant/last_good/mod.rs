//! Rows from before, put back for resources that became invalid by mistake.
//!
//! A row goes back as it was, but for the rights that its resource gave up since, where nobody else has
//! its number and everything it leads to is there. Of a resource that stands without a part, that part
//! stays as it was. What was kept can be referred to, so that the tenant is judged again with it, until
//! nothing more comes or falls.

mod circles;
mod destinations;
mod identifiers;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::Resource;

use super::compiler::{Id, TenantCompiler, name_of};
use super::numbers::emergency_numbers;
use super::{emergency, header};
use crate::compile::{Effect, LastGoodRow, Stays};
use crate::plan::{InForce, Row, Rows, Target, TenantPlan};
use crate::source::object::created;
use destinations::Destinations;
use identifiers::Identifiers;

/// How often a tenant is judged again at most. Each time more is kept, or more falls, than before; mostly
/// it is once.
const ROUNDS: usize = 32;

/// Which resources keep their row, over the rounds.
#[derive(Default)]
pub struct Rounds {
    /// Those that do.
    pub kept: BTreeSet<Id>,
    /// Those whose row cannot go back.
    fallen: BTreeSet<Id>,
    count: usize,
}

/// What came of putting rows back.
pub enum Restored {
    /// The plan is what is in force, and what stays as it was before.
    All(Vec<LastGoodRow>),
    /// The tenant is to be judged again: these rows went back, and those cannot.
    Other { put: BTreeSet<Id>, fallen: BTreeSet<Id> },
}

impl Rounds {
    /// Takes in what came of one.
    pub fn take_in(&mut self, put: BTreeSet<Id>, fallen: BTreeSet<Id>) {
        self.count += 1;
        self.kept.extend(put);
        self.fallen.extend(fallen);
        // It should have come to an end: what stands by itself does without the rest.
        if self.count >= ROUNDS {
            self.fallen.append(&mut self.kept);
        }
        self.kept.retain(|id| !self.fallen.contains(id));
    }
}

/// What a kind's rows can do to go back.
trait Restorable: Row {
    /// The kind they are compiled from.
    type Of: Resource;

    /// The row without the rights that its resource gave up since; none when it must not go back.
    fn narrowed(&self, _: &TenantCompiler, _: &Self::Of) -> Option<Self> {
        Some(self.clone())
    }

    /// Whether nobody else has what names it.
    fn is_free(&self, taken: &Identifiers) -> bool {
        self.number().is_none_or(|number| taken.is_free(number))
    }

    /// Takes what names it.
    fn take(&self, taken: &mut Identifiers) {
        taken.numbers.extend(self.number().map(str::to_owned));
    }

    /// Leaves out what leads to something that is not there; false when it cannot stand without.
    fn stands(&mut self, _: &Destinations) -> bool {
        true
    }

    /// Where calls go on to by themselves, by the field that says so.
    fn follows(&self) -> Vec<(&'static str, &Target)> {
        Vec::new()
    }

    /// Leaves one of these out; false when it cannot stand without.
    fn cut(&mut self, _: &str) -> bool {
        true
    }

    /// Takes a part over from before, by the path of its field; false when there is no such part.
    fn restore(&mut self, _: &Self, _: &Self::Of, _: &str) -> bool {
        false
    }
}

/// Runs something for every kind of row.
macro_rules! each_kind {
    ($do:ident) => {
        $do!(
            extensions, max_extensions;
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

/// What is done to one plan.
struct Restore<'a> {
    draft: &'a TenantCompiler<'a>,
    before: &'a InForce<TenantPlan>,
    /// Resources whose row may go back.
    refused: BTreeSet<Id>,
    /// Fields of resources that stand without them.
    degraded: BTreeMap<Id, Vec<String>>,
    /// Resources whose row went back.
    put: BTreeSet<Id>,
    /// Fields that were taken over from before.
    restored: Vec<(Id, String)>,
    taken: Identifiers,
    fallen: BTreeSet<Id>,
}

/// Puts rows back into a plan.
pub fn put_back(
    draft: &TenantCompiler,
    plan: &mut TenantPlan,
    before: &InForce<TenantPlan>,
    rounds: &Rounds,
) -> Restored {
    let (refused, degraded) = wanted(draft, &rounds.fallen);
    if refused.is_empty() && degraded.is_empty() && rounds.kept.is_empty() {
        return Restored::All(Vec::new());
    }
    let taken = Identifiers::new(plan, emergency_numbers(draft));
    let mut restore = Restore::new(draft, before, (refused, degraded), taken);
    restore.put_back(plan);
    // What was referred to must be there.
    let missing = rounds.kept.iter().filter(|(kind, name)| draft.keeps(*kind, name));
    let missing = missing.filter(|id| !restore.put.contains(id)).cloned();
    restore.fallen.extend(missing.collect::<Vec<_>>());
    if restore.fallen.is_empty() && restore.put.iter().all(|id| rounds.kept.contains(id)) {
        return Restored::All(restore.told(plan));
    }
    Restored::Other { put: restore.put, fallen: restore.fallen }
}

/// What stays in force of a tenant that is refused as a whole: everything that was, without what is deleted,
/// what another tenant has by now, and rights that were taken away. None where nothing was in force.
pub fn without_tenant(
    draft: &mut TenantCompiler,
    before: &InForce<TenantPlan>,
) -> Option<(TenantPlan, Vec<LastGoodRow>)> {
    let mut plan = TenantPlan::empty(header::row_from_before(draft, &before.plan.tenant)?);
    plan.tenant.emergency = plan.tenant.emergency.map(|row| emergency::row_from_before(draft, row));
    let numbers = plan.tenant.emergency.iter().flat_map(|row| row.numbers.clone()).collect();
    let all = draft.ids().map(|(kind, name)| (kind, name.to_owned())).collect();
    let taken = Identifiers::new(&plan, numbers);
    let mut restore = Restore::new(draft, before, (all, BTreeMap::new()), taken);
    restore.put_back(&mut plan);
    let mut kept = restore.told(&plan);
    kept.push(LastGoodRow { resource: draft.tenant_key(), stays: Stays::Whole(None) });
    emergency::complete(draft, &mut plan);
    Some((plan, kept))
}

/// Resources whose row from before may go back, and fields of others that may stay as they were.
fn wanted(draft: &TenantCompiler, fallen: &BTreeSet<Id>) -> (BTreeSet<Id>, BTreeMap<Id, Vec<String>>) {
    let (mut refused, mut degraded) = (BTreeSet::new(), BTreeMap::<Id, Vec<String>>::new());
    for problem in draft.problems.iter().filter(|problem| problem.keeps_last_row()) {
        let id = (problem.resource.kind, problem.resource.name.clone());
        match draft.refusal(id.0, &id.1) {
            None => degraded.entry(id).or_default().push(problem.field.clone()),
            Some(_) if problem.effect != Effect::Degraded && !fallen.contains(&id) => {
                refused.insert(id);
            }
            Some(_) => {}
        }
    }
    (refused, degraded)
}

impl<'a> Restore<'a> {
    fn new(
        draft: &'a TenantCompiler<'a>,
        before: &'a InForce<TenantPlan>,
        (refused, degraded): (BTreeSet<Id>, BTreeMap<Id, Vec<String>>),
        taken: Identifiers,
    ) -> Self {
        let (put, restored, fallen) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        Self { draft, before, refused, degraded, put, restored, taken, fallen }
    }

    /// Puts back what can stand in a plan.
    fn put_back(&mut self, plan: &mut TenantPlan) {
        self.collect(plan);
        self.leave_out(plan);
    }

    /// Puts rows back that nobody is in the way of, and takes fields over.
    fn collect(&mut self, plan: &mut TenantPlan) {
        let (before, profile) = (self.before, self.draft.profile.map(|profile| &profile.spec));
        macro_rules! collect {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(
                    let most = None $(.or_else(|| profile.and_then(|profile| profile.$limit)))?;
                    let snapshot = &self.draft.snapshot.$list;
                    self.collect_kind(snapshot, &before.plan.$list, &mut plan.$list, most);
                )*
            };
        }
        each_kind!(collect);
    }

    fn collect_kind<T: Restorable>(
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
                let narrowed = narrowed.and_then(|old| old.narrowed(self.draft, object));
                match narrowed.filter(|row| row.is_free(&self.taken)) {
                    Some(row) => {
                        row.take(&mut self.taken);
                        rows.insert(name.to_owned(), row);
                        self.put.insert(id);
                    }
                    None => drop(self.fallen.insert(id)),
                }
            } else if let Some(fields) = self.degraded.get(&id).filter(|_| is_own)
                && let Some(row) = rows.get_mut(name)
            {
                for field in fields {
                    if row.restore(old, object, field) {
                        self.restored.push((id.clone(), field.clone()));
                    }
                }
            }
        }
    }

    /// Takes rows out again that lead to what is not there, or round in a circle, and leaves such parts out
    /// where the rest can stand.
    fn leave_out(&mut self, plan: &mut TenantPlan) {
        loop {
            let fallen = self.fallen_rows(plan);
            if fallen.is_empty() {
                let cuts = circles::cuts(self.draft, plan, &self.put, &self.restored);
                if !self.cut(plan, cuts) {
                    return;
                }
                continue;
            }
            self.fall(plan, fallen);
        }
    }

    fn fall(&mut self, plan: &mut TenantPlan, fallen: BTreeSet<Id>) {
        macro_rules! remove {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(remove(&mut plan.$list, &fallen);)*
            };
        }
        fn remove<T: Restorable>(rows: &mut Rows<T>, fallen: &BTreeSet<Id>) {
            for (_, name) in fallen.iter().filter(|(kind, _)| *kind == T::KIND) {
                rows.remove(name);
            }
        }
        each_kind!(remove);
        self.put.retain(|id| !fallen.contains(id));
        self.fallen.extend(fallen);
    }

    /// The rows of those put back that cannot stand; of the others what is not there is left out.
    fn fallen_rows(&self, plan: &mut TenantPlan) -> BTreeSet<Id> {
        let mut fallen = BTreeSet::new();
        macro_rules! look {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(
                    let destinations = Destinations { draft: self.draft, plan };
                    let looked = self.look(&plan.$list, &destinations, &mut fallen);
                    plan.$list.extend(looked);
                )*
            };
        }
        each_kind!(look);
        fallen
    }

    /// Rows of one kind that were touched, without what is not there.
    fn look<T: Restorable>(
        &self,
        rows: &Rows<T>,
        destinations: &Destinations,
        fallen: &mut BTreeSet<Id>,
    ) -> Vec<(String, T)> {
        let touched = self.put.iter().chain(self.restored.iter().map(|(id, _)| id));
        let mut looked = Vec::new();
        for (kind, name) in touched.filter(|(kind, _)| *kind == T::KIND) {
            let Some(mut row) = rows.get(name).cloned() else { continue };
            if row.stands(destinations) {
                looked.push((name.clone(), row));
            } else {
                fallen.insert((*kind, name.clone()));
            }
        }
        looked
    }

    /// Cuts links that close a circle; true when something fell with one.
    fn cut(&mut self, plan: &mut TenantPlan, cuts: Vec<(Id, &'static str)>) -> bool {
        let mut fallen = BTreeSet::new();
        macro_rules! cut {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(cut(&mut plan.$list, &cuts, &mut fallen);)*
            };
        }
        fn cut<T: Restorable>(rows: &mut Rows<T>, cuts: &[(Id, &'static str)], fallen: &mut BTreeSet<Id>) {
            for (id, field) in cuts.iter().filter(|((kind, _), _)| *kind == T::KIND) {
                if rows.get_mut(&id.1).is_some_and(|row| !row.cut(field)) {
                    fallen.insert(id.clone());
                }
            }
        }
        each_kind!(cut);
        let fell = !fallen.is_empty();
        self.fall(plan, fallen);
        fell
    }

    /// What stays, in order of the resources.
    fn told(&self, plan: &TenantPlan) -> Vec<LastGoodRow> {
        let mut kept = Vec::new();
        macro_rules! tell {
            ($($list:ident $(, $limit:ident)?;)*) => {
                $(self.tell(&self.draft.snapshot.$list, &self.before.plan.$list, &plan.$list, &mut kept);)*
            };
        }
        each_kind!(tell);
        kept.sort();
        kept
    }

    fn tell<T: Restorable>(
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
            let stays = if self.put.contains(&id) {
                let origin = self.before.origin(T::KIND.as_str(), name, object.meta().uid.as_deref());
                Stays::Whole(origin.and_then(|origin| origin.generation))
            } else {
                // What was left out again is not as it was.
                let as_before = |field: &&String| {
                    let mut again = row.clone();
                    again.restore(old, object, field) && again == *row
                };
                let fields = self.restored.iter().filter(|(restored, _)| *restored == id);
                let fields: Vec<String> = fields.map(|(_, field)| field).filter(as_before).cloned().collect();
                if fields.is_empty() {
                    continue;
                }
                Stays::Fields(fields)
            };
            kept.push(LastGoodRow { resource: self.draft.key(T::KIND, name), stays });
        }
    }
}
