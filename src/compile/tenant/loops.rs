//! Circles that a call would go round by itself.
//!
//! What a caller chooses in an IVR menu is no such link: a menu may lead back to another menu.

use crate::resources::Kind;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::compiler::{ByAge, Id, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::common::Destination;

/// Resources in order of age, and the links by which calls go on by themselves: by which field, and
/// where in the order.
struct Graph {
    resources: Vec<ByAge>,
    links: Vec<Vec<(&'static str, usize)>>,
}

/// A link: the place of its resource in the order, and its number there.
type Link = (usize, usize);

/// Why a link was cut.
pub fn broken() -> RefError {
    (Reason::Loop, "calls would go round in a circle; let one of the destinations end it".to_owned()).into()
}

/// Cuts circles, each at the youngest resource on it; none when there is no circle. Where a resource
/// cannot stand without its link, it is told, to be refused by its check; spared are the other circles
/// then, which may end with it.
pub fn cut(draft: &mut TenantCompiler, sparing: bool) -> Option<HashSet<Id>> {
    let graph = Graph::new(draft);
    let cuts = graph.cuts(sparing);
    let mut cannot_stand = HashSet::new();
    for (id, field) in cuts.iter().filter_map(|link| graph.field(*link)) {
        if is_required(id.0, field) {
            cannot_stand.insert(id.clone());
        } else {
            draft.degrade(id.0, &id.1, path(id.0, field), broken());
        }
        draft.cut.insert((id.clone(), field));
    }
    (!cuts.is_empty()).then_some(cannot_stand)
}

/// Whether a resource cannot stand without a link.
fn is_required(kind: Kind, field: &str) -> bool {
    kind == Kind::Number || (kind == Kind::Schedule && field != "holiday")
}

/// The path of a link's field in its resource.
pub fn path(kind: Kind, field: &str) -> String {
    match kind {
        Kind::Extension => format!("spec.forwarding.{field}"),
        _ => format!("spec.{field}"),
    }
}

impl Graph {
    fn new(draft: &TenantCompiler) -> Self {
        let links = links(draft);
        let ends = links.iter().flat_map(|(from, _, to)| [from, to]);
        let resources: BTreeSet<ByAge> = ends.map(|id| draft.aged(id.0, &id.1)).collect();
        let resources: Vec<ByAge> = resources.into_iter().collect();
        let places: BTreeMap<&Id, usize> =
            resources.iter().enumerate().map(|(place, aged)| (&aged.id, place)).collect();
        let mut graph = vec![Vec::new(); resources.len()];
        for (from, field, to) in &links {
            if let (Some(from), Some(to)) = (places.get(from), places.get(to))
                && let Some(links) = graph.get_mut(*from)
            {
                links.push((*field, *to));
            }
        }
        drop(places);
        Self { resources, links: graph }
    }

    /// The resource of a link, and the field it is.
    fn field(&self, (resource, link): Link) -> Option<(&Id, &'static str)> {
        let (field, _) = self.links.get(resource)?.get(link)?;
        Some((&self.resources.get(resource)?.id, *field))
    }

    /// The links to cut. Resources come in one after the other, the oldest first; what a newcomer's
    /// link would close is a circle on which it is the youngest. So what was there before goes on as
    /// it did, whatever is added.
    fn cuts(&self, sparing: bool) -> Vec<Link> {
        let mut cuts = Vec::new();
        // From where calls come to a resource: at first from all that are older.
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
                } else if sparing
                    && self.field((resource, link)).is_some_and(|(id, field)| is_required(id.0, field))
                {
                    return vec![(resource, link)];
                } else {
                    cuts.push((resource, link));
                }
            }
        }
        cuts
    }
}

/// From which resources calls come to one, itself among them.
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

/// Every link that a call follows by itself.
fn links(draft: &TenantCompiler) -> Vec<(Id, &'static str, Id)> {
    let mut links = Vec::new();
    let mut add = |kind: Kind, name: &str, field: &'static str, to: Option<&Destination>| {
        let Some(to) = to else { return };
        let Some(target) = draft.link(to) else { return };
        if !draft.stands(kind, name) || draft.is_cut(kind, name, field) {
            return;
        }
        if draft.stands(target.0, &target.1) {
            links.push(((kind, name.to_owned()), field, target));
        }
    };
    for extension in &draft.snapshot.extensions {
        let Some(forwarding) = &extension.spec.forwarding else { continue };
        let name = name_of(&**extension);
        add(Kind::Extension, name, "always", forwarding.always.as_ref());
        add(Kind::Extension, name, "busy", forwarding.busy.as_ref());
        add(Kind::Extension, name, "noAnswer", forwarding.no_answer.as_ref());
        add(Kind::Extension, name, "unavailable", forwarding.unavailable.as_ref());
    }
    for group in &draft.snapshot.ring_groups {
        add(Kind::RingGroup, name_of(&**group), "noAnswer", group.spec.no_answer.as_ref());
    }
    for queue in &draft.snapshot.queues {
        add(Kind::Queue, name_of(&**queue), "overflow", queue.spec.overflow.as_ref());
    }
    for menu in &draft.snapshot.ivr_menus {
        add(Kind::IvrMenu, name_of(&**menu), "otherwise", menu.spec.otherwise.as_ref());
    }
    for number in &draft.snapshot.numbers {
        add(Kind::Number, name_of(&**number), "destination", Some(&number.spec.destination));
    }
    for schedule in &draft.snapshot.schedules {
        let name = name_of(&**schedule);
        add(Kind::Schedule, name, "open", Some(&schedule.spec.open));
        add(Kind::Schedule, name, "closed", Some(&schedule.spec.closed));
        add(Kind::Schedule, name, "holiday", schedule.spec.holiday.as_ref());
    }
    links
}
