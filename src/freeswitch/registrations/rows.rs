//! Registrations as rows: with the tenant, the extension and the Device that the replica knows.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Registrations;
use crate::replica::tenants::Replica;
use crate::store::registrations::{RegistrationKey, RegistrationRow, WatchedDevice};
use crate::util::domain::canonical;

/// The rows of a switch, and the registered Devices whose absence is announced.
#[derive(Debug, Default)]
pub struct Rows {
    /// Rows by key.
    pub registrations: BTreeMap<RegistrationKey, RegistrationRow>,
    /// Devices that have a registration.
    pub watched: Vec<WatchedDevice>,
}

/// The rows of the current registrations. A user that the replica does not know has no row: its registration is about to
/// be flushed.
pub fn rows(registrations: &Registrations, replica: &Replica, now: Timestamp) -> Rows {
    let mut rows = Rows::default();
    for (profile, sip_user, held) in registrations.current(now) {
        let Some(domain) = canonical(&sip_user.host) else { continue };
        let Some(view) = replica.of_phones(&domain) else { continue };
        let Some(found) = view.sip_user(&sip_user.user) else { continue };
        let tenant_id = view.plan.tenant.id;
        let device = found.device.map(|(name, _)| name.to_owned());
        if let Some((name, row)) = found.device
            && let Some(minutes) = row.offline_alert_minutes
        {
            rows.watched.push(WatchedDevice { tenant_id, device: name.to_owned(), minutes });
        }
        let row = RegistrationRow {
            tenant_id,
            extension: found.extension.to_owned(),
            device,
            address: held.address.map(|address| address.to_string()),
            port: held.port.map(i32::from),
            user_agent: held.user_agent,
            transport: held.transport,
            call_id: held.call_id,
            registered_at: held.registered_at,
            expires_at: held.expires_at,
        };
        let key = RegistrationKey { profile, sip_user: sip_user.user, domain: sip_user.host };
        rows.registrations.insert(key, row);
    }
    rows.watched.sort_unstable();
    rows.watched.dedup();
    rows
}
