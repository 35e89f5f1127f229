//! Circles that a call would go round by itself.
//!
//! What a caller chooses in an IVR menu is no such link: a menu may lead back to another menu.

use std::collections::{BTreeMap, HashMap};

use super::draft::{Broken, Draft, Id, name_of, resource_kind};
use crate::compile::Reason;
use crate::resources::common::{Destination, DestinationKind};

/// A link that a call follows by itself.
struct Link {
    field: &'static str,
    to: Id,
}

/// Why a link was cut.
pub fn broken() -> Broken {
    (Reason::Loop, "calls would go round in a circle; let one of the destinations end it".to_owned())
}

/// Finds one circle and cuts it at the youngest resource on it; false when there is none.
pub fn break_one(draft: &mut Draft) -> bool {
    let links = links(draft);
    let Some(circle) = find(&links) else { return false };
    let youngest = circle.iter().max_by_key(|(id, _)| draft.aged(id.0, &id.1));
    let Some((id, field)) = youngest.cloned() else { return false };
    // A schedule cannot stand without what is cut: its check refuses it next.
    if !(id.0 == "Schedule" && field != "holiday") {
        draft.degrade(id.0, &id.1, path(id.0, field), broken());
    }
    draft.cut.insert((id, field));
    true
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
        let ends = matches!(to.kind, DestinationKind::Voicemail | DestinationKind::ExternalNumber);
        let id = (kind, name.to_owned());
        if ends || !draft.stands(kind, name) || draft.cut.contains(&(id.clone(), field)) {
            return;
        }
        let target = (resource_kind(to.kind), to.name.clone().unwrap_or_default());
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
    for schedule in &draft.snapshot.schedules {
        let name = name_of(&**schedule);
        add("Schedule", name, "open", Some(&schedule.spec.open));
        add("Schedule", name, "closed", Some(&schedule.spec.closed));
        add("Schedule", name, "holiday", schedule.spec.holiday.as_ref());
    }
    links
}

/// A circle as the resources on it, each with the field that leads on. Depth first, without
/// recursion: chains can be as long as there are extensions.
fn find(links: &BTreeMap<Id, Vec<Link>>) -> Option<Vec<(Id, &'static str)>> {
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
                    let from = path.iter().position(|(id, _)| **id == link.to)?;
                    let circle = path.get(from..)?.iter().filter_map(|(id, next)| {
                        let field = links.get(*id)?.get(next.checked_sub(1)?)?.field;
                        Some(((*id).clone(), field))
                    });
                    return Some(circle.collect());
                }
            }
        }
    }
    None
}
