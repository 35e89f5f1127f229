//! Names of FreeSWITCH objects. Rooms, menus, queues, agents and streams of all tenants share one namespace
//! (contract §9), so each name contains the tenant's identity. Only this module builds and parses them.

use uuid::Uuid;

/// Dialplan context of calls from carriers.
pub const INBOUND_CONTEXT: &str = "inbound";

/// Dialplan context of unauthenticated calls at a phone profile: no destination exists in it.
pub const UNROUTED_CONTEXT: &str = "unrouted";

/// The access control list of the carriers' addresses.
pub const TRUNKS_ACL: &str = "trunks";

/// The voicemail profile of all boxes; domains keep the tenants' boxes apart.
pub const VOICEMAIL_PROFILE: &str = "default";

/// What the presence user of a parking place begins with (mod_valet_parking.c, `valet_send_presence`: `proto`). A key
/// whose lamp shows the place dials the same user.
pub const PARKING_PRESENCE: &str = "park+";

/// Name of a conference room, and of its conference profile.
pub fn room(tenant: Uuid, conference: &str) -> String {
    format!("{conference}-{tenant}")
}

/// Parses a room into the Conference's name and its tenant.
pub fn parse_room(room: &str) -> Option<(&str, Uuid)> {
    parse(room, '-')
}

/// Name of an IVR menu.
pub fn menu(tenant: Uuid, menu: &str) -> String {
    format!("{menu}.{tenant}")
}

/// Parses a menu into the IvrMenu's name and its tenant.
pub fn parse_menu(menu: &str) -> Option<(&str, Uuid)> {
    parse(menu, '.')
}

/// Name of a queue.
pub fn queue(tenant: Uuid, queue: &str) -> String {
    format!("{queue}@{tenant}")
}

/// Parses a queue into the Queue's name and its tenant.
pub fn parse_queue(queue: &str) -> Option<(&str, Uuid)> {
    parse(queue, '@')
}

/// Name of the agent for an extension.
pub fn agent(tenant: Uuid, number: &str) -> String {
    format!("{number}@{tenant}")
}

/// Name of a tenant's hold music stream.
pub fn music_stream(tenant: Uuid) -> String {
    tenant.to_string()
}

/// Parses `name<separator>tenant`; accepts only the spelling that the functions above build.
fn parse(name: &str, separator: char) -> Option<(&str, Uuid)> {
    const TENANT_LENGTH: usize = 36;
    let (name, tenant) = name.split_at_checked(name.len().checked_sub(TENANT_LENGTH)?)?;
    let name = name.strip_suffix(separator).filter(|name| !name.is_empty())?;
    let id = Uuid::try_parse(tenant).ok()?;
    (id.to_string() == tenant).then_some((name, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_as_they_are_built() {
        let id = Uuid::from_u128(0xa1b2);
        assert_eq!(parse_room(&room(id, "stand-up")), Some(("stand-up", id)));
        assert_eq!(parse_menu(&menu(id, "welcome.en")), Some(("welcome.en", id)));
        assert_eq!(parse_queue(&queue(id, "support")), Some(("support", id)));
    }

    #[test]
    fn other_spellings_are_no_names() {
        let id = Uuid::from_u128(0xa1b2);
        let upper = id.to_string().to_uppercase();
        for name in
            ["", "support", &id.to_string(), &format!("-{id}"), &format!("x@{id}"), &format!("x-{upper}")]
        {
            assert_eq!(parse_room(name), None, "{name}");
        }
    }
}
