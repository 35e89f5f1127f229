//! Reads the objects of one manifest document, or collects everything that is wrong with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

use super::object::{Object, ObjectKey};
use super::validate::{KindRules, RulesByKind};
use crate::resources::Kind;
use crate::resources::nearest::did_you_mean;
use crate::resources::pattern::*;
use crate::resources::schema::{Schema, SchemaError, Violation};

/// An object of a manifest, and its path in the document.
#[derive(Clone, Debug)]
pub struct Item {
    /// Path of the object in its document: empty, or `items[3]` in a `List`.
    pub path: String,
    /// Key of the object.
    pub key: ObjectKey,
    /// The object.
    pub object: Object,
}

/// Something wrong in a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The object, if it has a name.
    pub resource: Option<ObjectKey>,
    /// Path of the object in its document: empty, or `items[3]` in a `List`.
    pub path: String,
    /// The field of the object, and what it must be.
    pub violation: Violation,
}

/// Reads all objects of one document: one object, or those of a `List`.
///
/// # Errors
/// Everything that is wrong in the document. Then none of its objects is returned.
pub fn read(document: Value, kinds: &RulesByKind) -> Result<Vec<Item>, Vec<Fault>> {
    let mut reader = Reader { kinds, items: Vec::new(), faults: Vec::new() };
    reader.document(document);
    if reader.faults.is_empty() { Ok(reader.items) } else { Err(reader.faults) }
}

struct Reader<'a> {
    kinds: &'a RulesByKind,
    items: Vec<Item>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn document(&mut self, document: Value) {
        let is_list = document.get("kind").and_then(Value::as_str) == Some("List")
            && document.get("apiVersion").and_then(Value::as_str) == Some("v1");
        if !is_list {
            return self.object(String::new(), document);
        }
        match document {
            Value::Object(mut list) => match list.remove("items") {
                Some(Value::Array(items)) => {
                    for (index, item) in items.into_iter().enumerate() {
                        self.object(format!("items[{index}]"), item);
                    }
                }
                _ => self.fault(None, "", "items", "must be a list of manifests"),
            },
            _ => self.fault(None, "", "", "must be an object"),
        }
    }

    fn object(&mut self, path: String, value: Value) {
        let Value::Object(mut map) = value else {
            return self.fault(None, &path, "", "must be a manifest: an object with apiVersion and kind");
        };
        let kind = match self.kind(&map) {
            Ok(kind) => kind,
            Err(violation) => {
                return self.faults.push(Fault { resource: None, path, violation });
            }
        };
        let mut violations = metadata(&mut map, kind);
        let key = key(&map, kind);
        violations.extend(body(&mut map, kind));
        if violations.is_empty() {
            match Object::from_json(kind.name.as_str(), Value::Object(map)) {
                Some(Ok(object)) => return self.items.push(Item { path, key: object.key(), object }),
                Some(Err(error)) => violations.push(Violation::new("", error.to_string())),
                None => violations.push(Violation::new("kind", "is not a kind that Centrex reads")),
            }
        }
        let fault = |violation| Fault { resource: key.clone(), path: path.clone(), violation };
        self.faults.extend(violations.into_iter().map(fault));
    }

    fn kind(&self, map: &Map<String, Value>) -> Result<&KindRules, Violation> {
        let text = |field: &str| match map.get(field) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(Violation::new(field, "must be a string")),
            None => Err(Violation::new(field, "is required")),
        };
        let (api_version, name) = (text("apiVersion")?, text("kind")?);
        let Some(kind) = self.kinds.get(name) else {
            let known: Vec<&str> = self.kinds.names().collect();
            let meant = did_you_mean(name, known.iter().copied());
            let message =
                format!("{name:?} is not a kind that Centrex reads{meant}; kinds are {}", known.join(", "));
            return Err(Violation::new("kind", message));
        };
        if kind.api_version != api_version {
            let message = format!("must be {} for kind {name}, is {api_version:?}", kind.api_version);
            return Err(Violation::new("apiVersion", message));
        }
        Ok(kind)
    }

    fn fault(&mut self, resource: Option<ObjectKey>, path: &str, field: &str, message: &str) {
        let violation = Violation::new(field, message);
        self.faults.push(Fault { resource, path: path.to_owned(), violation });
    }
}

