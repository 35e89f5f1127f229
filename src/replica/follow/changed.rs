//! What has to be loaded, collected from notifications and comparisons.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

/// The payload of a notification.
#[derive(Deserialize)]
struct Notice {
    #[serde(default)]
    tenant: Option<Uuid>,
    #[serde(default)]
    platform: bool,
    #[serde(default)]
    revision: i64,
    #[serde(default)]
    removed: bool,
}

/// The revisions to load.
#[derive(Default)]
pub(super) struct Changed {
    /// Least revision of the platform to load; `None` when it did not change.
    pub platform: Option<i64>,
    /// Least revision of each changed tenant; `None` for a removed one.
    pub tenants: BTreeMap<Uuid, Option<i64>>,
    /// True after a payload that cannot be parsed: all revisions have to be compared.
    pub unclear: bool,
}

impl Changed {
    /// Adds the payload of a notification.
    pub fn add(&mut self, payload: &str) {
        match serde_json::from_str(payload) {
            Ok(Notice { tenant: None, platform: false, .. }) | Err(_) => self.unclear = true,
            Ok(Notice { tenant, platform, revision, removed }) => {
                self.platform = platform.then_some(revision).max(self.platform);
                self.tenants.extend(tenant.map(|id| (id, (!removed).then_some(revision))));
            }
        }
    }
}
