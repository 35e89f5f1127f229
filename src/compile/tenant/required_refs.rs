//! Required references: a resource that loses one is refused.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::compiler::{ResourceId, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::Kind;
use crate::resources::common::Destination;
use crate::resources::{Number, OutboundRoute, RingGroup, Schedule};

/// The resources with required references, in the order in which they are checked.
pub struct RequiredRefs<'a> {
    resources: Vec<Resource<'a>>,
    /// Indexes of the resources that require a resource.
    dependents: HashMap<ResourceId, Vec<usize>>,
    /// Indexes of the resources to check: new ones, and those that lost something they require.
    queue: BTreeSet<usize>,
}

#[derive(Clone, Copy)]
enum Resource<'a> {
    Route(&'a OutboundRoute),
    Group(&'a RingGroup),
    Schedule(&'a Schedule),
    Number(&'a Number),
}

impl<'a> RequiredRefs<'a> {
    /// All resources of a tenant with required references; each is queued for a check.
    pub fn new(compiler: &TenantCompiler<'a>) -> Self {
        let snapshot = compiler.snapshot;
        let routes = snapshot.outbound_routes.iter().map(|route| Resource::Route(route));
        let groups = snapshot.ring_groups.iter().map(|group| Resource::Group(group));
        let schedules = snapshot.schedules.iter().map(|schedule| Resource::Schedule(schedule));
        let numbers = snapshot.numbers.iter().map(|number| Resource::Number(number));
        let resources: Vec<_> = routes.chain(groups).chain(schedules).chain(numbers).collect();
        let mut dependents: HashMap<ResourceId, Vec<usize>> = HashMap::new();
        for (index, resource) in resources.iter().enumerate() {
            for target in resource.destinations().filter_map(|destination| compiler.link(destination)) {
                dependents.entry(target).or_default().push(index);
            }
        }
        let queue = (0..resources.len()).collect();
        Self { resources, dependents, queue }
    }

    /// Refuses resources whose required references are broken, and then those that require them.
    pub fn check(&mut self, compiler: &mut TenantCompiler) {
        let mut next = 0;
        while let Some(index) = self.queue.range(next..).next().or(self.queue.first()).copied() {
            self.queue.remove(&index);
            next = index + 1;
            let Some(resource) = self.resources.get(index) else { continue };
            let id = resource.id();
            if compiler.is_accepted(id.0, &id.1)
                && let Err((field, why)) = resource.check(compiler)
            {
                self.queue.extend(self.dependents.get(&id).into_iter().flatten());
                compiler.refuse(id, field, why);
            }
        }
    }

    /// Re-queues resources that lost a link.
    pub fn requeue(&mut self, ids: HashSet<ResourceId>) {
        let indexed = self.resources.iter().enumerate();
        self.queue
            .extend(indexed.filter(|(_, resource)| ids.contains(&resource.id())).map(|(index, _)| index));
    }
}

impl Resource<'_> {
    fn id(self) -> ResourceId {
        match self {
            Self::Route(route) => (Kind::OutboundRoute, name_of(route).to_owned()),
            Self::Group(group) => (Kind::RingGroup, name_of(group).to_owned()),
            Self::Schedule(schedule) => (Kind::Schedule, name_of(schedule).to_owned()),
            Self::Number(number) => (Kind::Number, name_of(number).to_owned()),
        }
    }

    /// The required destinations that this check may refuse. Trunks and extensions are not refused here, so
    /// routes and ring groups have none.
    fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let (first, second) = match self {
            Self::Route(_) | Self::Group(_) => (None, None),
            Self::Schedule(schedule) => (Some(&schedule.spec.open), Some(&schedule.spec.closed)),
            Self::Number(number) => (Some(&number.spec.destination), None),
        };
        first.into_iter().chain(second)
    }

    fn check(self, compiler: &TenantCompiler) -> Checked {
        match self {
            Self::Route(route) => outbound_route(compiler, route),
            Self::Group(group) => ring_group(compiler, group),
            Self::Schedule(one) => schedule(compiler, one),
            Self::Number(one) => number(compiler, one),
        }
    }
}

type Checked = Result<(), (String, RefError)>;

fn number(compiler: &TenantCompiler, number: &Number) -> Checked {
    let (name, trunk) =
        compiler.trunk(&number.spec.trunk_ref).map_err(|why| ("spec.trunkRef".to_owned(), why))?;
    if trunk.source_addresses.is_empty() {
        let message = format!("no call can come in by Trunk {name}: it has no spec.sourceAddresses in force");
        return Err(("spec.trunkRef".to_owned(), (Reason::InvalidValue, message).into()));
    }
    compiler.target(&number.spec.destination).map_err(|why| ("spec.destination".to_owned(), why))?;
    if compiler.is_broken_link(Kind::Number, name_of(number), "destination") {
        return Err(("spec.destination".to_owned(), super::loops::loop_error()));
    }
    Ok(())
}

fn schedule(compiler: &TenantCompiler, schedule: &Schedule) -> Checked {
    super::schedule::windows(schedule)?;
    super::schedule::holidays(schedule)?;
    let zone = super::schedule::time_zone(schedule)?;
    let of_tenant = compiler.snapshot.tenant.spec.time_zone.as_deref();
    super::schedule::overridden(schedule, zone.as_deref().or(of_tenant).unwrap_or("UTC"))?;
    for (field, destination) in [("open", &schedule.spec.open), ("closed", &schedule.spec.closed)] {
        compiler.target(destination).map_err(|why| (format!("spec.{field}"), why))?;
        if compiler.is_broken_link(Kind::Schedule, name_of(schedule), field) {
            return Err((format!("spec.{field}"), super::loops::loop_error()));
        }
    }
    Ok(())
}

fn ring_group(compiler: &TenantCompiler, group: &RingGroup) -> Checked {
    let mut members = group.spec.members.iter();
    if members.any(|member| compiler.resolve(Kind::Extension, &member.extension_ref.name).is_ok()) {
        return Ok(());
    }
    let first = group.spec.members.first();
    let why = first.and_then(|member| compiler.resolve(Kind::Extension, &member.extension_ref.name).err());
    let why = why.unwrap_or_else(|| (Reason::RefNotFound, "it has none".to_owned()).into());
    let message = format!("none of its members can ring: {}", why.message);
    Err(("spec.members".to_owned(), RefError { message, ..why }))
}

fn outbound_route(compiler: &TenantCompiler, route: &OutboundRoute) -> Checked {
    let mut first = None;
    for (index, reference) in route.spec.trunks.iter().enumerate() {
        match compiler.trunk(reference) {
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
