//! Random phone systems, drawn from the schemas of the CRDs, so that every field of a kind is covered. Names,
//! numbers, domains and codes come from small pools, so that they collide.

use centrex::resources::common::*;
use centrex::resources::crd;
use centrex::source::validate::kinds;
use centrex::source::{Change, Object, ResourceIndex};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Kinds, and how often each is drawn.
const KINDS: &[(u32, &str)] = &[
    (2, "Tenant"),
    (1, "TenantProfile"),
    (1, "SipProfile"),
    (2, "DialRule"),
    (2, "Trunk"),
    (8, "Extension"),
    (2, "Device"),
    (8, "Number"),
    (4, "OutboundRoute"),
    (5, "RingGroup"),
    (5, "Queue"),
    (5, "IvrMenu"),
    (4, "Conference"),
    (5, "Schedule"),
    (2, "MediaFile"),
    (4, "FeatureCode"),
];

const NAMES: &[&str] = &["a", "b", "c"];
const NAMESPACES: &[&str] = &["acme", "globex"];

/// A kind, the namespace, name and age of its object, and its spec.
pub type Drawn = (&'static str, &'static str, &'static str, u8, Value);

/// Objects that the API server would accept.
pub fn valid() -> BoxedStrategy<Vec<Drawn>> {
    let taken = |(kind, _, _, _, spec): &Drawn| {
        kinds().unwrap().get(kind).is_some_and(|rules| rules.check(&json!({"spec": spec})).is_empty())
    };
    let basis: Vec<_> = basis().into_iter().map(|object| prop::option::weighted(0.9, Just(object))).collect();
    (basis, prop::collection::vec(object(), 1..50))
        .prop_map(move |(basis, objects)| basis.into_iter().flatten().chain(objects).filter(taken).collect())
        .boxed()
}

/// A small valid phone system, so that random objects have something to refer to, to conflict with and to
/// form loops with.
fn basis() -> Vec<Drawn> {
    let tenant = json!({"name": "a"});
    let mut basis = vec![
        ("TenantProfile", "", "a", 1, json!({"maxExtensions": 3, "maxQueues": 1, "recordingEnabled": false})),
        ("TenantProfile", "", "b", 1, json!({"maxConcurrentCalls": 4})),
        ("SipProfile", "", "external", 1, json!({"role": "Trunks", "sipPort": 5080})),
        (
            "Trunk",
            "acme",
            "a",
            1,
            json!({"sipProfileRef": {"name": "external"}, "gateways": [{"host": "198.51.100.1"}],
                   "allowedNamespaces": {"from": "All"}}),
        ),
        (
            "Tenant",
            "acme",
            "a",
            1,
            json!({"domains": ["a.example.com"], "profileRef": {"name": "a"},
                   "emergency": {"numbers": ["112"], "trunkRef": {"name": "a"}}}),
        ),
        ("Tenant", "globex", "a", 2, json!({"domains": ["b.example.com"]})),
    ];
    for namespace in NAMESPACES {
        for (name, number) in [("a", "1001"), ("b", "1002")] {
            let spec = json!({"tenantRef": tenant, "number": number, "voicemail": {"enabled": true}});
            basis.push(("Extension", namespace, name, 1, spec));
        }
        let trunk = json!({"name": "a", "namespace": "acme"});
        let route =
            json!({"tenantRef": tenant, "priority": 9, "match": [{"prefix": "+"}], "trunks": [trunk]});
        basis.push(("OutboundRoute", namespace, "a", 1, route));
        let to = json!({"kind": "Extension", "name": "a"});
        let each = [
            ("RingGroup", json!({"members": [{"extensionRef": {"name": "b"}}]})),
            ("Queue", json!({"number": "1003"})),
            ("IvrMenu", json!({"otherwise": to})),
            ("Conference", json!({"number": "1004"})),
            ("Schedule", json!({"open": to, "closed": to})),
        ];
        for (kind, mut spec) in each {
            spec["tenantRef"] = tenant.clone();
            basis.push((kind, namespace, "a", 1, spec));
        }
        for usage in ["Prompt", "MusicOnHold"] {
            let name = if usage == "Prompt" { "a" } else { "b" };
            let source = json!({"upload": {"sha256": "a1".repeat(32)}});
            basis.push((
                "MediaFile",
                namespace,
                name,
                1,
                json!({"tenantRef": tenant, "usage": usage, "source": source}),
            ));
        }
    }
    basis
}

/// Objects with any value that their types can represent.
pub fn wild() -> BoxedStrategy<Vec<Drawn>> {
    let noise = prop::collection::vec((any::<u8>(), text(), any::<i32>()), 1..40);
    (valid(), noise)
        .prop_map(|(mut drawn, noise)| {
            let mut noise = noise.iter().cycle();
            for (_, _, _, _, spec) in &mut drawn {
                scramble(spec, &mut noise);
            }
            drawn.retain(|object| built(object).is_some());
            drawn
        })
        .boxed()
}

fn text() -> BoxedStrategy<String> {
    const POOL: &[&str] =
        &["24:61", "99999999:99999999", "-1:-1", "02-30", "99999-1-1", "é:é", "é-é", "+", "", "0/0", "::/0"];
    prop_oneof![select(POOL).prop_map(str::to_owned), any::<String>(), "[+0-9*#:é-]{0,40}"].boxed()
}

fn scramble<'a>(value: &mut Value, noise: &mut impl Iterator<Item = &'a (u8, String, i32)>) {
    let Some((dice, text, number)) = noise.next() else { return };
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| scramble(value, noise)),
        Value::Array(list) => list.iter_mut().for_each(|value| scramble(value, noise)),
        // Most enums and references stay valid, so that compile reaches the other fields.
        Value::String(old) if *dice < 30 => *old = text.clone(),
        Value::Number(_) if *dice < 60 => *value = json!(number),
        _ => {}
    }
}

