//! The CRDs of all kinds, as `centrex crds` prints them.
//!
//! schemars makes an `Option` `nullable` and gives optional enums a `null` member. Kubernetes warns about that,
//! and would accept an explicit `null`. Both are removed here, for all kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::pattern::{NAME_LENGTH, NAME_PATTERN};
use super::*;

macro_rules! crds {
    ($($kind:ident),+ $(,)?) => {
        /// The names of all kinds of ours, in order.
        pub const KINDS: &[&str] = &[$(stringify!($kind)),+];

        /// The CRDs of all kinds, in order of their kinds.
        pub fn all() -> Vec<CustomResourceDefinition> {
            vec![$($kind::crd()),+]
        }
    };
}

with_kinds!(crds);

/// A CRD as the JSON that is published.
pub fn tidy(crd: &CustomResourceDefinition) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                tidy_schema(schema);
                schema["properties"]["metadata"] = metadata();
                // `kubectl explain` shows this description first; the derived one says nothing useful.
                if let Some(description) = schema.pointer("/properties/spec/description").cloned() {
                    schema["description"] = description;
                }
            }
        }
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    Ok(value)
}

/// Schema of metadata. Names are used in rows, paths and channel variables, and references have at most 63
/// characters; without this schema the API server would accept names of 253.
fn metadata() -> Value {
    json!({"type": "object", "properties": {"name": {
        "type": "string", "minLength": 1, "maxLength": NAME_LENGTH, "pattern": NAME_PATTERN,
        "description": "Name, unique among those of its kind in a namespace.",
    }}})
}

fn tidy_schema(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("nullable");
    if let Some(members) = object.get_mut("enum").and_then(Value::as_array_mut) {
        members.retain(|member| !member.is_null());
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(tidy_schema);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            tidy_schema(inner);
        }
    }
}
