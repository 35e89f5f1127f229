//! Rows stay in force for resources that became invalid by mistake, and are removed if a right was withdrawn.
//! Pure: two states of one phone system, compiled one after the other.

mod cases;
mod platform;
mod references;
mod refused_tenant;

use std::collections::BTreeMap;
use std::path::Path;

use centrex::compile::{self, Claims, Compiled, CompiledPlans, KeptPart, LastGoodRow, Problem};
use centrex::plan::{InForce, PlatformPlan, Row, Rows, TenantPlan};
use centrex::source::folder::Folder;
use centrex::source::index::key_of;
use centrex::source::{Change, Object, ResourceIndex, TenantKey};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// The rows in force of a whole system, as the store would return them.
#[derive(Clone, Debug, Default)]
pub struct InForcePlans {
    pub platform: InForce<PlatformPlan>,
    pub tenants: BTreeMap<TenantKey, InForce<TenantPlan>>,
}

/// A compiled system, after the rows that were in force before.
pub struct After {
    pub compiled: CompiledPlans,
    pub kept: Vec<LastGoodRow>,
    pub in_force: InForcePlans,
}

/// Names of the rows of a plan, by kind.
macro_rules! rows {
    ($plan:expr, $($field:ident),*) => {
        [$(names_of(&$plan.$field)),*]
    };
}

fn names_of<T: Row>(rows: &Rows<T>) -> (&'static str, Vec<String>) {
    (T::KIND.as_str(), rows.keys().cloned().collect())
}

/// Compiles an index as the loop does, and returns what is in force then.
pub fn compile_after(index: &ResourceIndex, before: &InForcePlans) -> After {
    let (claims, snapshot) = (Claims::new(index), index.platform());
    let whole = |kept: &[LastGoodRow], kind: &str, name: &str| {
        kept.iter().any(|kept| {
            let name = name.rsplit('/').next();
            (kept.resource.kind.as_str(), Some(kept.resource.name.as_str())) == (kind, name)
                && matches!(kept.part, KeptPart::Whole(_))
        })
    };
    let Compiled { plan: platform, mut problems, mut kept } =
        compile::platform_after(&snapshot, &claims, Some(&before.platform));
    let mut in_force = InForcePlans { platform: InForce::new(platform.clone()), tenants: BTreeMap::new() };
    for (kind, names) in rows!(platform, sip_profiles, trunks, dial_rules) {
        for name in names {
            let now = snapshot.origin(kind, &name).unwrap();
            let old = before.platform.origin(kind, &name, Some(&now.uid)).cloned();
            let origin = old.filter(|_| whole(&kept, kind, &name)).unwrap_or(now);
            in_force.platform.note(kind, &name, origin);
        }
    }
    let mut tenants = Vec::new();
    for key in index.tenants().filter_map(|tenant| key_of(tenant)) {
        let snapshot_of = index.tenant(&key).unwrap();
        let before = before.tenants.get(&key);
        let compiled = compile::tenant_after(&snapshot_of, &snapshot, &platform, &claims, before);
        problems.extend(compiled.problems);
        let Some(plan) = compiled.plan else { continue };
        let mut now = InForce::new(plan.clone());
        for (kind, names) in rows!(
            plan,
            extensions,
            ring_groups,
            queues,
            ivr_menus,
            conferences,
            schedules,
            numbers,
            outbound_routes,
            feature_codes
        ) {
            for name in names {
                let of_now = snapshot_of.origin(kind, &name).unwrap();
                let old = before.and_then(|before| before.origin(kind, &name, Some(&of_now.uid))).cloned();
                let origin = old.filter(|_| whole(&compiled.kept, kind, &name)).unwrap_or(of_now);
                now.note(kind, &name, origin);
            }
        }
        kept.extend(compiled.kept);
        in_force.tenants.insert(key.clone(), now);
        tenants.push((key, plan));
    }
    problems.extend(compile::orphans(index));
    problems.sort();
    After { compiled: CompiledPlans { platform, tenants, problems }, kept, in_force }
}

