//! The published CRDs keep the rules of design §2 and of the field notes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use centrex::resources::pattern::{SETTING_VALUE_PATTERN, TEXT_PATTERN, pattern_words};
use centrex::resources::schema::Schema;
use centrex::resources::{crd, publish};
use serde_json::{Value, json};

use crate::repository;

/// Texts that no string field may accept: each broke a phone system elsewhere, or is on the list of contract
/// §10.
const HOSTILE: &[&str] = &[
    "${system(id)}",
    "\"/><action application=\"system\"",
    "\n",
    "\r",
    "\0",
    "\t",
    ",",
    "|",
    ":_:",
    "^^",
    "{}",
    "[]",
    "<>",
    "x-pre-process",
    "X-PRE-PROCESS",
];

/// Texts that a field may accept nevertheless, and why.
const ACCEPTED: &[(&str, &str)] = &[
    ("status.conditions[].type", "written by Centrex alone, never by a user"),
    ("status.conditions[].message", "written by Centrex alone, shown to people, never sent to a switch"),
];

#[test]
fn a_closed_output_pipe_is_no_error() {
    let samples = repository("deploy/samples");
    for command in
        ["crds", "check \"$1\"", "trace --manifests \"$1\" --tenant acme/acme --from 1001 --to 1002"]
    {
        let script = format!("set -o pipefail; \"$0\" {command} | true");
        let mut shell = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_centrex");
        shell.args(["-c", &script, program]).arg(&samples).env_remove("CENTREX_DATABASE_URL");
        let output = shell.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&text).as_ref()),
            (Some(0), ""),
            "{command}"
        );
    }
}

fn published() -> Vec<(String, Value)> {
    crd::all()
        .iter()
        .map(|definition| (definition.spec.names.kind.clone(), crd::tidy(definition).unwrap()))
        .collect()
}

fn root(published: &Value) -> &Value {
    published.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap()
}

/// Calls `look` for every schema node below one, with its path; list items are `[]`, map values `{}`.
fn walk(node: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    look(path, node);
    for (key, inner) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(inner, &path, look);
    }
    for (keyword, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = node.get(keyword) {
            walk(inner, &format!("{path}{mark}"), look);
        }
    }
}

/// Violations of the design's rules in one schema node.
fn lint(path: &str, node: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{path}: {what}"));
        }
    };
    let has = |key: &str| node.get(key).is_some();
    demand(!has("nullable"), "nullable");
    demand(!has("default"), "a default set through the API server");
    demand(!has("oneOf") && !has("anyOf") && !has("allOf"), "a union the checker does not know");
    match node["type"].as_str() {
        Some("object") => {
            demand(!has("additionalProperties") || has("maxProperties"), "a map without maxProperties");
        }
        Some("array") => demand(has("maxItems"), "a list without maxItems"),
        Some("string") => {
            demand(has("maxLength") || has("enum"), "a string without maxLength");
            let members = node["enum"].as_array().cloned().unwrap_or_default();
            demand(members.iter().all(Value::is_string), "an enum member that is no string");
        }
        Some("integer") => {
            let format = node["format"].as_str().unwrap_or("int32");
            demand(matches!(format, "int32" | "int64"), "an unsigned or unknown integer format");
            let bounded = has("minimum") && (has("maximum") || path.starts_with("status"));
            demand(bounded, "an integer without minimum and maximum");
        }
        Some("boolean") => {}
        _ => demand(false, "a type that is not allowed"),
    }
    found
}

#[test]
fn every_schema_keeps_the_rules() {
    let mut found = Vec::new();
    for (kind, published) in published() {
        walk(root(&published), "", &mut |path, node| {
            found.extend(lint(path, node).into_iter().map(|what| format!("{kind} {what}")));
            for (key, inner) in node["properties"].as_object().into_iter().flatten() {
                let described = inner["description"].as_str().is_some_and(|text| text.len() > 3);
                // Kubernetes defines metadata; a CRD may only narrow the name.
                if !described && (path, key.as_str()) != ("", "metadata") {
                    found.push(format!("{kind} {path}.{key}: no description"));
                }
            }
        });
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_lint_rejects_faulty_schemas() {
    for bad in [
        json!({"type": "string"}),
        json!({"type": "string", "maxLength": 3, "nullable": true}),
        json!({"type": "string", "enum": ["A", null]}),
        json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": 9}),
        json!({"type": "integer", "format": "int32"}),
        json!({"type": "number"}),
        json!({"type": "array", "items": {"type": "boolean"}}),
        json!({"type": "object", "additionalProperties": {"type": "boolean"}}),
        json!({"type": "boolean", "default": true}),
    ] {
        assert_ne!(lint("x", &bad), Vec::<String>::new(), "{bad}");
    }
}

#[test]
fn every_crd_is_complete() {
    let mut short_names = BTreeSet::new();
    for (kind, published) in published() {
        let names = &published["spec"]["names"];
        assert_eq!(names["categories"], json!(["pbx"]), "{kind}");
        for name in names["shortNames"].as_array().unwrap() {
            assert!(short_names.insert(name.to_string()), "{kind}: short name {name} is used twice");
        }
        let version = &published["spec"]["versions"][0];
        assert!(version["subresources"].get("status").is_some(), "{kind}: no status subresource");
        let columns: Vec<&str> = version["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|c| c["name"].as_str())
            .collect();
        assert!(columns.contains(&"Ready") && columns.contains(&"Age"), "{kind}: {columns:?}");
        let conditions = &root(&published)["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{kind}");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]), "{kind}");
        assert_eq!(root(&published)["required"], json!(["spec"]), "{kind}");
        assert!(published.get("status").is_none(), "{kind}");
    }
}

