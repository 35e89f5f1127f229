//! What all compiled rows have in common: a kind, a name, and for some kinds a number and secrets.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::platform::*;
use super::tenant::*;

/// Rows of one kind, by resource name (`namespace/name` for trunks).
pub type Rows<T> = BTreeMap<String, T>;

/// Calls a macro with every field of a tenant's plan that holds rows, and the type of its rows.
macro_rules! tenant_rows {
    ($do:ident $($before:tt)*) => {
        $do! {
            $($before)*
            extensions: $crate::plan::ExtensionRow,
            ring_groups: $crate::plan::RingGroupRow,
            queues: $crate::plan::QueueRow,
            ivr_menus: $crate::plan::IvrMenuRow,
            conferences: $crate::plan::ConferenceRow,
            schedules: $crate::plan::ScheduleRow,
            numbers: $crate::plan::NumberRow,
            outbound_routes: $crate::plan::OutboundRouteRow,
            feature_codes: $crate::plan::FeatureCodeRow
        }
    };
}
pub(crate) use tenant_rows;

/// The same for the platform's plan.
macro_rules! platform_rows {
    ($do:ident $($before:tt)*) => {
        $do! {
            $($before)*
            sip_profiles: $crate::plan::SipProfileRow,
            trunks: $crate::plan::TrunkRow,
            dial_rules: $crate::plan::DialRuleRow
        }
    };
}
pub(crate) use platform_rows;

macro_rules! kinds {
    ($plan:ident: $($field:ident: $row:ty),+) => {
        impl $plan {
            /// Kinds of resources that the plan has rows of, in the order of its fields.
            pub const KINDS: &'static [&'static str] = &[$(<$row as Row>::KIND),+];
        }
    };
}
tenant_rows!(kinds TenantPlan:);
platform_rows!(kinds PlatformPlan:);

/// The kind of that name, if its resources are compiled to rows of a plan.
pub fn row_kind(kind: &str) -> Option<&'static str> {
    TenantPlan::KINDS.iter().chain(PlatformPlan::KINDS).copied().find(|known| *known == kind)
}

/// One compiled row. Its body is what serde writes; its secrets are stored beside the body, sealed.
pub trait Row: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// The kind of resource that the row is compiled from.
    const KIND: &'static str;

    /// The number that callers dial for the resource: internal, feature code or E.164; `None` when there is none.
    fn number(&self) -> Option<&str> {
        None
    }

    /// The secrets of the row, for kinds that have any. They are sealed at rest.
    fn secrets(&self) -> Option<&Secrets> {
        None
    }

    /// The same, to insert the unsealed secrets when a row is read.
    fn secrets_mut(&mut self) -> Option<&mut Secrets> {
        None
    }
}

/// Named secrets of a row. They serialise as the list of their names, so that a row's body, a golden
/// file or a debug print never shows a value. Deserialising a body gives no secrets: the store adds
/// them from the `sealed` column.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Sorted by name. A map would take half a kilobyte in every row.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// The value of a secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.reveal().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Inserts a secret, in place of one of that name.
    pub fn insert(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.values.push((name.to_owned(), value.into()));
        self.values.sort_unstable();
    }

    /// Removes a secret.
    pub fn remove(&mut self, name: &str) {
        self.values.retain(|(known, _)| known != name);
    }

    /// True when there are no secrets.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Names and values in order of the names, for sealing only.
    pub fn reveal(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Secrets from unsealed values by their names.
    pub fn from_revealed(values: BTreeMap<String, String>) -> Self {
        Self { values: values.into_iter().collect() }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.reveal().map(|(name, _)| name)).finish()
    }
}

impl Serialize for Secrets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.values.len()))?;
        for (name, _) in self.reveal() {
            seq.serialize_element(name)?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Ok(Self::default())
    }
}
