//! Names on the switches. Rooms, menus, queues, agents and streams of all tenants share one
//! namespace there (contract §9), so each carries its tenant's identity; one place makes them and
//! takes them apart.

use uuid::Uuid;

/// Dialplan context of calls from carriers.
pub const INBOUND_CONTEXT: &str = "inbound";

/// Dialplan context of whatever comes to a phones' profile without being known: nothing is ever
/// answered for it.
pub const UNROUTED_CONTEXT: &str = "unrouted";

/// The access control list of the carriers' addresses.
pub const TRUNKS_ACL: &str = "trunks";

/// The voicemail profile of all boxes, which are kept apart by their domains.
pub const VOICEMAIL_PROFILE: &str = "default";

/// A conference room, which is also the name of its profile.
pub fn room(tenant: Uuid, conference: &str) -> String {
    format!("{conference}-{tenant}")
}

/// The conference's name and the tenant of a room.
pub fn parse_room(room: &str) -> Option<(&str, Uuid)> {
    parse(room, '-')
}

/// An IVR menu.
pub fn menu(tenant: Uuid, menu: &str) -> String {
    format!("{menu}.{tenant}")
}

/// The menu's name and its tenant.
pub fn parse_menu(menu: &str) -> Option<(&str, Uuid)> {
    parse(menu, '.')
}

/// A queue.
pub fn queue(tenant: Uuid, queue: &str) -> String {
    format!("{queue}@{tenant}")
}

/// The queue's name and its tenant.
pub fn parse_queue(queue: &str) -> Option<(&str, Uuid)> {
    parse(queue, '@')
}

/// The agent who is an extension of a tenant.
pub fn agent(tenant: Uuid, number: &str) -> String {
    format!("{number}@{tenant}")
}

/// The stream of a tenant's hold music.
pub fn music_stream(tenant: Uuid) -> String {
    tenant.to_string()
}

/// Takes `name<separator>tenant` apart; only the spelling that the functions above write.
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
    fn names_are_taken_apart_as_they_are_made() {
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
