//! Claims on what is unique in the whole installation: domains, public numbers and tenant identities. The
//! oldest claimant is the holder; of equally old ones the first by name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::resources::{Number, Tenant};
use crate::source::index::key_of;
use crate::source::object::created;
use crate::source::{ResourceIndex, TenantKey};
use crate::util::domain::canonical;

/// Most digits of an emergency number that passes every DialRule of the platform, such as 112. A longer
/// number is an emergency number only by the tenant's own claim, so that a DialRule may block it.
pub const UNDENIABLE_DIGITS: usize = 3;

/// A claimant: creation time, tenant, and name of the Number. The smallest is the holder.
type Claimant = (Timestamp, TenantKey, String);

/// The claims of all tenants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    domains: BTreeMap<String, BTreeSet<Claimant>>,
    numbers: BTreeMap<String, BTreeSet<Claimant>>,
    identities: BTreeMap<Uuid, BTreeSet<Claimant>>,
    /// Existing tenants, each with the allowed prefixes of its public numbers. A Number whose tenant is
    /// missing, or whose prefix is not allowed, holds nothing.
    tenants: BTreeMap<TenantKey, Vec<String>>,
    emergency_numbers: BTreeSet<String>,
}

impl Claims {
    /// Collects the claims of all resources in an index.
    pub fn new(index: &ResourceIndex) -> Self {
        let mut claims = Self::default();
        index.tenants().for_each(|tenant| claims.add_tenant(tenant));
        index.numbers().for_each(|number| claims.add_number(number));
        // Unreadable Tenants exist, so Numbers that name them keep their claims.
        for tenant in index.unreadable_tenants() {
            claims.tenants.entry(tenant).or_default();
        }
        claims
    }

    /// Adds what a tenant claims.
    pub fn add_tenant(&mut self, tenant: &Tenant) {
        let Some(key) = key_of(tenant) else { return };
        let age = created(&tenant.metadata);
        for domain in domains(tenant) {
            self.domains.entry(domain).or_default().insert((age, key.clone(), String::new()));
        }
        if let Some(emergency) = &tenant.spec.emergency {
            let short = emergency.numbers.iter().filter(|number| number.len() <= UNDENIABLE_DIGITS);
            self.emergency_numbers.extend(short.cloned());
        }
        if let Some(id) = tenant_id(tenant) {
            self.identities.entry(id).or_default().insert((age, key.clone(), String::new()));
        }
        self.tenants.insert(key, tenant.spec.allowed_numbers.clone());
    }

    /// Adds what a Number claims.
    pub fn add_number(&mut self, number: &Number) {
        let Some(namespace) = number.metadata.namespace.clone() else { return };
        let key = TenantKey { namespace, name: number.spec.tenant_ref.name.clone() };
        let name = number.metadata.name.clone().unwrap_or_default();
        let claimants = self.numbers.entry(number.spec.number.clone()).or_default();
        claimants.insert((created(&number.metadata), key, name));
    }

    /// Removes the claims that [`Self::add_tenant`] added. Emergency numbers stay, because other tenants
    /// may have the same.
    pub fn remove_tenant(&mut self, tenant: &Tenant) {
        let Some(key) = key_of(tenant) else { return };
        for domain in domains(tenant) {
            self.domains.entry(domain).or_default().retain(|(_, holder, _)| *holder != key);
        }
        if let Some(id) = tenant_id(tenant) {
            self.identities.entry(id).or_default().retain(|(_, holder, _)| *holder != key);
        }
        self.tenants.remove(&key);
    }

    /// Removes the claim that [`Self::add_number`] added.
    pub fn remove_number(&mut self, number: &Number) {
        let namespace = number.metadata.namespace.as_deref().unwrap_or_default();
        let name = number.metadata.name.as_deref().unwrap_or_default();
        let claimants = self.numbers.entry(number.spec.number.clone()).or_default();
        claimants.retain(|(_, tenant, holder)| tenant.namespace != namespace || holder != name);
    }

    /// The tenant that holds a domain, in its canonical form.
    pub fn domain(&self, domain: &str) -> Option<&TenantKey> {
        self.domains.get(domain)?.first().map(|(_, key, _)| key)
    }

    /// The tenant and the Number that hold a public number.
    pub fn number(&self, number: &str) -> Option<(&TenantKey, &str)> {
        let may = |(_, key, _): &&Claimant| self.may_hold(key, number);
        self.numbers.get(number)?.iter().find(may).map(|(_, key, name)| (key, name.as_str()))
    }

    /// Whether a tenant exists and its `allowedNumbers` permit a public number.
    pub fn may_hold(&self, tenant: &TenantKey, number: &str) -> bool {
        let allows = |allowed: &Vec<String>| {
            allowed.is_empty() || allowed.iter().any(|beginning| number.starts_with(beginning.as_str()))
        };
        self.tenants.get(tenant).is_some_and(allows)
    }

