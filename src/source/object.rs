//! One object of any kind that Centrex reads.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Serialize;

use crate::resources::*;

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectKey {
    /// Kind, such as `Extension`.
    pub kind: Kind,
    /// Namespace; `None` for cluster-wide kinds.
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

            /// Its metadata, mutable. Copies the object first if it is shared.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => &mut Arc::make_mut(object).metadata,)*
                }
            }

            /// The object as JSON.
            ///
            /// # Errors
            /// Never for an object that was read from JSON.
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

            /// Replaces the conditions of its status. Copies the object first if it is shared.
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
    /// Its key.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Whether compile reads the same from both: the generation changes with every change of a spec, and
    /// compile does not read status or labels. False for objects without a generation.
    pub fn is_same_input(&self, other: &Self) -> bool {
        let (one, other) = (self.metadata(), other.metadata());
        one.generation.is_some()
            && one.generation == other.generation
            && one.uid == other.uid
            && one.deletion_timestamp == other.deletion_timestamp
            && one.finalizers == other.finalizers
    }

    /// Creation time, which decides conflicts: the oldest object wins. An object without one is the youngest.
    pub fn created(&self) -> Timestamp {
        created(self.metadata())
    }

    /// Name of its tenant; `None` for kinds that belong to no tenant.
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
