//! What a change of an object affects.

use std::collections::BTreeSet;

use super::TenantKey;
use crate::resources::Kind;
use crate::source::ObjectKey;

/// What a change affects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Affected {
    /// Tenants to compile again.
    pub tenants: BTreeSet<TenantKey>,
    /// The platform has to be compiled again. If its plan or its policies change, all tenants too.
    pub platform: bool,
    /// Domains, public numbers or MAC addresses may belong to another tenant now.
    pub claims: bool,
    /// Objects that were created or changed, and Secrets that were changed or deleted, each with the tenant
    /// whose plan contains it (`None`: the platform's).
    pub objects: Vec<(Option<TenantKey>, ObjectKey)>,
}

impl Affected {
    pub(super) fn by_key(key: &ObjectKey) -> Self {
        match key.kind {
            Kind::Tenant => Self {
                tenants: BTreeSet::from([TenantKey {
                    namespace: key.namespace.clone().unwrap_or_default(),
                    name: key.name.clone(),
                }]),
                claims: true,
                ..Self::default()
            },
            Kind::Switch => Self::default(),
            _ => Self { platform: true, objects: vec![(None, key.clone())], ..Self::default() },
        }
    }

    /// Adds what another change affects.
    pub fn merge(&mut self, other: Self) {
        self.tenants.extend(other.tenants);
        self.platform |= other.platform;
        self.claims |= other.claims;
        self.objects.extend(other.objects);
    }
}
