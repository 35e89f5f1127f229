//! All resources that a source has read, indexed by tenant, so that one tenant's snapshot is cheap.

mod affected;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::object::{Object, ObjectKey};
use super::references::references;
use crate::resources::*;
pub use affected::Affected;
pub use unreadable::Unreadable;

/// Identifies a tenant: namespace and name of its Tenant resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TenantKey {
    /// Namespace of the Tenant.
    pub namespace: String,
    /// Name of the Tenant.
    pub name: String,
}

impl TenantKey {
    /// Key of the Tenant resource.
    pub fn object(&self) -> ObjectKey {
        ObjectKey { kind: Kind::Tenant, namespace: Some(self.namespace.clone()), name: self.name.clone() }
    }
}

impl std::fmt::Display for TenantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One change of the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object was created or changed.
    Upsert(Object),
    /// The object was deleted.
    Remove(ObjectKey),
    /// The object exists and cannot be read: its last readable version stays.
    Unreadable(Unreadable),
}

/// Cluster-wide kinds, trunks, and what the rules for references to them need.
#[derive(Clone, Debug, Default)]
pub struct PlatformSnapshot {
    /// Tenant profiles by name.
    pub tenant_profiles: BTreeMap<String, Arc<TenantProfile>>,
    /// SIP profiles.
    pub sip_profiles: Vec<Arc<SipProfile>>,
    /// Dial rules.
    pub dial_rules: Vec<Arc<DialRule>>,
    /// Trunks of all namespaces.
    pub trunks: Vec<Arc<Trunk>>,
    /// Secrets of namespaces that contain trunks, by namespace and name.
    pub secrets: BTreeMap<(String, String), Arc<Secret>>,
    /// Labels of namespaces, by name.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

impl PlatformSnapshot {
    /// Whether every tenant compiles to the same plan under both: everything but the Secrets is equal.
    pub fn same_rules(&self, other: &Self) -> bool {
        let specs = |one: &Self, other: &Self| {
            let profiles = one.tenant_profiles.iter().map(|(name, o)| (name, &o.spec));
            profiles.eq(other.tenant_profiles.iter().map(|(name, o)| (name, &o.spec)))
                && one.sip_profiles.iter().map(|o| &o.spec).eq(other.sip_profiles.iter().map(|o| &o.spec))
                && one.dial_rules.iter().map(|o| &o.spec).eq(other.dial_rules.iter().map(|o| &o.spec))
                && one.trunks.iter().map(|o| &o.spec).eq(other.trunks.iter().map(|o| &o.spec))
        };
        let names = |snapshot: &Self| {
            let name = |metadata: &ObjectMeta| (metadata.namespace.clone(), metadata.name.clone());
            let profiles = snapshot.sip_profiles.iter().map(|o| name(&o.metadata));
            let rules = snapshot.dial_rules.iter().map(|o| name(&o.metadata));
            let trunks = snapshot.trunks.iter().map(|o| name(&o.metadata));
            profiles.chain(rules).chain(trunks).collect::<Vec<_>>()
        };
        specs(self, other) && names(self) == names(other) && self.namespaces == other.namespaces
    }
}

/// Every resource of one tenant.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct TenantSnapshot {
    pub tenant: Arc<Tenant>,
    pub extensions: Vec<Arc<Extension>>,
    pub devices: Vec<Arc<Device>>,
    pub numbers: Vec<Arc<Number>>,
    pub outbound_routes: Vec<Arc<OutboundRoute>>,
    pub ring_groups: Vec<Arc<RingGroup>>,
    pub queues: Vec<Arc<Queue>>,
    pub ivr_menus: Vec<Arc<IvrMenu>>,
    pub conferences: Vec<Arc<Conference>>,
    pub schedules: Vec<Arc<Schedule>>,
    pub media_files: Vec<Arc<MediaFile>>,
    pub feature_codes: Vec<Arc<FeatureCode>>,
    pub routing_tests: Vec<Arc<RoutingTest>>,
    /// Secrets of the tenant's namespace, by name.
    pub secrets: ByName<Secret>,
    /// ConfigMaps of the tenant's namespace, by name.
    pub config_maps: ByName<ConfigMap>,
}

/// Objects of one namespace by name. Shared by snapshots, because there may be one for each extension.
type ByName<T> = Arc<BTreeMap<String, Arc<T>>>;