fn object() -> BoxedStrategy<Drawn> {
    let specs =
        KINDS.iter().map(|(weight, kind)| (*weight, spec(kind).prop_map(move |s| (*kind, s)).boxed()));
    let spec = prop::strategy::Union::new_weighted(specs.collect());
    // More objects in one tenant than in the other, so that it is crowded.
    (select(&["acme", "acme", "acme", "globex"][..]), select(NAMES), 0..4_u8, spec)
        .prop_map(|(namespace, name, age, (kind, spec))| {
            // The tenants that most objects belong to are not replaced.
            let name = if kind == "Tenant" && name == "a" { "b" } else { name };
            (kind, namespace, name, age, spec)
        })
        .boxed()
}

/// A spec of a kind, from its CRD.
fn spec(kind: &str) -> BoxedStrategy<Value> {
    let crd = crd::all().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let published = crd::tidy(&crd).unwrap();
    let schema = published.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    value("", "spec", schema)
        .prop_map(|mut spec| {
            repair(&mut spec);
            spec
        })
        .boxed()
}

fn value(parent: &str, field: &str, schema: &Value) -> BoxedStrategy<Value> {
    let bound = |name: &str, otherwise: i64| schema.get(name).and_then(Value::as_i64).unwrap_or(otherwise);
    if let Some(members) = schema.get("enum").and_then(Value::as_array) {
        return select(members.clone()).boxed();
    }
    match schema["type"].as_str().unwrap() {
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" if field.ends_with("Port") => select(&[5060, 5061, 5080][..]).prop_map(Value::from).boxed(),
        "integer" => {
            let least = bound("minimum", 0);
            (least..=bound("maximum", 9).min(least + 12)).prop_map(Value::from).boxed()
        }
        "string" => {
            let most = usize::try_from(bound("maxLength", 60)).unwrap();
            string(parent, field, schema["pattern"].as_str().unwrap(), most)
        }
        "array" => {
            let least = usize::try_from(bound("minItems", 0)).unwrap();
            let items = prop::collection::vec(value(field, field, &schema["items"]), least..=least.max(3));
            let keys = schema.get("x-kubernetes-list-map-keys").is_some();
            let unique = keys || schema.get("x-kubernetes-list-type") == Some(&json!("set"));
            items.prop_map(move |items| without_repeats(items, unique)).boxed()
        }
        _ => match schema.get("additionalProperties") {
            Some(_) => select(vec![json!({"team": "a"}), json!({"team": "b"})]).boxed(),
            None => object_of(field, schema),
        },
    }
}

