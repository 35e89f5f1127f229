//! Objects that exist and cannot be read, for example because a newer release wrote them. An unreadable object
//! is not a deleted one: the rows of every tenant that it may belong to stay as they are stored.

use super::{Affected, ResourceIndex, TenantKey};
use crate::resources::Kind;
use crate::source::ObjectKey;
use crate::source::manifest::name_violations;
use crate::source::references::trunks;

/// An object that exists and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Key of the object.
    pub key: ObjectKey,
    /// Name of its tenant, if that part can be read.
    pub tenant: Option<String>,
    /// The reason: field, error, and allowed values.
    pub message: String,
}

impl ResourceIndex {
    /// Records that an object cannot be read. Affects nothing if an earlier version was read: that one stays
    /// in force.
    pub(super) fn mark_unreadable(&mut self, unreadable: Unreadable) -> Affected {
        let key = &unreadable.key;
        // These kinds have no rows of their own, and no release stores an object with such a name.
        let never_stored =
            matches!(key.kind, Kind::Secret | Kind::ConfigMap | Kind::Namespace | Kind::Switch)
                || (key.kind != Kind::Tenant
                    && !name_violations(key.kind, &key.name, key.namespace.as_deref()).is_empty());
        if never_stored || self.object(key).is_some() {
            return Affected::default();
        }
        let affected = self.affected_by(&unreadable);
        self.unreadable.insert(key.clone(), unreadable);
        affected
    }

    /// Records that an object was read or deleted. Affects nothing if it was not unreadable before.
    pub(super) fn mark_readable(&mut self, key: &ObjectKey) -> Affected {
        let unreadable = self.unreadable.remove(key);
        unreadable.map(|unreadable| self.affected_by(&unreadable)).unwrap_or_default()
    }

    fn affected_by(&self, unreadable: &Unreadable) -> Affected {
        let concerned = |tenant: &TenantKey| self.concerns(unreadable, tenant);
        let tenants = self.tenants().filter_map(|tenant| super::key_of(tenant)).filter(concerned);
        let own = tenant_key(&unreadable.key);
        let platform = is_of_platform(&unreadable.key);
        let claims = own.is_some();
        Affected { claims, tenants: tenants.chain(own).collect(), platform, ..Affected::default() }
    }

    /// Whether the tenant could compile to another plan if the object were readable.
    fn concerns(&self, unreadable: &Unreadable, tenant: &TenantKey) -> bool {
        let key = &unreadable.key;
        match key.kind {
            Kind::Trunk => self.objects_of(tenant).any(|(_, object)| trunks(object).contains(key)),
            Kind::Tenant => tenant_key(key).as_ref() == Some(tenant),
            _ if key.namespace.is_none() => true,
            _ => {
                key.namespace.as_ref() == Some(&tenant.namespace)
                    && unreadable.tenant.as_ref().is_none_or(|name| *name == tenant.name)
            }
        }
    }

    /// An unreadable object because of which the rows of a tenant must stay as they are stored.
    pub fn unreadable_for_tenant(&self, tenant: &TenantKey) -> Option<&Unreadable> {
        let exists = self.has_tenant(tenant);
        self.unreadable.values().find(|unreadable| {
            // Only an unreadable Tenant can hold the rows of a tenant that does not exist.
            (exists || unreadable.key.kind == Kind::Tenant) && self.concerns(unreadable, tenant)
        })
    }

    /// An unreadable object because of which the platform's rows must stay as they are stored.
    pub fn unreadable_for_platform(&self) -> Option<&Unreadable> {
        self.unreadable.values().find(|unreadable| is_of_platform(&unreadable.key))
    }

    /// Whether an object exists and cannot be read, and never could.
    pub fn is_unreadable(&self, key: &ObjectKey) -> bool {
        self.unreadable.contains_key(key)
    }

    /// Tenants that exist and cannot be read.
    pub fn unreadable_tenants(&self) -> impl Iterator<Item = TenantKey> {
        self.unreadable.keys().filter_map(tenant_key)
    }
}

fn tenant_key(key: &ObjectKey) -> Option<TenantKey> {
    let namespace = key.namespace.clone().filter(|_| key.kind == Kind::Tenant)?;
    Some(TenantKey { namespace, name: key.name.clone() })
}

