//! Manifests of every kind that are accepted or refused, with the API server's messages.

use std::collections::BTreeSet;

use centrex::resources::crd;
use centrex::resources::schema::Violation;
use centrex::source::manifest::{self, Fault};
use centrex::source::validate::kinds;
use serde_json::{Value, json};

use crate::cases::{Case, Refusal, changes, creations, sample, samples, with};

fn faults(manifest: Value) -> Vec<Fault> {
    manifest::read(manifest, kinds().unwrap()).faults
}

#[test]
fn every_kind_is_accepted_in_full() {
    let mut seen = BTreeSet::new();
    for manifest in samples() {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        assert_eq!(faults(manifest), [], "{kind}");
        seen.insert(kind);
    }
    let known: BTreeSet<String> = kinds().unwrap().names().map(str::to_owned).collect();
    assert_eq!(seen, known);
}

#[test]
fn manifests_survive_a_round_trip() {
    for mut manifest in samples() {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        if manifest["apiVersion"] == "v1" {
            continue;
        }
        let items = manifest::read(manifest.clone(), kinds().unwrap()).items;
        let mut written = items[0].object.to_json().unwrap();
        for value in [&mut manifest, &mut written] {
            value.as_object_mut().unwrap().retain(|key, _| key == "spec");
        }
        assert_eq!(written, manifest, "{kind}");
    }
}

#[test]
fn every_case_is_accepted_or_refused_as_expected() {
    for case in creations() {
        let found = faults(case.manifest());
        let as_wanted = match &case.refused {
            None => found.is_empty(),
            Some(wanted) => found.iter().any(|fault| says(&fault.violation, wanted)),
        };
        let wanted = case.refused.as_ref().map(|wanted| format!("{}: {}", wanted.field, wanted.message));
        assert!(as_wanted, "{}: wanted {wanted:?}; found {found:#?}", case.name());
    }
}

fn says(violation: &Violation, wanted: &Refusal) -> bool {
    violation.field == wanted.field && violation.message.contains(wanted.message)
}

/// A rule and its place: kind, the field that it names (`[]` for items), message, and whether it compares
/// with the old object.
type Site = (String, String, String, bool);

fn sites(kind: &str, node: &Value, path: &str, found: &mut BTreeSet<Site>) {
    for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let field = format!("{path}{}", text("fieldPath"));
        let about_change = text("rule").contains("oldSelf");
        found.insert((kind.to_owned(), field, text("message").to_owned(), about_change));
    }
    for (key, inner) in node["properties"].as_object().into_iter().flatten() {
        sites(kind, inner, format!("{path}.{key}").trim_start_matches('.'), found);
    }
    if let Some(inner) = node.get("items") {
        sites(kind, inner, &format!("{path}[]"), found);
    }
}

#[test]
fn every_rule_is_tested_in_every_place() {
    let any_item = |field: &str| field.replace(|c: char| c.is_ascii_digit(), "");
    let tried = |kind: &str, case: Case| {
        let refusal = case.refused.filter(|refusal| refusal.by_rule)?;
        Some((kind.to_owned(), any_item(&refusal.field), refusal.message.to_owned()))
    };
    let created: BTreeSet<_> = creations().into_iter().filter_map(|case| tried(case.kind, case)).collect();
    let changed: BTreeSet<_> = changes().into_iter().filter_map(|case| tried(case.kind, case)).collect();
    let mut found = BTreeSet::new();
    for definition in crd::all() {
        let published = crd::tidy(&definition).unwrap();
        let schema = published.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        sites(&definition.spec.names.kind, schema, "", &mut found);
    }
    assert!(found.len() > 50, "{found:?}");
    for (kind, field, message, about_change) in found {
        let tried = if about_change { &changed } else { &created };
        let known = tried.contains(&(kind.clone(), field.clone(), message.clone()));
        assert!(known, "no case breaks the rule of {kind} {field}: {message}");
    }
}

#[test]
fn forbidden_changes_of_a_resource_are_refused() {
    let body = |manifest: &Value| manifest::without_head(manifest.as_object().unwrap());
    for case in changes() {
        let kind = kinds().unwrap().get(case.kind).unwrap();
        let found = kind.check_update(&body(&case.manifest()), &body(&sample(case.kind)));
        match &case.refused {
            None => assert_eq!(found, [], "{}", case.name()),
            Some(wanted) => assert!(found.iter().any(|v| says(v, wanted)), "{}: {found:?}", case.name()),
        }
    }
}

#[test]
fn a_missing_namespace_is_default() {
    let items =
        manifest::read(with(sample("Extension"), "/metadata/namespace", Value::Null), kinds().unwrap());
    assert_eq!(items.items[0].key.to_string(), "Extension default/alice");
}