/// The phone system of `system.yaml`, and its state.
struct System {
    objects: BTreeMap<String, Value>,
    in_force: InForcePlans,
    problems: Vec<Problem>,
    kept: Vec<LastGoodRow>,
}

impl System {
    /// A system in force without a problem.
    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/last_good/system.yaml");
        let reading = Folder::read_once(&[file]).unwrap();
        assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
        let objects = reading.changes.into_iter().map(|change| match change {
            Change::Upsert(object) => (object.key().to_string(), object.to_json().unwrap()),
            other => panic!("{other:?}"),
        });
        let mut system = Self {
            objects: objects.collect(),
            in_force: InForcePlans::default(),
            problems: Vec::new(),
            kept: Vec::new(),
        };
        system.objects.extend([system.extra_secret()]);
        system.apply();
        assert!(system.problems.is_empty(), "{:#?}", system.problems);
        assert!(system.kept.is_empty());
        system
    }

    /// A Secret that no resource uses yet.
    fn extra_secret(&self) -> (String, Value) {
        let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "spare", "namespace": "acme", "uid": "spare"},
            "stringData": {"password": "spare-password-1", "pin": "3333", "short": "12"}});
        ("Secret acme/spare".to_owned(), secret)
    }

    /// Sets a value of an object, such as `Number acme/main`, at a pointer, and increments the generation of
    /// its spec.
    fn set(&mut self, key: &str, pointer: &str, value: Value) -> &mut Self {
        let object = self.objects.get_mut(key).unwrap_or_else(|| panic!("no {key}"));
        // The API server merges `stringData` into `data`, too.
        let (value, pointer) = match pointer.strip_prefix("/stringData/") {
            None => (value, pointer.to_owned()),
            Some(field) => {
                let encoded = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
                (value.as_str().map_or(Value::Null, encoded), format!("/data/{field}"))
            }
        };
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent} in {key}")) {
            Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
            Value::Object(map) if value.is_null() => drop(map.remove(field)),
            Value::Object(map) => drop(map.insert(field.to_owned(), value)),
            other => panic!("{other}"),
        }
        if let Some(generation) = object.pointer_mut("/metadata/generation") {
            *generation = (generation.as_i64().unwrap() + 1).into();
        }
        self
    }

    fn remove(&mut self, key: &str) -> &mut Self {
        self.objects.remove(key).unwrap_or_else(|| panic!("no {key}"));
        self
    }

    fn add(&mut self, kind: &str, name: &str, spec: Value) -> &mut Self {
        let object = serde_json::json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": "acme", "uid": uuid::Uuid::now_v7(),
                         "creationTimestamp": "2030-01-01T00:00:00Z"}});
        self.objects.insert(format!("{kind} acme/{name}"), object);
        self
    }

    /// Compiles the present objects, after the rows in force.
    fn apply(&mut self) -> &mut Self {
        let mut index = ResourceIndex::default();
        for (key, object) in &self.objects {
            let kind = key.split(' ').next().unwrap();
            let object = Object::from_json(kind, object.clone()).unwrap().unwrap();
            index.apply(Change::Upsert(object));
        }
        let after = compile_after(&index, &self.in_force);
        (self.in_force, self.problems, self.kept) = (after.in_force, after.compiled.problems, after.kept);
        self
    }

    /// The tenant's rows in force.
    fn plan(&self) -> &TenantPlan {
        &self.in_force.tenants.values().next().unwrap().plan
    }

    /// The previous row, or its fields, that stay in force for an object.
    fn stays(&self, key: &str) -> Option<&KeptPart> {
        let kept = self.kept.iter().find(|kept| kept.resource.to_string() == key)?;
        Some(&kept.part)
    }

    /// `field: Reason` of the problems of an object.
    fn problems_of(&self, key: &str) -> Vec<String> {
        let own = self.problems.iter().filter(|problem| problem.resource.to_string() == key);
        own.map(|problem| format!("{}: {:?}", problem.field, problem.reason)).collect()
    }

    /// The destination of calls to the public number.
    fn main(&self) -> Option<String> {
        Some(self.plan().numbers.get("main")?.target.to_string())
    }
}
