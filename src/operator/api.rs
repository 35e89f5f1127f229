//! Requests to the API server: names, the API of an object of any kind, and what an error means.

use kube::api::{Api, DynamicObject, GroupVersionKind};
use kube::core::{ApiResource, Status};
use kube::{Client, Resource};

use crate::reconcile::SinkError;
use crate::resources::*;
use crate::source::Object;

/// Finalizer of Tenants: a Tenant is deleted only after its data is retained or dropped.
pub const FINALIZER: &str = "centrex.dev/tenant";
/// Field manager of every write, as in `metadata.managedFields`.
pub const MANAGER: &str = "centrex";

macro_rules! resources {
    ($($kind:ident),+ $(,)?) => {
        /// Group, version and plural of an object's kind; `None` for kinds of Kubernetes, such as Secret.
        pub fn resource(object: &Object) -> Option<ApiResource> {
            match object {
                $(Object::$kind(_) => Some(ApiResource::erase::<$kind>(&())),)+
                _ => None,
            }
        }
    };
}

with_kinds!(resources);

/// The API of a kind: in a namespace, or cluster-wide.
pub fn api_of(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// Cause of a 403 for an object in a namespace that is being deleted: `NamespaceTerminatingCause` of
/// Kubernetes' core/v1, set by the API server's NamespaceLifecycle admission plugin.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// Why a request failed.
#[derive(Debug)]
pub enum Refusal {
    /// The object does not exist, or cannot: its namespace is being deleted. Nothing is left to do.
    Gone,
    /// An object of this name exists.
    Exists,
    /// Another client has written the object since it was read.
    Conflict,
    /// Anything else; worth a retry.
    Failed(SinkError),
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        match &error {
            // A 404 without a name is about the kind: its CRD is not established yet.
            kube::Error::Api(status) if status.is_not_found() && names_an_object(status) => Self::Gone,
            kube::Error::Api(status) if status.code == 403 && has_cause(status, NAMESPACE_TERMINATING) => {
                Self::Gone
            }
            kube::Error::Api(status) if status.is_already_exists() => Self::Exists,
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict,
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

fn has_cause(status: &Status, cause: &str) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|found| found.reason == cause)
}

/// The reference by which an event names an object; `None` for kinds of Kubernetes.
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

/// An owner reference to an extension or a device, so that the garbage collector deletes its Secret with it.
pub fn owned_by(owner: &Object) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    match owner {
        Object::Extension(extension) => extension.controller_owner_ref(&()),
        Object::Device(device) => device.controller_owner_ref(&()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refusal(code: u16, reason: &str, details: Value) -> Refusal {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "in words, which are not read", "reason": reason, "details": details, "code": code,
        });
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())).into()
    }

    #[test]
    fn errors_are_recognised_by_their_codes() {
        // As Kubernetes 1.37 answers to a Secret in a namespace that is being deleted.
        let details = json!({
            "name": "e100-sip", "kind": "secrets",
            "causes": [{
                "reason": "NamespaceTerminating", "message": "namespace acme is being terminated",
                "field": "metadata.namespace",
            }],
        });
        assert!(matches!(refusal(403, "Forbidden", details), Refusal::Gone));
        let object = json!({ "name": "e100-sip", "kind": "secrets" });
        assert!(
            matches!(refusal(403, "Forbidden", object.clone()), Refusal::Failed(_)),
            "a Role is too small"
        );
        assert!(matches!(refusal(404, "NotFound", object.clone()), Refusal::Gone));
        assert!(matches!(refusal(404, "NotFound", json!({})), Refusal::Failed(_)), "no such kind yet");
        assert!(matches!(refusal(409, "AlreadyExists", object.clone()), Refusal::Exists));
        assert!(matches!(refusal(409, "Conflict", object), Refusal::Conflict));
    }
}
