//! Objects that are there and cannot be read, as when a newer release has written them. What is
//! stored of one must not be taken for gone, so whomever it may concern is left as it is stored.

use super::{Affected, ResourceIndex, TenantKey};
use crate::resources::Kind;
use crate::source::ObjectKey;
use crate::source::manifest::name_violations;
use crate::source::references::trunks;

/// An object that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The object.
    pub key: ObjectKey,
    /// The tenant that it names, where that much of it can be read.
    pub tenant: Option<String>,
    /// Why: field, what is wrong, what is allowed.
    pub message: String,
}

impl ResourceIndex {
    /// Takes in that an object cannot be read, and says whom that concerns: nobody where a copy of it
    /// is held, which stays in force.
    pub(super) fn cannot_read(&mut self, unreadable: Unreadable) -> Affected {
        let key = &unreadable.key;
        // Nothing is stored of the former by themselves, and nothing under a name that no release takes.
        let never_stored =
            matches!(key.kind, Kind::Secret | Kind::ConfigMap | Kind::Namespace | Kind::Switch)
                || (key.kind != Kind::Tenant
                    && !name_violations(&key.name, key.namespace.as_deref()).is_empty());
        if never_stored || self.object(key).is_some() {
            return Affected::default();
        }
        let touched = self.concerned_by(&unreadable);
        self.unreadable.insert(key.clone(), unreadable);
        touched
    }

    /// Takes in that an object was read, or is gone, and says whom that concerns: nobody where it could
    /// be read before.
    pub(super) fn can_read(&mut self, key: &ObjectKey) -> Affected {
        let unreadable = self.unreadable.remove(key);
        unreadable.map(|unreadable| self.concerned_by(&unreadable)).unwrap_or_default()
    }

    fn concerned_by(&self, unreadable: &Unreadable) -> Affected {
        let concerned = |tenant: &TenantKey| self.concerns(unreadable, tenant);
        let tenants = self.tenants().filter_map(|tenant| super::key_of(tenant)).filter(concerned);
        let own = tenant_key(&unreadable.key);
        let platform = is_of_platform(&unreadable.key);
        let claims = own.is_some();
        Affected { claims, tenants: tenants.chain(own).collect(), platform, ..Affected::default() }
    }

    /// Whether a tenant would compile to something else if this could be read.
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

    /// What cannot be read, and keeps what is stored of a tenant as it is.
    pub fn keeps(&self, tenant: &TenantKey) -> Option<&Unreadable> {
        let there = self.has_tenant(tenant);
        self.unreadable.values().find(|unreadable| {
            // Of a tenant that is gone nothing else has a say.
            (there || unreadable.key.kind == Kind::Tenant) && self.concerns(unreadable, tenant)
        })
    }

    /// What cannot be read, and keeps the platform's rows as they are.
    pub fn keeps_platform(&self) -> Option<&Unreadable> {
        self.unreadable.values().find(|unreadable| is_of_platform(&unreadable.key))
    }

    /// Whether an object is there and cannot be read, and never could.
    pub fn is_unreadable(&self, key: &ObjectKey) -> bool {
        self.unreadable.contains_key(key)
    }

    /// Tenants that are there, and of which nothing else is known.
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
    fn what_cannot_be_read_keeps_those_it_may_concern() {
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
            let mut world = before.clone();
            let touched = world.apply(unreadable(object.clone(), tenant));
            assert_eq!(
                (names(&touched.tenants), touched.platform),
                (kept.iter().map(ToString::to_string).collect(), platform),
                "{object}"
            );
            assert_eq!(touched.claims, object.kind == Kind::Tenant, "{object}");
            let keeps = |name: &str| {
                let (namespace, name) = name.split_once('/').unwrap();
                world.keeps(&TenantKey { namespace: namespace.into(), name: name.into() }).is_some()
            };
            let held: Vec<_> = all.iter().chain(&["a/new"]).copied().filter(|name| keeps(name)).collect();
            assert_eq!(held, kept, "{object}");
            assert_eq!(world.keeps_platform().is_some(), platform, "{object}");

            let touched = world.apply(Change::Remove(object.clone()));
            assert!(
                kept.iter().all(|name| names(&touched.tenants).contains(&(*name).to_owned())),
                "{object}"
            );
            assert!(world.keeps_platform().is_none() && world.unreadable.is_empty(), "{object}");
        }
    }

    #[test]
    fn what_was_read_before_stays_in_force() {
        let mut world = ResourceIndex::default();
        world.apply(Change::Upsert(tenant("a", "one")));
        let touched = world.apply(unreadable(key(Kind::Tenant, Some("a"), "one"), None));
        assert_eq!(touched, Affected::default());
        assert_eq!(world.keeps(&TenantKey { namespace: "a".into(), name: "one".into() }), None);
    }

    #[test]
    fn children_of_a_tenant_that_cannot_be_read_are_no_orphans() {
        let mut world = ResourceIndex::default();
        world.apply(Change::Upsert(object(
            "Extension",
            "a",
            "x",
            json!({"tenantRef": {"name": "one"}, "number": "100"}),
        )));
        assert_eq!(world.orphans().count(), 1);
        world.apply(unreadable(key(Kind::Tenant, Some("a"), "one"), None));
        assert_eq!(world.orphans().count(), 0);
        world.apply(Change::Remove(key(Kind::Tenant, Some("a"), "one")));
        assert_eq!(world.orphans().count(), 1);
    }
}