/// The key of an object whose metadata was checked; `None` without a name.
fn key(map: &Map<String, Value>, kind: &KindRules) -> Option<ObjectKey> {
    let text = |field: &str| map.get("metadata")?.get(field)?.as_str().map(str::to_owned);
    Some(ObjectKey { kind: kind.name, namespace: text("namespace"), name: text("name")? })
}

/// Checks metadata, and sets the namespace `default` if it is missing.
fn metadata(map: &mut Map<String, Value>, kind: &KindRules) -> Vec<Violation> {
    let schema = match &*METADATA {
        Ok(schema) => schema,
        Err(error) => return vec![Violation::new("metadata", error.to_string())],
    };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    let violations = schema.check(&json!({"metadata": &metadata}));
    if !violations.is_empty() {
        return violations;
    }
    let Value::Object(metadata) = metadata else { return violations };
    match (kind.namespaced, metadata.contains_key("namespace")) {
        (true, false) => {
            metadata.insert("namespace".into(), "default".into());
            violations
        }
        (false, true) => {
            let message = format!("must be left out: a {} belongs to no namespace", kind.name);
            vec![Violation::new("metadata.namespace", message)]
        }
        _ => violations,
    }
}

/// What is wrong with a name and a namespace. The API server accepts names that no manifest and no reference
/// may have. Centrex does not read such an object.
pub fn name_violations(name: &str, namespace: Option<&str>) -> Vec<Violation> {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    match &*METADATA {
        Ok(schema) => schema.check(&json!({"metadata": metadata})),
        Err(error) => vec![Violation::new("metadata", error.to_string())],
    }
}

/// Checks everything but the metadata of an object. Removes its status and merges `stringData`.
fn body(map: &mut Map<String, Value>, kind: &KindRules) -> Vec<Violation> {
    map.remove("status");
    if kind.name == Kind::Secret {
        let violations = kind.check(&without_head(map));
        if violations.is_empty() { merge_string_data(map) } else { violations }
    } else {
        kind.check(&without_head(map))
    }
}

/// An object without `apiVersion`, `kind` and `metadata`: the part that differs by kind.
pub fn without_head(map: &Map<String, Value>) -> Value {
    let rest = map.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
    Value::Object(rest.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Merges `stringData` into `data`, as the API server does. No value is repeated in an error.
fn merge_string_data(map: &mut Map<String, Value>) -> Vec<Violation> {
    let mut data = match map.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    let not_base64 = |(key, value): (&String, &Value)| {
        let text = value.as_str().unwrap_or_default();
        STANDARD.decode(text).is_err().then(|| {
            let message = "must be base64; plain text goes into stringData";
            Violation::new(format!("data[{key:?}]"), message)
        })
    };
    let violations: Vec<Violation> = data.iter().filter_map(not_base64).collect();
    if let Some(Value::Object(plain)) = map.remove("stringData") {
        for (key, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
    map.insert("data".into(), data.into());
    violations
}

/// Schema of metadata, as the API server accepts it. Fields that a cluster adds are allowed, because manifests
/// are exported from clusters, and ignored.
static METADATA: LazyLock<Result<Schema, SchemaError>> = LazyLock::new(|| {
    let any = json!({"x-kubernetes-preserve-unknown-fields": true});
    let name = json!({"type": "string", "minLength": 1, "maxLength": NAME_LENGTH, "pattern": NAME_PATTERN});
    let namespace = json!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": NAMESPACE_PATTERN});
    let labels = json!({"type": "object", "additionalProperties":
        {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE_PATTERN}});
    let annotations = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let uid = json!({"type": "string", "pattern": UUID_PATTERN});
    let time = json!({"type": "string", "format": "date-time"});
    Schema::compile(&json!({"type": "object", "properties": {"metadata": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": name, "namespace": namespace, "labels": labels, "annotations": annotations,
            "uid": uid, "creationTimestamp": time,
            "generation": any, "resourceVersion": any, "selfLink": any, "managedFields": any,
            "ownerReferences": any, "finalizers": any, "generateName": any,
            "deletionTimestamp": any, "deletionGracePeriodSeconds": any,
        }
    }}}))
});
