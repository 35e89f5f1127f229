//! Every reference of every kind, changed to a missing resource: each is reported, with its field.

use std::path::Path;

use centrex::compile;
use centrex::source::folder::Folder;
use centrex::source::{Change, Object, ResourceIndex};
use serde_json::{Value, json};

/// Objects of `every-field.yaml`, and the objects that the file refers to and does not contain.
fn objects() -> Vec<Object> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let rest = directory.path().join("rest.yaml");
    std::fs::write(&rest, REST).unwrap();
    let reading = Folder::read_once(&[root.join("tests/manifests/every-field.yaml"), rest]).unwrap();
    assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
    let object = |change| match change {
        Change::Upsert(object) => object,
        other => panic!("{other:?}"),
    };
    reading.changes.into_iter().map(object).collect()
}

const REST: &str = r#"
apiVersion: centrex.dev/v1alpha1
kind: SipProfile
metadata: {name: external}
spec: {role: Trunks, sipPort: 5080}
---
apiVersion: v1
kind: Secret
metadata: {name: carrier-credentials, namespace: carriers}
stringData: {password: carrier-password}
---
apiVersion: centrex.dev/v1alpha1
kind: MediaFile
metadata: {name: welcome, namespace: acme}
spec: {tenantRef: {name: acme}, source: {configMapKeyRef: {name: prompts, key: welcome.wav}}}
---
apiVersion: centrex.dev/v1alpha1
kind: RoutingTest
metadata: {name: inside, namespace: acme}
spec:
  tenantRef: {name: acme}
  from: {extensionRef: {name: alice}}
  dial: "2001"
  at: "2027-03-08T12:00:00"
  expect: {kind: RingGroup, name: sales}
"#;

/// Paths of everything in a spec that names another resource: `…Ref` objects, destinations, and trunks.
fn references(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (field, inner) in map {
                let is_reference = field.ends_with("Ref") && inner.get("name").is_some();
                let is_destination = inner.get("kind").is_some() && inner.get("name").is_some();
                let path = format!("{path}/{field}");
                if is_reference || is_destination {
                    found.push(path);
                } else {
                    references(&path, inner, found);
                }
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                let path = format!("{path}/{index}");
                if path.contains("/trunks/") && inner.get("name").is_some() {
                    found.push(path);
                } else {
                    references(&path, inner, found);
                }
            }
        }
        _ => {}
    }
}

/// A JSON pointer as a field's path: `/spec/lines/0/extensionRef` is `spec.lines[0].extensionRef`.
fn field(pointer: &str) -> String {
    let mut field = String::new();
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        match part.parse::<usize>() {
            Ok(index) => field += &format!("[{index}]"),
            Err(_) if field.is_empty() => field += part,
            Err(_) => field += &format!(".{part}"),
        }
    }
    field
}

#[test]
fn a_reference_to_a_missing_resource_is_reported_at_its_field() {
    let objects = objects();
    let compiled = |replaced: Option<&Object>| {
        let mut index = ResourceIndex::default();
        objects.iter().cloned().chain(replaced.cloned()).for_each(|object| {
            index.apply(Change::Upsert(object));
        });
        compile::all(&index).problems
    };
    let before = compiled(None);
    let mut asked = Vec::new();
    for object in &objects {
        let whole = object.to_json().unwrap();
        let mut found = Vec::new();
        references("/spec", &whole["spec"], &mut found);
        for pointer in found {
            let mut changed = whole.clone();
            changed.pointer_mut(&pointer).unwrap()["name"] = json!("nobody-has-this-name");
            let changed = Object::from_json(object.kind().as_str(), changed).unwrap().unwrap();
            let path = field(&pointer);
            let told = compiled(Some(&changed));
            let is_told = told.iter().any(|problem| {
                problem.resource == object.key()
                    && problem.field.starts_with(&path)
                    && !before.contains(problem)
            });
            // A group without a member that can ring reports that for all members.
            let whole_list = path.split('[').next().unwrap();
            let of_all = told.iter().any(|problem| {
                problem.resource == object.key() && problem.field == whole_list && !before.contains(problem)
            });
            assert!(is_told || of_all, "{}: {path}: {told:#?}", object.key());
            asked.push(format!("{} {path}", object.kind()));
        }
    }
    // Proves that the search finds references.
    for expected in [
        "Tenant spec.profileRef",
        "Tenant spec.emergency.trunkRef",
        "Tenant spec.musicOnHold.mediaFileRef",
        "Extension spec.tenantRef",
        "Extension spec.credentials.secretRef",
        "Extension spec.voicemail.pinSecretRef",
        "Extension spec.forwarding.busy",
        "Device spec.lines[0].extensionRef",
        "Device spec.keys[1].extensionRef",
        "Trunk spec.sipProfileRef",
        "Trunk spec.registration.secretRef",
        "DialRule spec.action.trunks[0]",
        "Number spec.trunkRef",
        "Number spec.destination",
        "OutboundRoute spec.trunks[0]",
        "RingGroup spec.members[0].extensionRef",
        "Queue spec.agents[0].extensionRef",
        "Queue spec.musicOnHold.mediaFileRef",
        "IvrMenu spec.options[0].destination",
        "IvrMenu spec.greeting.mediaFileRef",
        "Conference spec.pinSecretRef",
        "Schedule spec.holiday",
        "MediaFile spec.source.configMapKeyRef",
        "FeatureCode spec.tenantRef",
        "RoutingTest spec.from.trunkRef",
        "RoutingTest spec.from.extensionRef",
        "RoutingTest spec.expect",
    ] {
        assert!(asked.iter().any(|asked| asked == expected), "{expected} was not asked: {asked:#?}");
    }
}