/// All resources that a source has read. Objects are ordered by key, so that every iteration has the same
/// order. Children, which are the resources of a tenant, are found through their tenant.
#[derive(Clone, Debug, Default)]
pub struct ResourceIndex {
    /// Tenants, cluster kinds, trunks, namespaces.
    objects: BTreeMap<ObjectKey, Object>,
    /// Children by namespace and tenant name, whether the tenant exists or not.
    children: BTreeMap<TenantKey, BTreeMap<ObjectKey, Object>>,
    /// Secrets and ConfigMaps by namespace and name.
    secrets: BTreeMap<String, ByName<Secret>>,
    config_maps: BTreeMap<String, ByName<ConfigMap>>,
    /// Tenant of each child.
    tenant_of: BTreeMap<ObjectKey, TenantKey>,
    /// Objects that cannot be read, and never could.
    unreadable: BTreeMap<ObjectKey, Unreadable>,
}

impl ResourceIndex {
    /// Applies a change. Returns what has to be compiled again.
    pub fn apply(&mut self, change: Change) -> Affected {
        match change {
            Change::Upsert(object) => {
                let mut affected = self.mark_readable(&object.key());
                affected.merge(self.upsert(object));
                affected
            }
            Change::Remove(key) => {
                let mut affected = self.mark_readable(&key);
                affected.merge(self.remove(&key));
                affected
            }
            Change::Unreadable(unreadable) => self.mark_unreadable(unreadable),
        }
    }

    fn upsert(&mut self, object: Object) -> Affected {
        let key = object.key();
        let namespace = key.namespace.clone().unwrap_or_default();
        match &object {
            Object::Secret(secret) => {
                let here = Arc::make_mut(self.secrets.entry(namespace).or_default());
                match here.insert(key.name.clone(), secret.clone()) {
                    Some(before) if before.data == secret.data => Affected::default(),
                    before => self.affected_by_secret(&key, before.is_some()),
                }
            }
            Object::ConfigMap(map) => {
                let here = Arc::make_mut(self.config_maps.entry(namespace.clone()).or_default());
                let before = here.insert(key.name, map.clone());
                if before.is_some_and(|before| before.data == map.data) {
                    return Affected::default();
                }
                self.affected_in_namespace(&namespace)
            }
            _ => match object.tenant().map(str::to_owned) {
                Some(name) => self.attach(TenantKey { namespace, name }, key, object),
                None => {
                    let affected = Affected::by_key(&key);
                    match self.objects.insert(key, object.clone()) {
                        Some(before) if before.is_same_input(&object) => Affected::default(),
                        _ => affected,
                    }
                }
            },
        }
    }

    /// Adds a child to its tenant, and removes it from the tenant that it named before.
    fn attach(&mut self, tenant: TenantKey, key: ObjectKey, object: Object) -> Affected {
        let mut affected =
            Affected { claims: matches!(key.kind, Kind::Number | Kind::Device), ..Affected::default() };
        match self.tenant_of.get(&key) {
            Some(before) if *before == tenant => {}
            _ => {
                if let Some(before) = self.tenant_of.insert(key.clone(), tenant.clone()) {
                    self.detach(&before, &key);
                    affected.tenants.insert(before);
                }
            }
        }
        let children = self.children.entry(tenant.clone()).or_default();
        match children.insert(key.clone(), object.clone()) {
            Some(before) if before.is_same_input(&object) => return Affected::default(),
            _ => {}
        }
        affected.objects.push((Some(tenant.clone()), key));
        affected.tenants.insert(tenant);
        affected
    }

    fn remove(&mut self, key: &ObjectKey) -> Affected {
        let namespace = key.namespace.clone().unwrap_or_default();
        match key.kind {
            Kind::Secret => {
                remove_inner(&mut self.secrets, &namespace, &key.name);
                self.affected_by_secret(key, true)
            }
            Kind::ConfigMap => {
                remove_inner(&mut self.config_maps, &namespace, &key.name);
                self.affected_in_namespace(&namespace)
            }
            _ => match self.tenant_of.remove(key) {
                Some(tenant) => {
                    self.detach(&tenant, key);
                    Affected {
                        claims: matches!(key.kind, Kind::Number | Kind::Device),
                        tenants: BTreeSet::from([tenant]),
                        ..Affected::default()
                    }
                }
                None => {
                    self.objects.remove(key);
                    Affected::by_key(key)
                }
            },
        }
    }

    fn detach(&mut self, tenant: &TenantKey, key: &ObjectKey) {
        if let Some(children) = self.children.get_mut(tenant) {
            children.remove(key);
            if children.is_empty() {
                self.children.remove(tenant);
            }
        }
    }

