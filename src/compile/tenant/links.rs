//! References a resource cannot stand without.

use super::draft::{Broken, Draft, name_of};
use crate::compile::Reason;
use crate::resources::{Number, OutboundRoute, RingGroup, Schedule};

/// Refuses resources whose required references are broken; true when one fell, because others may
/// have stood on it.
pub fn check_required(draft: &mut Draft) -> bool {
    let mut fell = false;
    macro_rules! check {
        ($($kind:literal, $list:ident, $check:path;)*) => {
            $(for object in &draft.snapshot.$list {
                let name = name_of(&**object);
                if draft.stands($kind, name)
                    && let Err((field, (reason, message))) = $check(draft, object)
                {
                    draft.refuse(($kind, name.to_owned()), field, reason, message);
                    fell = true;
                }
            })*
        };
    }
    check!(
        "OutboundRoute", outbound_routes, outbound_route;
        "RingGroup", ring_groups, ring_group;
        "Schedule", schedules, schedule;
        "Number", numbers, number;
    );
    fell
}

type Checked = Result<(), (String, Broken)>;

fn number(draft: &Draft, number: &Number) -> Checked {
    let (name, trunk) =
        draft.trunk(&number.spec.trunk_ref).map_err(|why| ("spec.trunkRef".to_owned(), why))?;
    if trunk.source_addresses.is_empty() {
        let message = format!("no call can come in by Trunk {name}: it has no spec.sourceAddresses");
        return Err(("spec.trunkRef".to_owned(), (Reason::InvalidValue, message)));
    }
    draft.target(&number.spec.destination).map_err(|why| ("spec.destination".to_owned(), why))?;
    if draft.is_cut("Number", name_of(number), "destination") {
        return Err(("spec.destination".to_owned(), super::loops::broken()));
    }
    Ok(())
}

fn schedule(draft: &Draft, schedule: &Schedule) -> Checked {
    super::schedule::windows(schedule)?;
    super::schedule::holidays(schedule)?;
    super::schedule::time_zone(schedule)?;
    for (field, destination) in [("open", &schedule.spec.open), ("closed", &schedule.spec.closed)] {
        draft.target(destination).map_err(|why| (format!("spec.{field}"), why))?;
        if draft.is_cut("Schedule", name_of(schedule), field) {
            return Err((format!("spec.{field}"), super::loops::broken()));
        }
    }
    Ok(())
}

fn ring_group(draft: &Draft, group: &RingGroup) -> Checked {
    let usable = group.spec.members.iter().any(|m| draft.stands("Extension", &m.extension_ref.name));
    if usable {
        return Ok(());
    }
    let first = group.spec.members.first();
    let why = first.and_then(|member| draft.resolve("Extension", &member.extension_ref.name).err());
    let (reason, why) = why.unwrap_or_else(|| (Reason::RefNotFound, "it has none".to_owned()));
    Err(("spec.members".to_owned(), (reason, format!("none of its members can ring: {why}"))))
}

fn outbound_route(draft: &Draft, route: &OutboundRoute) -> Checked {
    let mut first = None;
    for (index, reference) in route.spec.trunks.iter().enumerate() {
        match draft.trunk(reference) {
            Ok(_) => return Ok(()),
            Err(why) => {
                first.get_or_insert((format!("spec.trunks[{index}]"), why));
            }
        }
    }
    Err(first
        .unwrap_or_else(|| ("spec.trunks".to_owned(), (Reason::RefNotFound, "it names no trunk".to_owned()))))
}
