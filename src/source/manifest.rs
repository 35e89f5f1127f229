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

/// What a document contains: its valid objects, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Valid objects.
    pub items: Vec<Item>,
    /// Everything that is wrong with the other objects, or with the document.
    pub faults: Vec<Fault>,
    /// The other objects that have a valid name and a kind that Centrex reads.
    pub refused: Vec<ObjectKey>,
    /// Whether there are others: any object may be meant.
    pub unknown: bool,
}

/// Reads all objects of one document: one object, or those of a list, as kubectl reads them. An object with a
/// fault does not keep the others out.
pub fn read(document: Value, kinds: &RulesByKind) -> Contents {
    let mut reader = Reader { kinds, contents: Contents::default() };
    reader.document(document);
    reader.contents
}

struct Reader<'a> {
    kinds: &'a RulesByKind,
    contents: Contents,
}

impl Reader<'_> {
    /// Reads an object, or the items of a list: a `List`, or a list of one kind such as `ExtensionList`, whose items
    /// may leave out what the list says.
    fn document(&mut self, document: Value) {
        let text = |field: &str| document.get(field).and_then(Value::as_str).map(str::to_owned);
        let (api_version, kind) = (text("apiVersion"), text("kind").unwrap_or_default());
        let item_kind = match kind.strip_suffix("List") {
            Some("") if api_version.as_deref() == Some("v1") => None,
            Some(of)
                if self.kinds.get(of).is_some_and(|of| Some(of.api_version) == api_version.as_deref()) =>
            {
                Some(of.to_owned())
            }
            _ => return self.object(String::new(), document),
        };
        let Value::Object(mut list) = document else { return };
        match list.remove("items") {
            // A template that has nothing to list leaves `items:` empty.
            Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, mut item) in items.into_iter().enumerate() {
                    if let (Some(kind), Value::Object(item)) = (&item_kind, &mut item) {
                        item.entry("apiVersion").or_insert_with(|| api_version.clone().into());
                        item.entry("kind").or_insert_with(|| kind.clone().into());
                    }
                    self.object(format!("items[{index}]"), item);
                }
            }
            _ => self.fault("", "items", "must be a list of manifests"),
        }
    }

    fn object(&mut self, path: String, value: Value) {
        let Value::Object(mut map) = value else {
            return self.fault(&path, "", "must be a manifest: an object with apiVersion and kind");
        };
        let kind = match self.kind(&map) {
            Ok(kind) => kind,
            Err(violation) => {
                self.contents.unknown = true;
                return self.contents.faults.push(Fault { resource: None, path, violation });
            }
        };
        let mut violations = metadata(&mut map, kind);
        let key = key(&map, kind);
        let is_named = key.is_some() && !violations.iter().any(is_of_name);
        violations.extend(body(&mut map, kind));
        if violations.is_empty() {
            match Object::from_json(kind.name.as_str(), Value::Object(map)) {
                Some(Ok(object)) => {
                    return self.contents.items.push(Item { path, key: object.key(), object });
                }
                Some(Err(error)) => violations.push(Violation::new("", error.to_string())),
                None => violations.push(Violation::new("kind", "is not a kind that Centrex reads")),
            }
        }
        self.contents.unknown |= !is_named;
        self.contents.refused.extend(key.clone().filter(|_| is_named));
        let fault = |violation| Fault { resource: key.clone(), path: path.clone(), violation };
        self.contents.faults.extend(violations.into_iter().map(fault));
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

    fn fault(&mut self, path: &str, field: &str, message: &str) {
        let violation = Violation::new(field, message);
        self.contents.unknown = true;
        self.contents.faults.push(Fault { resource: None, path: path.to_owned(), violation });
    }
}

/// Whether a violation leaves open which object is meant.
fn is_of_name(violation: &Violation) -> bool {
    matches!(violation.field.as_str(), "metadata" | "metadata.name" | "metadata.namespace")
}

/// The key of an object; `None` without a name.
fn key(map: &Map<String, Value>, kind: &KindRules) -> Option<ObjectKey> {
    let text = |field: &str| map.get("metadata")?.get(field)?.as_str().map(str::to_owned);
    let namespace =
        kind.namespaced.then(|| text("namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
    Some(ObjectKey { kind: kind.name, namespace, name: text("name")? })
}

/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// Checks metadata, and sets [`DEFAULT_NAMESPACE`] if it names none.
fn metadata(map: &mut Map<String, Value>, kind: &KindRules) -> Vec<Violation> {
    let schema = match metadata_schema(kind.name) {
        Ok(schema) => schema,
        Err(error) => return vec![Violation::new("metadata", error.to_string())],
    };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    // An API server reads empty metadata, such as `labels:` of a template without labels, as left out.
    if let Value::Object(metadata) = metadata {
        metadata.retain(|_, value| !value.is_null());
    }
    let violations = schema.check(&json!({"metadata": &metadata}));
    if !violations.is_empty() {
        return violations;
    }
    let Value::Object(metadata) = metadata else { return violations };
    match (kind.namespaced, metadata.contains_key("namespace")) {
        (true, false) => {
            metadata.insert("namespace".into(), DEFAULT_NAMESPACE.into());
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
pub fn name_violations(kind: Kind, name: &str, namespace: Option<&str>) -> Vec<Violation> {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    match metadata_schema(kind) {
        Ok(schema) => schema.check(&json!({"metadata": metadata})),
        Err(error) => vec![Violation::new("metadata", error.to_string())],
    }
}

/// Checks everything but the metadata of an object. Removes its status and merges `stringData`.
fn body(map: &mut Map<String, Value>, kind: &KindRules) -> Vec<Violation> {
    map.remove("status");
    // An API server reads empty fields of its own kinds, such as `data:`, as left out.
    if matches!(kind.name, Kind::Secret | Kind::ConfigMap | Kind::Namespace) {
        map.retain(|_, value| !value.is_null());
    }
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

/// Schema of a kind's metadata, as the API server accepts it. The names of Kubernetes' own kinds may be longer than
/// those of ours.
fn metadata_schema(kind: Kind) -> Result<&'static Schema, &'static SchemaError> {
    static OURS: LazyLock<Result<Schema, SchemaError>> =
        LazyLock::new(|| compile_metadata(NAME_LENGTH, NAME_PATTERN));
    static CORE: LazyLock<Result<Schema, SchemaError>> =
        LazyLock::new(|| compile_metadata(SUBDOMAIN_LENGTH, SUBDOMAIN_PATTERN));
    match kind {
        Kind::Secret | Kind::ConfigMap => CORE.as_ref(),
        _ => OURS.as_ref(),
    }
}

/// Fields that a cluster adds are allowed, because manifests are exported from clusters, and ignored.
fn compile_metadata(name_length: usize, name_pattern: &str) -> Result<Schema, SchemaError> {
    let any = json!({"x-kubernetes-preserve-unknown-fields": true});
    let name = json!({"type": "string", "minLength": 1, "maxLength": name_length, "pattern": name_pattern});
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
}
