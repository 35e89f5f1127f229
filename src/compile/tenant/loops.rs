//! Circles that a call would go round by itself.
//!
//! What a caller chooses in an IVR menu is no such link: a menu may lead back to another menu.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::draft::{Broken, Draft, Id, name_of, resource_kind};
use crate::compile::Reason;
use crate::resources::common::{Destination, DestinationKind};

/// A resource, and the field by which a call leaves it.
type Edge = (Id, &'static str);

/// A link that a call follows by itself.
struct Link {
    field: &'static str,
    to: Id,
}

/// Why a link was cut.
pub fn broken() -> Broken {
    (Reason::Loop, "calls would go round in a circle; let one of the destinations end it".to_owned())
}

/// Cuts circles, each at the youngest resource on it; false when there is none. After a cut that
/// refuses a resource the rest is left for the next time: other circles may end with it.
pub fn cut(draft: &mut Draft) -> bool {
    let links = links(draft);
    let mut cuts: BTreeSet<Edge> = BTreeSet::new();
    circles(&links, |circle| {
        if circle.iter().any(|edge| cuts.contains(edge)) {
            return true;
        }
        let youngest = circle.iter().max_by_key(|(id, _)| draft.aged(id.0, &id.1)).cloned();
        let refuses = youngest.as_ref().is_some_and(|(id, field)| is_required(id.0, field));
        cuts.extend(youngest);
        !refuses
    });
    let found = !cuts.is_empty();
    for (id, field) in cuts {
        // What cannot stand without the link is refused by its check, which comes next.
        if !is_required(id.0, field) {
            draft.degrade(id.0, &id.1, path(id.0, field), broken());
        }
        draft.cut.insert((id, field));
    }
    found
}

/// Whether a resource cannot stand without a link.
fn is_required(kind: &str, field: &str) -> bool {
    kind == "Number" || (kind == "Schedule" && field != "holiday")
}

/// The path of a link's field in its resource.
pub fn path(kind: &str, field: &str) -> String {
    match kind {
        "Extension" => format!("spec.forwarding.{field}"),
        _ => format!("spec.{field}"),
    }
}

fn links(draft: &Draft) -> BTreeMap<Id, Vec<Link>> {
    let mut links = BTreeMap::new();
    let mut add = |kind: &'static str, name: &str, field: &'static str, to: Option<&Destination>| {
        let Some(to) = to else { return };
        let target = match to.kind {
            DestinationKind::Voicemail => return,
            // The tenant's own number comes in again; any other ends the circle.
            DestinationKind::ExternalNumber => {
                match to.number.as_deref().and_then(|number| draft.own_number(number)) {
                    Some(own) => ("Number", own.to_owned()),
                    None => return,
                }
            }
            kind => (resource_kind(kind), to.name.clone().unwrap_or_default()),
        };
        let id = (kind, name.to_owned());
        if !draft.stands(kind, name) || draft.cut.contains(&(id.clone(), field)) {
            return;
        }
        if draft.stands(target.0, &target.1) {
            links.entry(id).or_insert_with(Vec::new).push(Link { field, to: target });
        }
    };
    for extension in &draft.snapshot.extensions {
        let Some(forwarding) = &extension.spec.forwarding else { continue };
        let name = name_of(&**extension);
        add("Extension", name, "always", forwarding.always.as_ref());
        add("Extension", name, "busy", forwarding.busy.as_ref());
        add("Extension", name, "noAnswer", forwarding.no_answer.as_ref());
        add("Extension", name, "unavailable", forwarding.unavailable.as_ref());
    }
    for group in &draft.snapshot.ring_groups {
        add("RingGroup", name_of(&**group), "noAnswer", group.spec.no_answer.as_ref());
    }
    for queue in &draft.snapshot.queues {
        add("Queue", name_of(&**queue), "overflow", queue.spec.overflow.as_ref());
    }
    for menu in &draft.snapshot.ivr_menus {
        add("IvrMenu", name_of(&**menu), "otherwise", menu.spec.otherwise.as_ref());
    }
    for number in &draft.snapshot.numbers {
        add("Number", name_of(&**number), "destination", Some(&number.spec.destination));
    }
    for schedule in &draft.snapshot.schedules {
        let name = name_of(&**schedule);
        add("Schedule", name, "open", Some(&schedule.spec.open));
        add("Schedule", name, "closed", Some(&schedule.spec.closed));
        add("Schedule", name, "holiday", schedule.spec.holiday.as_ref());
    }
    links
}

/// Shows every circle that a walk over the links comes upon, as the resources on it, each with the
/// field that leads on, until it is told to stop. Depth first, without recursion: chains can be as
/// long as there are extensions.
fn circles(links: &BTreeMap<Id, Vec<Link>>, mut show: impl FnMut(&[Edge]) -> bool) {
    let mut done: HashMap<&Id, bool> = HashMap::new();
    for start in links.keys() {
        if done.contains_key(start) {
            continue;
        }
        let mut path: Vec<(&Id, usize)> = vec![(start, 0)];
        done.insert(start, false);
        while let Some((id, next)) = path.last_mut() {
            let Some(link) = links.get(*id).and_then(|links| links.get(*next)) else {
                done.insert(id, true);
                path.pop();
                continue;
            };
            *next += 1;
            match done.get(&link.to) {
                None => {
                    done.insert(&link.to, false);
                    path.push((&link.to, 0));
                }
                Some(true) => {}
                Some(false) => {
                    let circle = path.iter().skip_while(|(id, _)| **id != link.to);
                    let edges = circle.filter_map(|(id, next)| {
                        let field = links.get(*id)?.get(next.checked_sub(1)?)?.field;
                        Some(((*id).clone(), field))
                    });
                    if !show(&edges.collect::<Vec<_>>()) {
                        return;
                    }
                }
            }
        }
    }
}
