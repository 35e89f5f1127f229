//! What a browser needs to register as an extension, for an hour or two.

use jiff::Timestamp;
use serde::Serialize;

use super::ice::{IceServer, IceServers};
use super::signing_key::SigningKey;
use super::web_password::{self, HOUR_SECONDS};
use crate::plan::TenantPlan;

/// What a browser needs to register as an extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebCredential {
    /// Address of record, such as `sip:1001@acme.example.com`.
    pub uri: String,
    /// User name for challenges.
    pub user: String,
    /// Password for challenges.
    pub password: String,
    /// When the password is no longer accepted. Calls that are up then go on.
    pub expires: Timestamp,
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
}

impl WebCredential {
    /// The credential of an extension, by its name or number. `None` when the tenant has no such extension, or when
    /// its password was withdrawn, which shuts browsers out too.
    pub fn new(
        key: &SigningKey,
        plan: &TenantPlan,
        extension: &str,
        ice: &IceServers,
        now: Timestamp,
    ) -> Option<Self> {
        let by_number = || plan.extensions.iter().find(|(_, row)| row.number == extension);
        let (name, row) = plan.extensions.get_key_value(extension).or_else(by_number)?;
        let main_domain = plan.tenant.main_domain();
        row.secrets.a1_hash(&row.number, main_domain)?;
        let [password, _] = web_password::accepted(key, plan.tenant.id, name, now);
        let hour = now.as_second().div_euclid(HOUR_SECONDS);
        let expires = Timestamp::from_second((hour + 2) * HOUR_SECONDS).ok()?;
        let address = format!("{}@{main_domain}", row.number);
        let ice_servers = ice.for_user(&address, expires);
        Some(Self { uri: format!("sip:{address}"), user: row.number.clone(), password, expires, ice_servers })
    }
}