fn is_of_platform(key: &ObjectKey) -> bool {
    key.namespace.is_none() || key.kind == Kind::Trunk
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::source::{Change, Object};

    fn object(kind: &str, namespace: &str, name: &str, spec: serde_json::Value) -> Object {
        let object = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind,
            "metadata": {"namespace": namespace, "name": name}, "spec": spec});
        Object::from_json(kind, object).unwrap().unwrap()
    }

    fn tenant(namespace: &str, name: &str) -> Object {
        object("Tenant", namespace, name, json!({"domains": [format!("{name}.{namespace}.example.com")]}))
    }

    fn key(kind: Kind, namespace: Option<&str>, name: &str) -> ObjectKey {
        ObjectKey { kind, namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    fn unreadable(key: ObjectKey, tenant: Option<&str>) -> Change {
        let (tenant, message) = (tenant.map(str::to_owned), "spec.colour: unknown".to_owned());
        Change::Unreadable(Unreadable { key, tenant, message })
    }

    fn names(tenants: &BTreeSet<TenantKey>) -> Vec<String> {
        tenants.iter().map(TenantKey::to_string).collect()
    }

    #[test]
    fn an_unreadable_object_freezes_the_rows_it_may_affect() {
        let route = json!({"tenantRef": {"name": "two"}, "priority": 1, "match": [{"prefix": "0"}],
            "trunks": [{"name": "carrier", "namespace": "carriers"}]});
        let mut before = ResourceIndex::default();
        for object in [tenant("a", "one"), tenant("a", "two"), tenant("b", "one")] {
            before.apply(Change::Upsert(object));
        }
        before.apply(Change::Upsert(object("OutboundRoute", "a", "out", route)));
        let all = ["a/one", "a/two", "b/one"];
        let cases = [
            (key(Kind::Tenant, Some("a"), "new"), None, &["a/new"][..], false),
            (key(Kind::Extension, Some("a"), "x"), Some("two"), &["a/two"], false),
            (key(Kind::Extension, Some("a"), "x"), None, &["a/one", "a/two"], false),
            (key(Kind::SipProfile, None, "x"), None, &all, true),
            (key(Kind::Trunk, Some("carriers"), "carrier"), None, &["a/two"], true),
            (key(Kind::Trunk, Some("carriers"), "other"), None, &[], true),
            (key(Kind::Secret, Some("a"), "x"), None, &[], false),
            (key(Kind::Extension, Some("a"), "x-pre-process"), Some("two"), &[], false),
        ];
        for (object, tenant, kept, platform) in cases {
            let mut index = before.clone();
            let affected = index.apply(unreadable(object.clone(), tenant));
            assert_eq!(
                (names(&affected.tenants), affected.platform),
                (kept.iter().map(ToString::to_string).collect(), platform),
                "{object}"
            );
            assert_eq!(affected.claims, object.kind == Kind::Tenant, "{object}");
            let keeps = |name: &str| {
                let (namespace, name) = name.split_once('/').unwrap();
                index
                    .unreadable_for_tenant(&TenantKey { namespace: namespace.into(), name: name.into() })
                    .is_some()
            };
            let held: Vec<_> = all.iter().chain(&["a/new"]).copied().filter(|name| keeps(name)).collect();
            assert_eq!(held, kept, "{object}");
            assert_eq!(index.unreadable_for_platform().is_some(), platform, "{object}");

            let affected = index.apply(Change::Remove(object.clone()));
            assert!(
                kept.iter().all(|name| names(&affected.tenants).contains(&(*name).to_owned())),
                "{object}"
            );
            assert!(index.unreadable_for_platform().is_none() && index.unreadable.is_empty(), "{object}");
        }
    }

    #[test]
    fn an_object_that_becomes_unreadable_stays_in_force() {
        let mut index = ResourceIndex::default();
        index.apply(Change::Upsert(tenant("a", "one")));
        let affected = index.apply(unreadable(key(Kind::Tenant, Some("a"), "one"), None));
        assert_eq!(affected, Affected::default());
        assert_eq!(
            index.unreadable_for_tenant(&TenantKey { namespace: "a".into(), name: "one".into() }),
            None
        );
    }

    #[test]
    fn children_of_an_unreadable_tenant_are_not_orphans() {
        let mut index = ResourceIndex::default();
        index.apply(Change::Upsert(object(
            "Extension",
            "a",
            "x",
            json!({"tenantRef": {"name": "one"}, "number": "100"}),
        )));
        assert_eq!(index.orphans().count(), 1);
        index.apply(unreadable(key(Kind::Tenant, Some("a"), "one"), None));
        assert_eq!(index.orphans().count(), 0);
        index.apply(Change::Remove(key(Kind::Tenant, Some("a"), "one")));
        assert_eq!(index.orphans().count(), 1);
    }
}
