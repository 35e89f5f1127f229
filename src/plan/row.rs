//! What every compiled row has in common: a table, a name, maybe a number, maybe secrets.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::platform::*;
use super::tenant::*;
use crate::resources::Kind;

/// Rows of one kind, by resource name (`namespace/name` for trunks).
pub type Rows<T> = BTreeMap<String, T>;

/// Hands a macro every kind of a tenant's rows, by the fields of its plan.
macro_rules! tenant_rows {
    ($do:ident $($before:tt)*) => {
        $do! {
            $($before)*
            extensions,
            ring_groups,
            queues,
            ivr_menus,
            conferences,
            schedules,
            numbers,
            outbound_routes,
            feature_codes
        }
    };
}
pub(crate) use tenant_rows;

/// The kind that the rows of a table are compiled from.
pub fn kind_of(table: &str) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|kind| table_of(*kind) == Some(table))
}

/// The table of a kind's rows; `None` for a kind that has no rows.
pub fn table_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Extension => ExtensionRow::TABLE,
        Kind::RingGroup => RingGroupRow::TABLE,
        Kind::Queue => QueueRow::TABLE,
        Kind::IvrMenu => IvrMenuRow::TABLE,
        Kind::Conference => ConferenceRow::TABLE,
        Kind::Schedule => ScheduleRow::TABLE,
        Kind::Number => NumberRow::TABLE,
        Kind::OutboundRoute => OutboundRouteRow::TABLE,
        Kind::FeatureCode => FeatureCodeRow::TABLE,
        Kind::SipProfile => SipProfileRow::TABLE,
        Kind::Trunk => TrunkRow::TABLE,
        Kind::DialRule => DialRuleRow::TABLE,
        Kind::Device
        | Kind::MediaFile
        | Kind::RoutingTest
        | Kind::Switch
        | Kind::Tenant
        | Kind::TenantProfile
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Namespace => return None,
    })
}

/// One compiled row. Its body is what serde writes; its secrets are kept apart and sealed.
pub trait Row: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// Table of the row: in the tenant's schema, or in `public` for platform rows.
    const TABLE: &'static str;

    /// The kind of resource that the row is compiled from.
    const KIND: Kind;

    /// The number callers dial for it, where it has one: internal, feature code or E.164.
    fn number(&self) -> Option<&str> {
        None
    }

    /// The secrets of the row, sealed at rest.
    fn secrets(&self) -> Option<&Secrets> {
        None
    }

    /// The same, to put unsealed secrets back when a row is read.
    fn secrets_mut(&mut self) -> Option<&mut Secrets> {
        None
    }
}

/// A secret that a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretName {
    /// The password of a phone, or of a trunk's registration.
    Password,
    /// The PIN of a voicemail box or of a conference.
    Pin,
}

impl SecretName {
    /// The name under which the secret is sealed, and which golden files show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Pin => "pin",
        }
    }
}

/// What the names of sealed a1-hashes begin with; the realm follows.
const A1: &str = "a1 ";

/// The secrets of a row, with the a1-hashes that follow from its password. Serialised as the list of the
/// secrets' names, so that a row's body, a golden file or a debug print never shows a value; reading a body
/// gives an empty set, which the store fills from the sealed column.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// In order of their names. A map of its own would take half a kilobyte in every row.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// The value of a secret.
    pub fn get(&self, name: SecretName) -> Option<&str> {
        self.value(name.as_str())
    }

    /// The a1-hash of the password in a realm (RFC 2617 §3.2.2.2), 32 hexadecimal digits.
    pub fn a1_hash(&self, realm: &str) -> Option<&str> {
        let hashes = self.values.iter().filter_map(|(name, value)| Some((name.strip_prefix(A1)?, value)));
        hashes.into_iter().find(|(of, _)| *of == realm).map(|(_, hash)| hash.as_str())
    }

    /// Inserts a secret, in place of an older value.
    pub fn insert(&mut self, name: SecretName, value: impl Into<String>) {
        self.remove(name);
        self.values.push((name.as_str().to_owned(), value.into()));
        self.values.sort_unstable();
    }

    /// Replaces all a1-hashes by these, each with its realm.
    pub fn replace_a1_hashes<'a>(&mut self, hashes: impl Iterator<Item = (&'a str, String)>) {
        self.values.retain(|(name, _)| !name.starts_with(A1));
        self.values.extend(hashes.map(|(realm, hash)| (format!("{A1}{realm}"), hash)));
        self.values.sort_unstable();
    }

    /// Removes a secret.
    pub fn remove(&mut self, name: SecretName) {
        self.values.retain(|(known, _)| known != name.as_str());
    }

    /// True when there is neither a secret nor a hash.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Names and values of secrets and hashes, in order of the names, for sealing only.
    pub fn reveal(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A set from unsealed values.
    pub fn from_revealed(values: BTreeMap<String, String>) -> Self {
        Self { values: values.into_iter().collect() }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.reveal().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.reveal().map(|(name, _)| name).filter(|name| !name.starts_with(A1))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for Secrets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Ok(Self::default())
    }
}
