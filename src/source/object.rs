//! One object of any kind that Centrex reads.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Serialize;

use crate::resources::*;

/// What names an object: kind, namespace (none for cluster kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectKey {
    /// Kind, such as `Extension`.
    pub kind: Kind,
    /// Namespace; none for cluster-wide kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

macro_rules! objects {
    ($($kind:ident),* $(,)?) => {
        /// An object of one of the kinds Centrex reads.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub enum Object {
            $($kind(Arc<$kind>),)*
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)*
                }
            }

            /// Its metadata, to be changed; copied first where the object is shared.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => &mut Arc::make_mut(object).metadata,)*
                }
            }

            /// The object as JSON.
            ///
            /// # Errors
            /// When it cannot be written as JSON, which no object read from JSON does.
            pub fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
                match self {
                    $(Self::$kind(object) => serde_json::to_value(&**object),)*
                }
            }

            /// Reads an object of a kind from JSON; `None` when Centrex does not read the kind.
            pub fn from_json(kind: &str, value: serde_json::Value) -> Option<Result<Self, serde_json::Error>> {
                match kind {
                    $(stringify!($kind) => Some(
                        serde_json::from_value(value).map(|object| Self::$kind(Arc::new(object))),
                    ),)*
                    _ => None,
                }
            }
        }

        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(Arc::new(object))
            }
        })*
    };
}

with_kinds!(objects, Secret, ConfigMap, Namespace);

macro_rules! statuses {
    ($($kind:ident),* $(,)?) => {
        impl Object {
            /// Conditions of its status.
            pub fn conditions(&self) -> &[Condition] {
                match self {
                    $(Self::$kind(object) => object.status.as_ref().map_or(&[], |status| &status.conditions),)*
                    _ => &[],
                }
            }

            /// Puts conditions in; copied first where the object is shared.
            pub fn set_conditions(&mut self, conditions: Vec<Condition>) {
                match self {
                    $(Self::$kind(object) => {
                        Arc::make_mut(object).status.get_or_insert_default().conditions = conditions;
                    })*
                    _ => {}
                }
            }
        }
    };
}

with_kinds!(statuses);

impl Object {
    /// What names it.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// True when compile finds the same in both: the API server counts changes of a spec, and what
    /// else differs (status, labels) is not read. Without a generation they count as different.
    pub fn is_same_input(&self, other: &Self) -> bool {
        let (one, other) = (self.metadata(), other.metadata());
        one.generation.is_some()
            && one.generation == other.generation
            && one.uid == other.uid
            && one.deletion_timestamp == other.deletion_timestamp
            && one.finalizers == other.finalizers
    }

    /// When it was created; the oldest wins a conflict. An object without a time is the youngest.
    pub fn created(&self) -> Timestamp {
        created(self.metadata())
    }

    /// Name of the tenant it belongs to, for kinds that belong to one.
    pub fn tenant(&self) -> Option<&str> {
        let reference = match self {
            Self::Extension(o) => &o.spec.tenant_ref,
            Self::Device(o) => &o.spec.tenant_ref,
            Self::Number(o) => &o.spec.tenant_ref,
            Self::OutboundRoute(o) => &o.spec.tenant_ref,
            Self::RingGroup(o) => &o.spec.tenant_ref,
            Self::Queue(o) => &o.spec.tenant_ref,
            Self::IvrMenu(o) => &o.spec.tenant_ref,
            Self::Conference(o) => &o.spec.tenant_ref,
            Self::Schedule(o) => &o.spec.tenant_ref,
            Self::MediaFile(o) => &o.spec.tenant_ref,
            Self::FeatureCode(o) => &o.spec.tenant_ref,
            Self::RoutingTest(o) => &o.spec.tenant_ref,
            Self::DialRule(_)
            | Self::SipProfile(_)
            | Self::Switch(_)
            | Self::Tenant(_)
            | Self::TenantProfile(_)
            | Self::Trunk(_)
            | Self::Secret(_)
            | Self::ConfigMap(_)
            | Self::Namespace(_) => return None,
        };
        Some(&reference.name)
    }
}

/// Creation time of an object from its metadata.
pub fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0)
}