fn object_of(field: &str, schema: &Value) -> BoxedStrategy<Value> {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().unwrap();
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = properties
        .iter()
        .map(|(name, schema)| {
            let (name, value) = (name.clone(), value(field, name, schema));
            let always = required.contains(&json!(name));
            let drawn = value.prop_map(move |value| (name.clone(), value));
            if always { drawn.prop_map(Some).boxed() } else { prop::option::of(drawn).boxed() }
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn without_repeats(items: Vec<Value>, unique: bool) -> Value {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        let same =
            |other: &Value| *other == item || item.get("digits").is_some_and(|d| other["digits"] == *d);
        if !unique || !kept.iter().any(same) {
            kept.push(item);
        }
    }
    Value::Array(kept)
}

fn string(parent: &str, field: &str, pattern: &str, most: usize) -> BoxedStrategy<Value> {
    let pool: &[&str] = match pattern {
        NAME_PATTERN if field == "namespace" => &["acme", "acme", "acme", "globex"],
        NAME_PATTERN if parent == "tenantRef" => &["a", "a", "a", "a", "a", "a", "a", "a", "b", "ghost"],
        NAME_PATTERN if parent == "secretRef" || parent == "pinSecretRef" => &["a", "b", "ghost"],
        NAME_PATTERN if parent == "sipProfileRef" => &["external", "external", "external", "a", "ghost"],
        NAME_PATTERN if parent == "profileRef" => &["a", "b", "b", "b", "b", "ghost"],
        NAME_PATTERN if parent == "trunkRef" || parent == "trunks" => &["a", "a", "a", "a", "b", "ghost"],
        NAME_PATTERN => &["a", "b", "a", "b", "c", "a", "b", "c", "a", "b", "c", "ghost"],
        KEY_PATTERN => &["password", "pin", "none"],
        INTERNAL_NUMBER_PATTERN => &["1001", "1002", "1003", "1004", "112", "20"],
        E164_PATTERN => &["+493012345600", "+493012345601", "+442079460123"],
        E164_PREFIX_PATTERN => &["+4930", "+493012345600", "+44"],
        DOMAIN_PATTERN => &["a.example.com", "b.example.com", "c.example.com"],
        DIGITS_PATTERN => &["0", "00", "+", "+49", "+44", "1", "11", "*9", "0900"],
        TIME_ZONE_PATTERN => &[
            "Europe/Berlin",
            "America/New_York",
            "UTC",
            "Asia/Tokyo",
            "Etc/GMT+5",
            "Africa/Lagos",
            "Asia/Kolkata",
            "utc",
        ],
        FEATURE_CODE_PATTERN => &["*9", "*97", "*98", "*981", "#1"],
        EMERGENCY_NUMBER_PATTERN => &["112", "110", "20", "0900"],
        UUID_PATTERN => &["7d1c3f2a-0000-4000-8000-000000000001"],
        CIDR_PATTERN => &["198.51.100.0/24", "203.0.113.9", "0.0.0.0/0", "300.1.1.1", "2001:db8::/32"],
        ADDRESS_PATTERN => &["192.0.2.1", "0.0.0.0", "999.0.0.1"],
        DATE_PATTERN => {
            &["01-01", "12-24", "12-25", "12-26", "02-29", "2027-06-18", "01-06", "05-01", "02-30"]
        }
        MONTH_DAY_PATTERN => &["01-01", "06-20", "11-16", "02-29", "13-01"],
        TIME_PATTERN => {
            &["2026-12-24T12:00", "2027-01-02T08:00:00+01:00", "2026-12-24T11:00:00Z", "2027-02-30T08:00"]
        }
        TIME_OF_DAY_PATTERN => {
            &["00:00", "06:00", "08:00", "09:00", "12:00", "17:30", "22:00", "23:59", "24:00"]
        }
        COUNTRY_PATTERN => &["DE", "US", "IT", "AQ"],
        _ => {
            let bare = pattern.trim_start_matches('^').trim_end_matches('$');
            let text = proptest::string::string_regex(bare).unwrap();
            // Patterns do not include lengths.
            return text
                .prop_map(move |text| Value::from(text.chars().take(most).collect::<String>()))
                .boxed();
        }
    };
    select(pool.to_vec()).prop_map(Value::from).boxed()
}

/// Corrects fields that depend on each other, so that CEL refuses few objects.
fn repair(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(repair),
        Value::Object(map) => {
            map.values_mut().for_each(repair);
            repair_fields(map);
        }
        _ => {}
    }
}

fn repair_fields(map: &mut Map<String, Value>) {
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_i64);
    match kind.as_str() {
        "ExternalNumber" => {
            map.remove("name");
            map.entry("number").or_insert(json!("+442079460123"));
        }
        "Extension" | "RingGroup" | "Queue" | "IvrMenu" | "Conference" | "Schedule" | "Voicemail" => {
            map.remove("number");
            map.entry("name").or_insert(json!("a"));
        }
        "Block" => drop(map.remove("trunks")),
        "Route" => drop(map.entry("trunks").or_insert(json!([{"name": "a", "namespace": "acme"}]))),
        _ => {}
    }
    if let Some(strip) = number(map, "strip") {
        let prefix = map.get("prefix").and_then(Value::as_str).map_or(0, str::len);
        map.insert("strip".into(), json!(strip.min(i64::try_from(prefix).unwrap())));
    }
    if let (Some(least), Some(most)) = (number(map, "minDigits"), number(map, "maxDigits")) {
        map.insert("minDigits".into(), json!(least.min(most)));
    }
    if map.get("numberFormat") == Some(&json!("National")) {
        map.entry("country").or_insert(json!("DE"));
    }
    match map.get("from").and_then(Value::as_str) {
        Some("Selector") => drop(map.entry("selector").or_insert(json!({"matchLabels": {"team": "a"}}))),
        Some("Same" | "All") => drop(map.remove("selector")),
        _ => {}
    }
    if map.contains_key("sipPort") {
        map.remove("tlsPort");
        map.remove("wsPort");
    }
    let nth = |map: &Map<String, Value>| map.get("nth").cloned().filter(|nth| nth != &json!(0));
    if map.contains_key("onOrAfter") || map.contains_key("nth") || map.contains_key("month") {
        match nth(map).filter(|_| !map.contains_key("onOrAfter")) {
            Some(_) => drop(map.entry("month").or_insert(json!(11))),
            None => {
                map.remove("nth");
                map.remove("month");
                map.entry("onOrAfter").or_insert(json!("06-20"));
            }
        }
    }
    if map.contains_key("easter") || map.contains_key("weekday") {
        map.remove("date");
        map.remove("lastDate");
        if map.contains_key("easter") {
            map.remove("weekday");
        }
    } else if map.contains_key("lastDate") {
        map.entry("date").or_insert(json!("12-24"));
    }
    if map.get("open").is_some_and(Value::is_array) {
        for name in ["from", "to", "lastDate"] {
            map.remove(name);
        }
    }
    if map.contains_key("until") && map.contains_key("state") {
        map.remove("destination");
    }
    if map.contains_key("upload") {
        map.remove("url");
        map.remove("configMapKeyRef");
    }
}

