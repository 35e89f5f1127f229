//! An object as the API server sent it: only the name and the version are parsed.
//!
//! kube fails a whole list when one of its objects cannot be parsed. This type parses every object that has a
//! name, so that each spec is read separately, and an unreadable object affects no other.
//! (`kube::core::DeserializeGuard` does the same, but drops the JSON that the error message is made of.)

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::resources::Kind;
use crate::source::ObjectKey;

/// JSON of an object, and what identifies it. `METADATA_ONLY` decides what kube asks the API server for.
#[derive(Clone, Debug)]
pub(super) struct RawObject<const METADATA_ONLY: bool> {
    /// Name, namespace and resource version; nothing else.
    metadata: ObjectMeta,
    json: Box<RawValue>,
}

impl<const METADATA_ONLY: bool> RawObject<METADATA_ONLY> {
    /// The whole object as the API server sent it.
    pub fn json(&self) -> &str {
        self.json.get()
    }

    /// Kind, namespace and name.
    pub fn key(&self, kind: Kind) -> ObjectKey {
        let ObjectMeta { namespace, name, .. } = &self.metadata;
        ObjectKey { kind, namespace: namespace.clone(), name: name.clone().unwrap_or_default() }
    }

    /// `namespace/name`, or `name` where there is no namespace.
    pub fn path(&self) -> Box<str> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        match &self.metadata.namespace {
            Some(namespace) => format!("{namespace}/{name}").into(),
            None => name.into(),
        }
    }

    /// Hash of the resource version, which is a text of any form: 8 bytes to keep for every object.
    pub fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.metadata.resource_version.hash(&mut hasher);
        hasher.finish()
    }
}

impl<'de, const METADATA_ONLY: bool> Deserialize<'de> for RawObject<METADATA_ONLY> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            metadata: HeadMetadata<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct HeadMetadata<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow)]
            namespace: Option<Cow<'a, str>>,
            #[serde(borrow)]
            resource_version: Cow<'a, str>,
        }
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let Head { metadata } = serde_json::from_str(json.get()).map_err(serde::de::Error::custom)?;
        let metadata = ObjectMeta {
            name: Some(metadata.name.into_owned()),
            namespace: metadata.namespace.map(Cow::into_owned),
            resource_version: Some(metadata.resource_version.into_owned()),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, json })
    }
}

impl<const METADATA_ONLY: bool> kube::Resource for RawObject<METADATA_ONLY> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn metadata_api() -> bool {
        METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_identified_in_spite_of_other_errors() {
        let text =
            json!({"metadata": {"name": "anna", "namespace": "acme", "resourceVersion": "77"}, "spec": 7})
                .to_string();
        let object: RawObject<false> = serde_json::from_str(&text).unwrap();
        assert_eq!(object.key(Kind::Extension).to_string(), "Extension acme/anna");
        assert_eq!((&*object.path(), object.json()), ("acme/anna", text.as_str()));
        let other: RawObject<false> = serde_json::from_str(&text.replace("77", "78")).unwrap();
        assert_ne!(object.version(), other.version());
        let nameless = serde_json::from_str::<RawObject<false>>(r#"{"metadata": {"resourceVersion": "1"}}"#);
        assert!(nameless.unwrap_err().to_string().contains("missing field `name`"));
    }
}