    /// The tenant that has an identity.
    pub fn identity(&self, id: Uuid) -> Option<&TenantKey> {
        self.identities.get(&id)?.first().map(|(_, key, _)| key)
    }

    /// Emergency numbers of all tenants that pass every DialRule of the platform.
    pub fn emergency_numbers(&self) -> &BTreeSet<String> {
        &self.emergency_numbers
    }

    /// Tenants that claim something whose holder differs between two states.
    pub fn moved(&self, after: &Self) -> BTreeSet<TenantKey> {
        let mut moved = BTreeSet::new();
        differing(&self.domains, &after.domains, &mut moved);
        differing(&self.identities, &after.identities, &mut moved);
        let numbers = self.numbers.keys().chain(after.numbers.keys());
        for number in numbers.filter(|number| self.number(number) != after.number(number)) {
            let claimants = [self, after].into_iter().filter_map(|claims| claims.numbers.get(number));
            moved.extend(claimants.flatten().map(|(_, tenant, _)| tenant.clone()));
        }
        moved
    }
}

/// Adds all claimants of each key whose holder differs.
fn differing<K: Ord>(
    before: &BTreeMap<K, BTreeSet<Claimant>>,
    after: &BTreeMap<K, BTreeSet<Claimant>>,
    moved: &mut BTreeSet<TenantKey>,
) {
    for key in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(key), after.get(key));
        if old.and_then(BTreeSet::first) != new.and_then(BTreeSet::first) {
            moved.extend(old.into_iter().chain(new).flatten().map(|(_, tenant, _)| tenant.clone()));
        }
    }
}

/// The valid domains of a tenant, in canonical form.
pub fn domains(tenant: &Tenant) -> impl Iterator<Item = String> {
    tenant.spec.domains.iter().filter_map(|domain| canonical(domain).map(Cow::into_owned))
}

/// Identity of a tenant: `spec.tenantId`, else its UID.
pub fn tenant_id(tenant: &Tenant) -> Option<Uuid> {
    let text = tenant.spec.tenant_id.as_deref().or(tenant.metadata.uid.as_deref())?;
    Uuid::parse_str(text).ok()
}

#[cfg(test)]
mod tests {
    use crate::resources::Kind;
    use serde_json::json;

    use super::*;
    use crate::source::{Change, Object, ObjectKey, Unreadable};

    #[test]
    fn only_an_existing_tenant_holds_a_number() {
        let read = |kind: &str, namespace: &str, year: u32, spec: serde_json::Value| {
            let object = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "spec": spec,
                "metadata": {"namespace": namespace, "name": "it", "creationTimestamp": format!("{year}-01-01T00:00:00Z")}});
            Change::Upsert(Object::from_json(kind, object).unwrap().unwrap())
        };
        let number = json!({"tenantRef": {"name": "it"}, "number": "+493012345600", "trunkRef": {"name": "carrier"},
            "destination": {"kind": "Conference", "name": "it"}});
        let mut index = ResourceIndex::default();
        index.apply(read("Number", "older", 2020, number.clone()));
        index.apply(read("Number", "younger", 2021, number));
        index.apply(read("Tenant", "younger", 2021, json!({"domains": ["younger.example.com"]})));
        let holder = |index: &ResourceIndex| {
            Claims::new(index).number("+493012345600").map(|(tenant, _)| tenant.namespace.clone())
        };
        assert_eq!(holder(&index).as_deref(), Some("younger"));
        // An unreadable Tenant exists.
        let key =
            ObjectKey { kind: Kind::Tenant, namespace: Some("older".to_owned()), name: "it".to_owned() };
        let message = String::new();
        index.apply(Change::Unreadable(Unreadable { key, tenant: None, message }));
        assert_eq!(holder(&index).as_deref(), Some("older"));
    }

    #[test]
    fn a_number_moves_in_spite_of_an_older_claim_of_a_deleted_tenant() {
        let key = |namespace: &str| TenantKey { namespace: namespace.to_owned(), name: "it".to_owned() };
        let claims = |all: &[&str]| Claims {
            tenants: ["older", "younger"].map(|name| (key(name), Vec::new())).into(),
            numbers: [(
                "+493012345600".to_owned(),
                all.iter()
                    .zip(0..)
                    .map(|(of, age)| {
                        (Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(age), key(of), String::new())
                    })
                    .collect(),
            )]
            .into(),
            ..Claims::default()
        };
        let (before, after) = (claims(&["gone", "older", "younger"]), claims(&["gone", "younger"]));
        assert_eq!(before.moved(&after), [key("gone"), key("older"), key("younger")].into());
        assert_eq!(before.moved(&before), BTreeSet::new());
    }
}