/// The object as a source returns it; `None` if its type cannot represent it.
pub fn built(drawn: &Drawn) -> Option<Object> {
    let (kind, namespace, name, age, spec) = drawn;
    let key = format!("{kind}/{namespace}/{name}");
    let mut metadata = json!({"name": name, "uid": Uuid::new_v5(&Uuid::NAMESPACE_URL, key.as_bytes())});
    if kinds().unwrap().get(kind)?.namespaced {
        metadata["namespace"] = json!(namespace);
    }
    if *age > 0 {
        metadata["creationTimestamp"] = json!(format!("202{age}-01-01T00:00:00Z"));
    }
    let api_version = "centrex.dev/v1alpha1";
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
    Object::from_json(kind, object)?.ok()
}

/// Objects of every system: two namespaces, one of them labelled, and Secrets good and bad.
pub fn surroundings() -> Vec<Object> {
    let namespace = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let secret = |namespace: &str, name: &str, password: &str, pin: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
               "stringData": {"password": password, "pin": pin}})
    };
    [
        namespace("acme", json!({"team": "a"})),
        namespace("globex", json!({})),
        secret("acme", "a", "correct-horse-battery", "4711"),
        secret("acme", "b", "short", "no-digits"),
        secret("globex", "a", "correct-horse-battery", "4711"),
    ]
    .into_iter()
    .map(|object| Object::from_json(object["kind"].as_str().unwrap(), object.clone()).unwrap().unwrap())
    .collect()
}

/// An index of these objects, added in this order.
pub fn indexed(objects: impl IntoIterator<Item = Object>) -> ResourceIndex {
    let mut index = ResourceIndex::default();
    for object in objects {
        index.apply(Change::Upsert(object));
    }
    index
}