#[test]
fn string_data_is_merged_into_data() {
    let items = manifest::read(sample("Secret"), kinds().unwrap()).items;
    let centrex::source::Object::Secret(secret) = &items[0].object else { panic!("no Secret") };
    let data = secret.data.as_ref().unwrap();
    assert_eq!(data["password"].0, b"from data");
    assert_eq!(data["pin"].0, b"1234");
    assert_eq!(data["both"].0, b"stringData wins");
}

#[test]
fn a_secret_is_never_repeated() {
    let hidden = "hunter2-hunter2";
    for (pointer, value) in [
        ("/data/password", json!(hidden)),
        ("/stringData/pin", json!([hidden])),
        ("/data", json!(hidden)),
        ("/type", json!({"x": hidden})),
    ] {
        let found = faults(with(sample("Secret"), pointer, value));
        assert!(!found.is_empty(), "{pointer}");
        assert!(!format!("{found:?}").contains(hidden), "{found:?}");
    }
}

#[test]
fn a_list_contains_manifests() {
    let list = |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items});
    let items = manifest::read(list(json!([sample("Secret"), sample("Queue")])), kinds().unwrap()).items;
    assert_eq!(items.iter().map(|item| item.path.as_str()).collect::<Vec<_>>(), ["items[0]", "items[1]"]);
    let broken = list(json!([sample("Secret"), with(sample("Queue"), "/spec/number", json!("x"))]));
    let contents = manifest::read(broken, kinds().unwrap());
    // The other is read all the same.
    let keys = |items: &[manifest::Item]| items.iter().map(|item| item.key.to_string()).collect::<Vec<_>>();
    assert_eq!((keys(&contents.items).len(), contents.refused.len(), contents.unknown), (1, 1, false));
    let found = contents.faults;
    assert_eq!((found[0].path.as_str(), found[0].violation.field.as_str()), ("items[1]", "spec.number"));
    assert_eq!(faults(list(json!("none")))[0].violation.field, "items");
    assert!(faults(json!("text"))[0].violation.message.contains("must be a manifest"));
}

#[test]
fn a_list_of_one_kind_holds_objects_of_it() {
    let items = |list: Value| {
        let contents = manifest::read(list, kinds().unwrap());
        assert_eq!(contents.faults, []);
        contents.items.iter().map(|item| (item.path.clone(), item.key.to_string())).collect::<Vec<_>>()
    };
    let spec = json!({"tenantRef": {"name": "acme"}, "number": "1"});
    let short = json!({"metadata": {"name": "a", "namespace": "acme"}, "spec": spec});
    let list = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "ExtensionList", "metadata": {},
        "items": [short, sample("Queue")]});
    let found = items(list);
    assert_eq!(found[0], ("items[0]".to_owned(), "Extension acme/a".to_owned()));
    assert!(found[1].1.starts_with("Queue "), "{found:?}");
    let secret = json!({"metadata": {"name": "s", "namespace": "acme"}, "data": {}});
    let list = json!({"apiVersion": "v1", "kind": "SecretList", "items": [secret]});
    assert_eq!(items(list)[0].1, "Secret acme/s");
    assert_eq!(items(json!({"apiVersion": "v1", "kind": "List", "items": null})), []);
    let wrong = json!({"apiVersion": "v1", "kind": "ExtensionList", "items": [short]});
    assert!(faults(wrong)[0].violation.message.contains("is not a kind"));
}

/// As an API server takes them: templates leave them empty.
#[test]
fn empty_metadata_is_left_out() {
    for field in ["labels", "annotations", "creationTimestamp", "ownerReferences", "finalizers"] {
        let mut empty = sample("Extension");
        empty["metadata"][field] = Value::Null;
        assert_eq!(faults(empty), [], "{field}");
        let mut empty = sample("Secret");
        empty["metadata"][field] = Value::Null;
        empty["data"] = Value::Null;
        assert_eq!(faults(empty), [], "{field}");
    }
    let mut empty = sample("Extension");
    empty["metadata"]["labels"] = Value::Null;
    empty["spec"]["displayName"] = Value::Null;
    let found = faults(empty);
    assert_eq!((found.len(), found[0].violation.field.as_str()), (1, "spec.displayName"));
}

/// As long as Kubernetes allows.
#[test]
fn secrets_have_long_names() {
    let named = |kind: &str, name: &str| faults(with(sample(kind), "/metadata/name", json!(name)));
    let long = format!("{}.{}", "a".repeat(63), "b".repeat(189));
    assert_eq!(long.len(), 253);
    for kind in ["Secret", "ConfigMap"] {
        assert_eq!(named(kind, &long), [], "{kind}");
        assert!(named(kind, &format!("{long}c"))[0].violation.message.contains("253"), "{kind}");
        for wrong in ["a..b", "-a", "a.-b", "A"] {
            assert!(!named(kind, wrong).is_empty(), "{kind} {wrong}");
        }
    }
    assert!(!named("Extension", &"a".repeat(64)).is_empty());
    let pointer = "/spec/credentials/secretRef/name";
    assert_eq!(faults(with(sample("Extension"), pointer, json!(long))), []);
}
