//! What is to be loaded, as notifications and comparisons say.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

/// What a notification says.
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

/// What is to be loaded again.
#[derive(Default)]
pub(super) struct Changed {
    /// The revision that is there, at least.
    pub platform: Option<i64>,
    /// The same of tenants; none for one that was removed.
    pub tenants: BTreeMap<Uuid, Option<i64>>,
    /// A notification made no sense: look at everything.
    pub unclear: bool,
}

impl Changed {
    /// Takes in a notification.
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
