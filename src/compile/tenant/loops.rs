//! Loops that a call would follow without a choice of the caller.
//!
//! An option of an IVR menu is no such link, because the caller chooses it: menus may lead back to each
//! other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::compiler::{ByAge, ResourceId, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::Kind;
use crate::resources::common::Destination;

/// The field of a schedule's override.
pub const OVERRIDE: &str = "override.destination";

/// Resources in order of age, and for each the links that calls follow automatically: field, and index of
/// the resource it leads to.
struct Graph {
    resources: Vec<ByAge>,
    links: Vec<Vec<(&'static str, usize)>>,
}

/// A link: index of its resource, and index among that resource's links.
type Link = (usize, usize);

/// How many loops one pass breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopPolicy {
    /// Stops at the first loop that costs a resource a link it requires: refusing that resource may break
    /// other loops too.
    StopAtRequired,
    /// Breaks every loop.
    BreakAll,
}

/// The error of a link that closes a loop.
pub fn loop_error() -> RefError {
    (Reason::Loop, "calls would go round in a circle; let one of the destinations end it".to_owned()).into()
}

/// Breaks each loop at its youngest resource. An optional link is left out and reported. Returns the
/// resources whose required link was broken, for the reference check to refuse; `None` when there was no
/// loop.
pub fn break_loops(compiler: &mut TenantCompiler, policy: LoopPolicy) -> Option<HashSet<ResourceId>> {
    let graph = Graph::new(compiler);
    let broken = graph.links_to_break(policy);
    let mut lost_required_link = HashSet::new();
    for (id, field) in broken.iter().filter_map(|link| graph.field(*link)) {
        if is_required(id.0, field) {
            lost_required_link.insert(id.clone());
        } else {
            compiler.degrade(id.0, &id.1, path(id.0, field), loop_error());
        }
        compiler.broken_links.insert((id.clone(), field));
    }
    (!broken.is_empty()).then_some(lost_required_link)
}

/// Whether a resource requires a link.
fn is_required(kind: Kind, field: &str) -> bool {
    kind == Kind::Number || (kind == Kind::Schedule && matches!(field, "open" | "closed"))
}

/// The path of a link's field in its resource.
pub fn path(kind: Kind, field: &str) -> String {
    match kind {
        Kind::Extension => format!("spec.forwarding.{field}"),
        _ => format!("spec.{field}"),
    }
}

impl Graph {
    fn new(compiler: &TenantCompiler) -> Self {
        let links = links(compiler);
        let ends = links.iter().flat_map(|(from, _, to)| [from, to]);
        let resources: BTreeSet<ByAge> = ends.map(|id| compiler.aged(id.0, &id.1)).collect();
        let resources: Vec<ByAge> = resources.into_iter().collect();
        let indexes: BTreeMap<&ResourceId, usize> =
            resources.iter().enumerate().map(|(index, aged)| (&aged.id, index)).collect();
        let mut graph = vec![Vec::new(); resources.len()];
        for (from, field, to) in &links {
            if let (Some(from), Some(to)) = (indexes.get(from), indexes.get(to))
                && let Some(links) = graph.get_mut(*from)
            {
                links.push((*field, *to));
            }
        }
        drop(indexes);
        Self { resources, links: graph }
    }

    /// The resource and the field of a link.
    fn field(&self, (resource, link): Link) -> Option<(&ResourceId, &'static str)> {
        let (field, _) = self.links.get(resource)?.get(link)?;
        Some((&self.resources.get(resource)?.id, *field))
    }

