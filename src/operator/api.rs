//! Objects of any kind on the API server: where they are, and how to say what went wrong.

use kube::api::{Api, DynamicObject, GroupVersionKind};
use kube::core::{ApiResource, Status};
use kube::{Client, Resource};

use crate::reconcile::SinkError;
use crate::resources::*;
use crate::source::Object;

/// Finalizer of Tenants: their data is dealt with before they go.
pub const FINALIZER: &str = "centrex.dev/tenant";
/// Field manager of everything that is written.
pub const MANAGER: &str = "centrex";

macro_rules! resources {
    ($($kind:ident),+ $(,)?) => {
        /// The API's names of an object's kind; none for kinds that are not ours.
        pub fn resource(object: &Object) -> Option<ApiResource> {
            match object {
                $(Object::$kind(_) => Some(ApiResource::erase::<$kind>(&())),)+
                _ => None,
            }
        }
    };
}

with_kinds!(resources);

/// The API of an object's kind, in its namespace.
pub fn api_of(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// What the API server said of a request.
#[derive(Debug)]
pub enum Refusal {
    /// The object is gone, or is another one by now: nothing is left to do.
    Gone,
    /// It exists already.
    Exists,
    /// Somebody else wrote meanwhile.
    Conflict,
    /// Anything else; worth another try.
    Failed(SinkError),
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        match &error {
            // One without a name is about the kind: while a CRD settles, its objects cannot be found.
            kube::Error::Api(status) if status.code == 404 && names_an_object(status) => Self::Gone,
            // Nothing is made in a namespace on its way out (the cause's name is the API server's).
            kube::Error::Api(status) if status.code == 403 && status.message.contains("being terminated") => {
                Self::Gone
            }
            kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists" => {
                Self::Exists
            }
            // Made anew under the same name: what was to be written is not about this one.
            kube::Error::Api(status) if status.code == 409 && status.message.contains("UID") => Self::Gone,
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) => {
                Self::Failed(SinkError(format!("{} ({} {})", status.message, status.code, status.reason)))
            }
            _ => Self::Failed(SinkError(error.to_string())),
        }
    }
}

fn names_an_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// What names an object in an event.
pub fn reference(object: &Object) -> Option<k8s_openapi::api::core::v1::ObjectReference> {
    let resource = resource(object)?;
    let GroupVersionKind { group, version, kind } =
        GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
    let metadata = object.metadata();
    Some(k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some(format!("{group}/{version}")),
        kind: Some(kind),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..Default::default()
    })
}

/// An owner reference to an extension, so that what is made for it goes with it.
pub fn owned_by(
    extension: &Extension,
) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    extension.controller_owner_ref(&())
}
