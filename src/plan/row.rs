//! What all compiled rows have in common: a kind, a name, and for some kinds a number and secrets.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::platform::*;
use super::tenant::*;
use crate::resources::Kind;

/// Rows of one kind, by resource name (`namespace/name` for trunks).
pub type Rows<T> = BTreeMap<String, T>;

/// Calls a macro with every field of a tenant's plan that holds rows, and the type of its rows.
macro_rules! tenant_rows {
    ($do:ident $($before:tt)*) => {
        $do! {
            $($before)*
            extensions: $crate::plan::ExtensionRow,
            devices: $crate::plan::DeviceRow,
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
            /// Names of the kinds of resources that the plan has rows of, in the order of its fields.
            pub const KINDS: &'static [&'static str] = &[$(<$row as Row>::KIND.as_str()),+];
        }
    };
}
tenant_rows!(kinds TenantPlan:);
platform_rows!(kinds PlatformPlan:);

/// Whether resources of a kind are compiled to rows.
pub fn has_rows(kind: Kind) -> bool {
    match kind {
        Kind::Extension
        | Kind::Device
        | Kind::RingGroup
        | Kind::Queue
        | Kind::IvrMenu
        | Kind::Conference
        | Kind::Schedule
        | Kind::Number
        | Kind::OutboundRoute
        | Kind::FeatureCode
        | Kind::SipProfile
        | Kind::Trunk
        | Kind::DialRule => true,
        Kind::MediaFile
        | Kind::RoutingTest
        | Kind::Switch
        | Kind::Tenant
        | Kind::TenantProfile
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Namespace => false,
    }
}

/// One compiled row. Its body is what serde writes; its secrets are stored beside the body, sealed.
pub trait Row: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// The kind of resource that the row is compiled from.
    const KIND: Kind;

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

/// A secret that a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretName {
    /// The password of a phone, or of a trunk's registration.
    Password,
    /// The PIN of a voicemail box or of a conference.
    Pin,
    /// The password by which a phone fetches its configuration.
    ProvisioningPassword,
    /// The password of a phone's own menu.
    AdminPassword,
}

impl SecretName {
    /// All, in order of their names.
    pub const ALL: [Self; 4] = [Self::AdminPassword, Self::Password, Self::Pin, Self::ProvisioningPassword];

    /// The name under which the secret is sealed, and which golden files show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Pin => "pin",
            Self::ProvisioningPassword => "provisioningPassword",
            Self::AdminPassword => "adminPassword",
        }
    }
}

/// What the names of sealed a1-hashes begin with; the user and the realm follow.
const A1: &str = "a1 ";
/// Name of the digest of a phone's own password, which shows that it changed.
const ADMIN_DIGEST: &str = "digest adminPassword";

/// Algorithms by which phones answer a challenge (RFC 7616 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// MD5, which every phone has.
    Md5,
    /// SHA-256.
    Sha256,
}

impl DigestAlgorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Md5, Self::Sha256];

    /// As HTTP names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Name under which the hash of a provisioning password is sealed.
    const fn hash_name(self) -> &'static str {
        match self {
            Self::Md5 => "provisioning MD5",
            Self::Sha256 => "provisioning SHA-256",
        }
    }
}

/// The secrets of a row, with the a1-hashes that follow from its password. Serialised as the list of the
/// secrets' names, so that a row's body, a golden file or a debug print never shows a value; reading a body
/// gives an empty set, which the store fills from the sealed column.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Sorted by name. A map would take half a kilobyte in every row.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// The value of a secret.
    pub fn get(&self, name: SecretName) -> Option<&str> {
        self.value(name.as_str())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.reveal().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The a1-hash of the password for a SIP user in a realm (RFC 2617 §3.2.2.2), 32 hexadecimal digits.
    pub fn a1_hash(&self, user: &str, realm: &str) -> Option<&str> {
        let of = |name: &str| name.strip_prefix(A1)?.split_once(' ').map(|of| of == (user, realm));
        self.values.iter().find(|(name, _)| of(name) == Some(true)).map(|(_, hash)| hash.as_str())
    }

    /// Inserts a secret, in place of one of that name.
    pub fn insert(&mut self, name: SecretName, value: impl Into<String>) {
        self.remove(name);
        self.values.push((name.as_str().to_owned(), value.into()));
        self.values.sort_unstable();
    }

    /// Replaces all a1-hashes by these, each with its user and realm.
    pub fn replace_a1_hashes<'a>(&mut self, hashes: impl Iterator<Item = (&'a str, &'a str, String)>) {
        self.values.retain(|(name, _)| !name.starts_with(A1));
        self.values.extend(hashes.map(|(user, realm, hash)| (format!("{A1}{user} {realm}"), hash)));
        self.values.sort_unstable();
    }

    /// The hash of provisioning user, realm and provisioning password (A1 of RFC 7616 §3.4.2), in hexadecimal digits.
    pub fn provisioning_hash(&self, algorithm: DigestAlgorithm) -> Option<&str> {
        self.value(algorithm.hash_name())
    }

    /// Replaces the hashes of the provisioning password, and the digest of the phone's own password.
    pub fn replace_provisioning_hashes(
        &mut self,
        hashes: impl Iterator<Item = (DigestAlgorithm, String)>,
        admin_digest: Option<String>,
    ) {
        let is_hash = |name: &str| DigestAlgorithm::ALL.iter().any(|algorithm| algorithm.hash_name() == name);
        self.values.retain(|(name, _)| !is_hash(name) && name != ADMIN_DIGEST);
        self.values.extend(hashes.map(|(algorithm, hash)| (algorithm.hash_name().to_owned(), hash)));
        self.values.extend(admin_digest.map(|digest| (ADMIN_DIGEST.to_owned(), digest)));
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

    /// Secrets from unsealed values by their names.
    pub fn from_revealed(values: BTreeMap<String, String>) -> Self {
        Self { values: values.into_iter().collect() }
    }

    /// Names and values by which two sets differ: a password that has hashes is left out, for the hashes change with
    /// it. So the set of a switch, which has no password, is the same as the stored one.
    pub fn identity(&self) -> impl Iterator<Item = (&str, &str)> {
        let hashed = SecretName::ALL.into_iter().filter(|name| self.is_hashed(*name)).map(SecretName::as_str);
        let hashed: Vec<_> = hashed.collect();
        self.reveal().filter(move |(name, _)| !hashed.contains(name))
    }

    /// Names of the secrets, in order: of a password too of which only hashes are left, as on a switch.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let names = SecretName::ALL.into_iter();
        names.filter(|name| self.get(*name).is_some() || self.is_hashed(*name)).map(SecretName::as_str)
    }

    /// Whether a secret has hashes that change with it.
    fn is_hashed(&self, name: SecretName) -> bool {
        match name {
            SecretName::Password => self.values.iter().any(|(name, _)| name.starts_with(A1)),
            SecretName::ProvisioningPassword => self.provisioning_hash(DigestAlgorithm::Md5).is_some(),
            SecretName::AdminPassword => self.value(ADMIN_DIGEST).is_some(),
            SecretName::Pin => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_with_rows_are_those_of_the_plans() {
        let with_rows: Vec<_> =
            Kind::ALL.iter().filter(|kind| has_rows(**kind)).map(|kind| kind.as_str()).collect();
        let mut of_plans = [TenantPlan::KINDS, PlatformPlan::KINDS].concat();
        of_plans.sort_unstable();
        assert_eq!(with_rows, of_plans);
    }
}