    /// The links that close loops. Resources enter the graph one by one, the oldest first; a link of the
    /// new resource to where calls already come from closes a loop on which it is the youngest. So adding a
    /// resource never breaks a link of an older one.
    fn links_to_break(&self, policy: LoopPolicy) -> Vec<Link> {
        let mut broken = Vec::new();
        // Resources from which calls come to each one: first by the links of older resources to younger
        // ones.
        let mut back: Vec<Vec<usize>> = vec![Vec::new(); self.links.len()];
        for (resource, links) in self.links.iter().enumerate() {
            for (_, to) in links.iter().filter(|(_, to)| *to > resource) {
                back.get_mut(*to).into_iter().for_each(|from| from.push(resource));
            }
        }
        for (resource, links) in self.links.iter().enumerate() {
            if !links.iter().any(|(_, to)| *to <= resource) {
                continue;
            }
            let comes_here = comes_to(resource, &back);
            for (link, (_, to)) in links.iter().enumerate().filter(|(_, (_, to))| *to <= resource) {
                if !comes_here.get(*to).is_some_and(|comes| *comes) {
                    back.get_mut(*to).into_iter().for_each(|from| from.push(resource));
                } else if policy == LoopPolicy::StopAtRequired
                    && self.field((resource, link)).is_some_and(|(id, field)| is_required(id.0, field))
                {
                    return vec![(resource, link)];
                } else {
                    broken.push((resource, link));
                }
            }
        }
        broken
    }
}

/// For each resource, whether its calls come to the given one; true for the given one itself.
fn comes_to(resource: usize, back: &[Vec<usize>]) -> Vec<bool> {
    let mut comes = vec![false; back.len()];
    let mut open = vec![resource];
    while let Some(next) = open.pop() {
        if let Some(seen) = comes.get_mut(next).filter(|seen| !**seen) {
            *seen = true;
            open.extend(back.get(next).into_iter().flatten());
        }
    }
    comes
}

/// Every link that calls follow automatically between accepted resources.
fn links(compiler: &TenantCompiler) -> Vec<(ResourceId, &'static str, ResourceId)> {
    let mut links = Vec::new();
    let mut add = |kind: Kind, name: &str, field: &'static str, to: Option<&Destination>| {
        let Some(to) = to else { return };
        let Some(target) = compiler.link(to) else { return };
        if !compiler.is_accepted(kind, name) || compiler.is_broken_link(kind, name, field) {
            return;
        }
        if compiler.is_accepted(target.0, &target.1) {
            links.push(((kind, name.to_owned()), field, target));
        }
    };
    for extension in &compiler.snapshot.extensions {
        let Some(forwarding) = &extension.spec.forwarding else { continue };
        let name = name_of(&**extension);
        add(Kind::Extension, name, "always", forwarding.always.as_ref());
        add(Kind::Extension, name, "busy", forwarding.busy.as_ref());
        add(Kind::Extension, name, "noAnswer", forwarding.no_answer.as_ref());
        add(Kind::Extension, name, "unavailable", forwarding.unavailable.as_ref());
    }
    for group in &compiler.snapshot.ring_groups {
        add(Kind::RingGroup, name_of(&**group), "noAnswer", group.spec.no_answer.as_ref());
    }
    for queue in &compiler.snapshot.queues {
        add(Kind::Queue, name_of(&**queue), "overflow", queue.spec.overflow.as_ref());
    }
    for menu in &compiler.snapshot.ivr_menus {
        let name = name_of(&**menu);
        add(Kind::IvrMenu, name, "otherwise", menu.spec.otherwise.as_ref());
        add(Kind::IvrMenu, name, "noInput", menu.spec.no_input.as_ref());
        add(Kind::IvrMenu, name, "invalidInput", menu.spec.invalid_input.as_ref());
    }
    for number in &compiler.snapshot.numbers {
        add(Kind::Number, name_of(&**number), "destination", Some(&number.spec.destination));
    }
    for schedule in &compiler.snapshot.schedules {
        let name = name_of(&**schedule);
        add(Kind::Schedule, name, "open", Some(&schedule.spec.open));
        add(Kind::Schedule, name, "closed", Some(&schedule.spec.closed));
        add(Kind::Schedule, name, "holiday", schedule.spec.holiday.as_ref());
        let overridden = schedule.spec.overridden.as_ref();
        add(Kind::Schedule, name, OVERRIDE, overridden.and_then(|row| row.destination.as_ref()));
    }
    links
}
