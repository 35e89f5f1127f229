//! One object from its JSON. Metadata that Centrex does not use is not even parsed, so it takes no memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kinds::{Read, WatchedKind};
use crate::resources::schema::Violation;
use crate::source::manifest::{name_violations, without_head};
use crate::source::{Object, validate};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        Self {
            name: read.name,
            namespace: read.namespace,
            uid: read.uid,
            generation: read.generation,
            resource_version: read.resource_version,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            finalizers: read.finalizers.filter(|finalizers| !finalizers.is_empty()),
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
struct Resource<S, T> {
    metadata: Metadata,
    spec: S,
    status: Option<T>,
}

/// Metadata, spec and status of a resource of ours.
pub(super) fn resource<S, T>(text: &str) -> Result<(ObjectMeta, S, Option<T>), serde_json::Error>
where
    S: DeserializeOwned,
    T: DeserializeOwned,
{
    let Resource { metadata, spec, status } = serde_json::from_str(text)?;
    Ok((metadata.into(), spec, status))
}

/// A Namespace: its labels decide who may use a trunk.
pub(super) fn namespace(text: &str) -> Result<Object, serde_json::Error> {
    #[derive(Deserialize)]
    struct Labelled {
        metadata: Labels,
    }
    #[derive(Deserialize)]
    struct Labels {
        labels: Option<BTreeMap<String, String>>,
    }
    #[derive(Deserialize)]
    struct Plain {
        metadata: Metadata,
    }
    let Plain { metadata } = serde_json::from_str(text)?;
    let Labelled { metadata: Labels { labels } } = serde_json::from_str(text)?;
    let metadata = ObjectMeta { labels, ..metadata.into() };
    Ok(Object::Namespace(Arc::new(Namespace { metadata, ..Namespace::default() })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectData<T> {
    metadata: Metadata,
    data: Option<BTreeMap<String, T>>,
    binary_data: Option<BTreeMap<String, ByteString>>,
}

/// A Secret and its data.
pub(super) fn secret(text: &str) -> Result<Object, serde_json::Error> {
    let ObjectData { metadata, data, .. } = serde_json::from_str(text)?;
    Ok(Object::Secret(Arc::new(Secret { metadata: metadata.into(), data, ..Secret::default() })))
}

/// A ConfigMap and its data.
pub(super) fn config_map(text: &str) -> Result<Object, serde_json::Error> {
    let ObjectData { metadata, data, binary_data } = serde_json::from_str(text)?;
    let metadata = metadata.into();
    Ok(Object::ConfigMap(Arc::new(ConfigMap { metadata, data, binary_data, ..ConfigMap::default() })))
}

/// Reads an object of a kind.
///
/// # Errors
/// Why it cannot be read or may not have its name, for people.
pub(super) fn object(kind: &WatchedKind, read: Read, text: &str) -> Result<Object, String> {
    let object = read(text).map_err(|error| explain(kind, text, &error))?;
    let metadata = object.metadata();
    let name = metadata.name.as_deref().unwrap_or_default();
    let violations = name_violations(object.key().kind, name, metadata.namespace.as_deref());
    if violations.is_empty() { Ok(object) } else { Err(in_words(&violations)) }
}

/// The tenant named by an object that cannot be read as a whole.
pub(super) fn tenant(text: &str) -> Option<String> {
    let object: Value = serde_json::from_str(text).ok()?;
    Some(object.pointer("/spec/tenantRef/name")?.as_str()?.to_owned())
}

/// Why an object cannot be read, with its field where this program's schema finds it. Happens when the
/// installed CRD is older or newer than this program.
fn explain(kind: &WatchedKind, text: &str, error: &serde_json::Error) -> String {
    let violations = match (validate::kinds(), serde_json::from_str(text)) {
        (Ok(kinds), Ok(Value::Object(object))) => {
            kinds.get(kind.name.as_str()).map(|kind| kind.check(&spec_only(object))).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    if violations.is_empty() {
        // Line and column refer to a JSON text that the user does not see.
        let message = error.to_string();
        return message.split(" at line ").next().unwrap_or_default().to_owned();
    }
    in_words(&violations)
}

fn in_words(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations.iter().map(|v| format!("{}: {}", v.field, v.message)).collect();
    texts.join("; ")
}

fn spec_only(mut object: serde_json::Map<String, Value>) -> Value {
    object.remove("status");
    without_head(&object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::cluster::kinds::KINDS;

    fn extension(spec: Value) -> String {
        json!({
            "apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
            "metadata": {
                "name": "anna", "namespace": "acme", "uid": "6f7b2a0e-3b9e-4f5c-9d55-0f1f2f3f4f5f",
                "resourceVersion": "77", "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z",
                "deletionTimestamp": null, "finalizers": [], "selfLink": "/x", "generateName": "an",
                "labels": {"a": "b"}, "annotations": {"c": "d"}, "ownerReferences": [],
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": spec,
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready",
                "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]},
        })
        .to_string()
    }

    fn read_extension(text: &str) -> Result<Object, String> {
        let kind = KINDS.iter().find(|kind| kind.name == crate::resources::Kind::Extension).unwrap();
        let super::super::kinds::WatchMode::Whole(read) = kind.mode else { panic!() };
        object(kind, read, text)
    }

    #[test]
    fn names_that_only_an_api_server_lets_through_are_refused() {
        let text = extension(json!({"tenantRef": {"name": "acme"}, "number": "100"}));
        for name in ["x-pre-process", &"a".repeat(64)] {
            let why = read_extension(&text.replace("\"anna\"", &format!("{name:?}"))).unwrap_err();
            assert!(why.starts_with("metadata.name: "), "{why}");
        }
    }

    #[test]
    fn unused_metadata_is_dropped() {
        let text = extension(json!({"tenantRef": {"name": "acme"}, "number": "100"}));
        let object = read_extension(&text).unwrap();
        assert_eq!(
            object.to_json().unwrap(),
            json!({
                "apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
                "metadata": {"name": "anna", "namespace": "acme",
                    "uid": "6f7b2a0e-3b9e-4f5c-9d55-0f1f2f3f4f5f", "resourceVersion": "77",
                    "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z"},
                "spec": {"tenantRef": {"name": "acme"}, "number": "100"},
                "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready",
                    "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]},
            })
        );
    }

    #[test]
    fn an_unreadable_object_is_explained_by_its_field() {
        let why =
            read_extension(&extension(json!({"tenantRef": {"name": "acme"}, "number": 100}))).unwrap_err();
        assert!(why.starts_with("spec.number: "), "{why}");
        let unknown = json!({"tenantRef": {"name": "acme"}, "number": "100", "colour": "red"});
        let why = read_extension(&extension(unknown)).unwrap_err();
        assert!(why.contains("colour"), "{why}");
    }

    #[test]
    fn core_kinds_keep_only_used_fields() {
        let text =
            json!({"metadata": {"name": "a", "labels": {"k": "v"}, "annotations": {"x": "y"}}}).to_string();
        let kept = namespace(&text).unwrap().to_json().unwrap();
        assert_eq!(kept["metadata"], json!({"name": "a", "labels": {"k": "v"}}));
        let text = json!({"type": "Opaque", "data": {"password": "c2VjcmV0"},
            "metadata": {"name": "a", "namespace": "n", "labels": {"k": "v"}}})
        .to_string();
        let kept = secret(&text).unwrap().to_json().unwrap();
        assert_eq!(kept["metadata"], json!({"name": "a", "namespace": "n"}));
        assert_eq!(kept["data"], json!({"password": "c2VjcmV0"}));
        let text =
            json!({"metadata": {"name": "a", "namespace": "n"}, "binaryData": {"w": "AAAA"}}).to_string();
        assert_eq!(config_map(&text).unwrap().to_json().unwrap()["binaryData"], json!({"w": "AAAA"}));
    }
}
