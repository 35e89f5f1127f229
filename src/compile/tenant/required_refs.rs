//! References a resource cannot stand without.

use crate::resources::Kind;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::compiler::{Id, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::common::Destination;
use crate::resources::{Number, OutboundRoute, RingGroup, Schedule};

/// The resources that have such references, in the order in which they are judged.
pub struct Required<'a> {
    resources: Vec<Resource<'a>>,
    /// Places of the resources that cannot stand without one.
    standing_on: HashMap<Id, Vec<usize>>,
    /// Places of those to look at: something that they stand on fell.
    open: BTreeSet<usize>,
}

#[derive(Clone, Copy)]
enum Resource<'a> {
    Route(&'a OutboundRoute),
    Group(&'a RingGroup),
    Schedule(&'a Schedule),
    Number(&'a Number),
}

impl<'a> Required<'a> {
    /// All that there are in a tenant.
    pub fn new(draft: &TenantCompiler<'a>) -> Self {
        let snapshot = draft.snapshot;
        let routes = snapshot.outbound_routes.iter().map(|route| Resource::Route(route));
        let groups = snapshot.ring_groups.iter().map(|group| Resource::Group(group));
        let schedules = snapshot.schedules.iter().map(|schedule| Resource::Schedule(schedule));
        let numbers = snapshot.numbers.iter().map(|number| Resource::Number(number));
        let resources: Vec<_> = routes.chain(groups).chain(schedules).chain(numbers).collect();
        let mut standing_on: HashMap<Id, Vec<usize>> = HashMap::new();
        for (place, resource) in resources.iter().enumerate() {
            for target in resource.destinations().filter_map(|destination| draft.link(destination)) {
                standing_on.entry(target).or_default().push(place);
            }
        }
        let open = (0..resources.len()).collect();
        Self { resources, standing_on, open }
    }

    /// Refuses resources whose references are broken, and what stood on them.
    pub fn check(&mut self, draft: &mut TenantCompiler) {
        let mut next = 0;
        while let Some(place) = self.open.range(next..).next().or(self.open.first()).copied() {
            self.open.remove(&place);
            next = place + 1;
            let Some(resource) = self.resources.get(place) else { continue };
            let id = resource.id();
            if draft.stands(id.0, &id.1)
                && let Err((field, why)) = resource.check(draft)
            {
                self.open.extend(self.standing_on.get(&id).into_iter().flatten());
                draft.refuse(id, field, why);
            }
        }
    }

    /// Has resources looked at once more, of which a link was cut.
    pub fn look_again(&mut self, ids: HashSet<Id>) {
        let places = self.resources.iter().enumerate();
        self.open.extend(places.filter(|(_, resource)| ids.contains(&resource.id())).map(|(place, _)| place));
    }
}

impl Resource<'_> {
    fn id(self) -> Id {
        match self {
            Self::Route(route) => (Kind::OutboundRoute, name_of(route).to_owned()),
            Self::Group(group) => (Kind::RingGroup, name_of(group).to_owned()),
            Self::Schedule(schedule) => (Kind::Schedule, name_of(schedule).to_owned()),
            Self::Number(number) => (Kind::Number, name_of(number).to_owned()),
        }
    }

    /// The destinations that it cannot stand without, where they may fall. A route falls with its
    /// trunks, which do not; so does a group with its members.
    fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let (first, second) = match self {
            Self::Route(_) | Self::Group(_) => (None, None),
            Self::Schedule(schedule) => (Some(&schedule.spec.open), Some(&schedule.spec.closed)),
            Self::Number(number) => (Some(&number.spec.destination), None),
        };
        first.into_iter().chain(second)
    }

    fn check(self, draft: &TenantCompiler) -> Checked {
        match self {
            Self::Route(route) => outbound_route(draft, route),
            Self::Group(group) => ring_group(draft, group),
            Self::Schedule(one) => schedule(draft, one),
            Self::Number(one) => number(draft, one),
        }
    }
}

type Checked = Result<(), (String, RefError)>;

fn number(draft: &TenantCompiler, number: &Number) -> Checked {
    let (name, trunk) =
        draft.trunk(&number.spec.trunk_ref).map_err(|why| ("spec.trunkRef".to_owned(), why))?;
    if trunk.source_addresses.is_empty() {
        let message = format!("no call can come in by Trunk {name}: it has no spec.sourceAddresses in force");
        return Err(("spec.trunkRef".to_owned(), (Reason::InvalidValue, message).into()));
    }
    draft.target(&number.spec.destination).map_err(|why| ("spec.destination".to_owned(), why))?;
    if draft.is_cut(Kind::Number, name_of(number), "destination") {
        return Err(("spec.destination".to_owned(), super::loops::broken()));
    }
    Ok(())
}

fn schedule(draft: &TenantCompiler, schedule: &Schedule) -> Checked {
    super::schedule::windows(schedule)?;
    super::schedule::holidays(schedule)?;
    super::schedule::time_zone(schedule)?;
    for (field, destination) in [("open", &schedule.spec.open), ("closed", &schedule.spec.closed)] {
        draft.target(destination).map_err(|why| (format!("spec.{field}"), why))?;
        if draft.is_cut(Kind::Schedule, name_of(schedule), field) {
            return Err((format!("spec.{field}"), super::loops::broken()));
        }
    }
    Ok(())
}

fn ring_group(draft: &TenantCompiler, group: &RingGroup) -> Checked {
    let mut members = group.spec.members.iter();
    if members.any(|member| draft.resolve(Kind::Extension, &member.extension_ref.name).is_ok()) {
        return Ok(());
    }
    let first = group.spec.members.first();
    let why = first.and_then(|member| draft.resolve(Kind::Extension, &member.extension_ref.name).err());
    let why = why.unwrap_or_else(|| (Reason::RefNotFound, "it has none".to_owned()).into());
    let message = format!("none of its members can ring: {}", why.message);
    Err(("spec.members".to_owned(), RefError { message, ..why }))
}

fn outbound_route(draft: &TenantCompiler, route: &OutboundRoute) -> Checked {
    let mut first = None;
    for (index, reference) in route.spec.trunks.iter().enumerate() {
        match draft.trunk(reference) {
            Ok(_) => return Ok(()),
            Err(why) => {
                first.get_or_insert((format!("spec.trunks[{index}]"), why));
            }
        }
    }
    Err(first.unwrap_or_else(|| {
        ("spec.trunks".to_owned(), (Reason::RefNotFound, "it names no trunk".to_owned()).into())
    }))
}