    /// The tenants of a Secret's namespace, and the platform if a trunk there uses it. If the
    /// Secret existed before, rows may contain its value: it is reported as a changed object.
    fn affected_by_secret(&self, key: &ObjectKey, existed: bool) -> Affected {
        let platform = self.of_kind(Kind::Trunk).any(|trunk| references(trunk).contains(key));
        let mut affected = self.affected_in_namespace(key.namespace.as_deref().unwrap_or_default());
        if existed {
            let owners = affected.tenants.iter().cloned().map(Some).chain(platform.then_some(None));
            affected.objects.extend(owners.map(|owner| (owner, key.clone())));
        }
        Affected { platform, ..affected }
    }

    fn affected_in_namespace(&self, namespace: &str) -> Affected {
        let first =
            ObjectKey { kind: Kind::Tenant, namespace: Some(namespace.to_owned()), name: String::new() };
        let here = |key: &ObjectKey| key.kind == Kind::Tenant && key.namespace.as_deref() == Some(namespace);
        let tenants = self
            .objects
            .range(first..)
            .take_while(|(key, _)| here(key))
            .map(|(key, _)| TenantKey { namespace: namespace.to_owned(), name: key.name.clone() })
            .collect();
        Affected { tenants, ..Affected::default() }
    }

    /// A tenant and its children, in order of their keys.
    pub fn objects_of(&self, key: &TenantKey) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        let tenant = key.object();
        let children = self.children.get(key).into_iter().flatten();
        self.objects.get_key_value(&tenant).into_iter().chain(children)
    }

    /// An index of one tenant: its resources, and the Secrets and ConfigMaps of its namespace.
    pub fn subset_for_tenant(&self, key: &TenantKey) -> Self {
        let mut index = Self { unreadable: self.unreadable.clone(), ..Self::default() };
        for (name, object) in self.objects_of(key) {
            if let Some(tenant) = object.tenant() {
                let tenant = TenantKey { namespace: key.namespace.clone(), name: tenant.to_owned() };
                index.tenant_of.insert(name.clone(), tenant.clone());
                index.children.entry(tenant).or_default().insert(name.clone(), object.clone());
            } else {
                index.objects.insert(name.clone(), object.clone());
            }
        }
        if let Some(secrets) = self.secrets.get(&key.namespace) {
            index.secrets.insert(key.namespace.clone(), secrets.clone());
        }
        if let Some(maps) = self.config_maps.get(&key.namespace) {
            index.config_maps.insert(key.namespace.clone(), maps.clone());
        }
        index
    }

    /// An index without tenants.
    pub fn subset_for_platform(&self) -> Self {
        let platform = |key: &ObjectKey| key.kind != Kind::Tenant;
        let objects = self.objects.iter().filter(|(key, _)| platform(key));
        Self {
            objects: objects.map(|(key, object)| (key.clone(), object.clone())).collect(),
            secrets: self.secrets.clone(),
            ..Self::default()
        }
    }

    /// Cluster-wide kinds and trunks, in order of their keys.
    pub fn platform_objects(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        let kinds = [Kind::DialRule, Kind::SipProfile, Kind::TenantProfile, Kind::Trunk];
        self.objects.iter().filter(move |(key, _)| kinds.contains(&key.kind))
    }

    /// A custom resource.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        match self.tenant_of.get(key) {
            Some(tenant) => self.children.get(tenant)?.get(key),
            None => self.objects.get(key),
        }
    }

    /// An object, to change what compile does not read: its status.
    pub fn object_mut(&mut self, key: &ObjectKey) -> Option<&mut Object> {
        match self.tenant_of.get(key) {
            Some(tenant) => self.children.get_mut(tenant)?.get_mut(key),
            None => self.objects.get_mut(key),
        }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        let first = ObjectKey { kind, namespace: None, name: String::new() };
        self.objects.range(first..).take_while(move |(key, _)| key.kind == kind).map(|(_, object)| object)
    }

    /// All tenants, in order of their keys.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.of_kind(Kind::Tenant).filter_map(|object| match object {
            Object::Tenant(tenant) => Some(tenant),
            _ => None,
        })
    }

    /// All public numbers, in order of their keys within their tenants.
    pub fn numbers(&self) -> impl Iterator<Item = &Arc<Number>> {
        self.children.values().flat_map(|children| children.values()).filter_map(|object| match object {
            Object::Number(number) => Some(number),
            _ => None,
        })
    }

    /// All devices, in order of their keys within their tenants.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.children.values().flat_map(|children| children.values()).filter_map(|object| match object {
            Object::Device(device) => Some(device),
            _ => None,
        })
    }

    /// Every resource whose `tenantRef` names a Tenant that does not exist, with that name.
    pub fn orphans(&self) -> impl Iterator<Item = (&TenantKey, &Object)> {
        let unreadable: BTreeSet<TenantKey> = self.unreadable_tenants().collect();
        self.children
            .iter()
            .filter(move |(tenant, _)| self.tenant_object(tenant).is_none() && !unreadable.contains(tenant))
            .flat_map(|(tenant, children)| children.values().map(move |object| (tenant, object)))
    }

    /// Whether the Tenant exists and was read.
    pub fn has_tenant(&self, key: &TenantKey) -> bool {
        self.tenant_object(key).is_some()
    }

    fn tenant_object(&self, key: &TenantKey) -> Option<&Arc<Tenant>> {
        let key = key.object();
        match self.objects.get(&key) {
            Some(Object::Tenant(tenant)) => Some(tenant),
            _ => None,
        }
    }

    /// The snapshot of the platform.
    pub fn platform(&self) -> PlatformSnapshot {
        let mut snapshot = PlatformSnapshot::default();
        for (key, object) in &self.objects {
            match object {
                Object::TenantProfile(o) => {
                    snapshot.tenant_profiles.insert(key.name.clone(), o.clone());
                }
                Object::SipProfile(o) => snapshot.sip_profiles.push(o.clone()),
                Object::DialRule(o) => snapshot.dial_rules.push(o.clone()),
                Object::Trunk(o) => snapshot.trunks.push(o.clone()),
                Object::Namespace(o) => {
                    let labels = o.metadata.labels.clone().unwrap_or_default();
                    snapshot.namespaces.insert(key.name.clone(), labels);
                }
                _ => {}
            }
        }
        for trunk in &snapshot.trunks {
            let namespace = trunk.metadata.namespace.clone().unwrap_or_default();
            for (name, secret) in self.secrets.get(&namespace).into_iter().flat_map(|here| here.iter()) {
                snapshot.secrets.insert((namespace.clone(), name.clone()), secret.clone());
            }
        }
        snapshot
    }

    /// The snapshot of one tenant; `None` when the Tenant does not exist or was never read.
    pub fn tenant(&self, key: &TenantKey) -> Option<TenantSnapshot> {
        let mut snapshot = TenantSnapshot {
            tenant: self.tenant_object(key)?.clone(),
            extensions: Vec::new(),
            devices: Vec::new(),
            numbers: Vec::new(),
            outbound_routes: Vec::new(),
            ring_groups: Vec::new(),
            queues: Vec::new(),
            ivr_menus: Vec::new(),
            conferences: Vec::new(),
            schedules: Vec::new(),
            media_files: Vec::new(),
            feature_codes: Vec::new(),
            routing_tests: Vec::new(),
            secrets: self.secrets.get(&key.namespace).cloned().unwrap_or_default(),
            config_maps: self.config_maps.get(&key.namespace).cloned().unwrap_or_default(),
        };
        for object in self.children.get(key).into_iter().flat_map(|children| children.values()) {
            match object {
                Object::Extension(o) => snapshot.extensions.push(o.clone()),
                Object::Device(o) => snapshot.devices.push(o.clone()),
                Object::Number(o) => snapshot.numbers.push(o.clone()),
                Object::OutboundRoute(o) => snapshot.outbound_routes.push(o.clone()),
                Object::RingGroup(o) => snapshot.ring_groups.push(o.clone()),
                Object::Queue(o) => snapshot.queues.push(o.clone()),
                Object::IvrMenu(o) => snapshot.ivr_menus.push(o.clone()),
                Object::Conference(o) => snapshot.conferences.push(o.clone()),
                Object::Schedule(o) => snapshot.schedules.push(o.clone()),
                Object::MediaFile(o) => snapshot.media_files.push(o.clone()),
                Object::FeatureCode(o) => snapshot.feature_codes.push(o.clone()),
                Object::RoutingTest(o) => snapshot.routing_tests.push(o.clone()),
                // These belong to no tenant, or are its own: they are no children.
                Object::DialRule(_)
                | Object::SipProfile(_)
                | Object::Switch(_)
                | Object::Tenant(_)
                | Object::TenantProfile(_)
                | Object::Trunk(_)
                | Object::Secret(_)
                | Object::ConfigMap(_)
                | Object::Namespace(_) => {}
            }
        }
        Some(snapshot)
    }
}

/// The key of a Tenant; `None` without a namespace or a name.
pub fn key_of(tenant: &Tenant) -> Option<TenantKey> {
    Some(TenantKey { namespace: tenant.metadata.namespace.clone()?, name: tenant.metadata.name.clone()? })
}

fn remove_inner<T>(map: &mut BTreeMap<String, ByName<T>>, namespace: &str, name: &str) {
    if let Some(inner) = map.get_mut(namespace) {
        Arc::make_mut(inner).remove(name);
        if inner.is_empty() {
            map.remove(namespace);
        }
    }
}