#[test]
fn a_child_cannot_change_its_tenant() {
    let mut children = 0;
    for (kind, published) in published() {
        let spec = &root(&published)["properties"]["spec"];
        if spec["properties"].get("tenantRef").is_none() {
            continue;
        }
        children += 1;
        let rules = spec["x-kubernetes-validations"].as_array().unwrap();
        let immutable = |rule: &Value| rule["rule"] == "self.tenantRef == oldSelf.tenantRef";
        assert!(rules.iter().any(immutable), "{kind}");
        assert!(spec["required"].as_array().unwrap().contains(&json!("tenantRef")), "{kind}");
    }
    assert_eq!(children, 12);
}

#[test]
fn every_crd_fits_into_an_annotation() {
    for (name, yaml) in publish::documents().unwrap() {
        assert!(yaml.len() < 200_000, "{name}: {} bytes", yaml.len());
    }
}

#[test]
fn every_pattern_is_described_in_words() {
    for (kind, published) in published() {
        walk(root(&published)["properties"].get("spec").unwrap(), "spec", &mut |path, node| {
            if let Some(pattern) = node["pattern"].as_str() {
                assert!(pattern_words(pattern).is_some(), "{kind} {path}: {pattern} has no words");
                assert!(pattern.starts_with('^') && pattern.ends_with('$'), "{kind} {path}: {pattern}");
            }
        });
    }
}

#[test]
fn no_string_field_lets_hostile_text_through() {
    let (mut fields, mut used) = (0, BTreeSet::new());
    for (kind, published) in published() {
        walk(root(&published), "", &mut |path, node| {
            if node["type"] != "string" {
                return;
            }
            fields += 1;
            let schema = Schema::compile(node).unwrap();
            for hostile in HOSTILE {
                for text in [
                    hostile.to_string(),
                    format!("a{hostile}a"),
                    format!("1{hostile}1"),
                    format!("{hostile}\n"),
                ] {
                    if !schema.check(&json!(text)).is_empty() {
                        continue;
                    }
                    // Text for people is free: `tests/inert.rs` proves that FreeSWITCH cannot be harmed by it.
                    let is_free =
                        [TEXT_PATTERN, SETTING_VALUE_PATTERN].iter().any(|free| node["pattern"] == *free);
                    if is_free && !text.contains(char::is_control) {
                        continue;
                    }
                    let allowed = ACCEPTED.iter().find(|(accepted, _)| *accepted == path);
                    assert!(allowed.is_some(), "{kind} {path} accepts {text:?}");
                    used.extend(allowed.map(|(accepted, _)| *accepted));
                }
            }
        });
    }
    assert!(fields > 100, "only {fields} string fields were found");
    let listed: BTreeSet<&str> = ACCEPTED.iter().map(|(path, _)| *path).collect();
    assert_eq!(used, listed, "an exception that is not needed is no exception");
}

#[test]
fn the_published_files_match_the_generated_ones() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut wanted = BTreeSet::new();
    for (name, yaml) in publish::documents().unwrap() {
        let found = std::fs::read_to_string(directory.join(&name)).unwrap_or_default();
        assert!(found == yaml, "crds/{name} is not what `centrex crds` writes; run it again");
        wanted.insert(name);
    }
    let files: BTreeSet<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, wanted);
}

#[test]
fn the_yaml_and_the_crds_are_equal() {
    for ((_, yaml), (kind, published)) in publish::documents().unwrap().iter().zip(published()) {
        let read: Value = serde_saphyr::from_str(yaml).unwrap();
        // schemars writes integer limits as floats; YAML readers read 1.0 as 1.
        assert_eq!(read.to_string().replace(".0,", ","), published.to_string().replace(".0,", ","), "{kind}");
    }
}

#[test]
fn files_and_stream_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let files = publish::write_files(&directory.path().join("crds")).unwrap();
    assert_eq!(files.len(), crd::KINDS.len());
    let mut stream = Vec::new();
    publish::write_stream(&mut stream).unwrap();
    let stream = String::from_utf8(stream).unwrap();
    assert_eq!(stream.matches("\n---\n").count() + 1, crd::KINDS.len());
    let error = publish::write_files(Path::new("/proc/nothing/here")).unwrap_err();
    assert!(error.to_string().contains("/proc/nothing/here"), "{error}");
}
