//! The reconcile loop's writes to a cluster: finalizers, Secrets, statuses and events.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tracing::info;

use super::api::{FINALIZER, MANAGER, Refusal, reference};
use super::events::Events;
use super::generated_secrets::Secrets;
use super::status_queue::Statuses;
use crate::compile::claims::tenant_id;
use crate::reconcile::{NewStatus, Note, ResourceSink, SinkError};
use crate::resources::Tenant;
use crate::source::{Change, Object, ObjectKey};
use crate::store::{Removed, tenant_schema};

/// Attempts to change the finalizers of a Tenant that other clients write at the same time.
const MAX_ATTEMPTS: usize = 5;

/// Writes to the API server.
#[derive(Clone)]
pub struct KubeSink {
    client: Client,
    events: Events,
    statuses: Statuses,
    /// False with `--namespaces`: a Role reaches no cluster-wide object.
    cluster_wide: bool,
    secrets: Secrets,
    /// The operator's Lease. Its events outlive tenants and their namespaces.
    lease: ObjectReference,
}

impl KubeSink {
    /// A sink that writes through a client.
    pub fn new(
        client: Client,
        events: Events,
        statuses: Statuses,
        cluster_wide: bool,
        lease: ObjectReference,
    ) -> Self {
        let secrets = Secrets::new(&client);
        Self { client, events, statuses, cluster_wide, secrets, lease }
    }

    fn put_event(&self, object: &Object, note: Note) {
        let Some(regarding) = reference(object) else { return };
        self.events.put(regarding, note);
    }

    /// Replaces the finalizers of a Tenant by those that `change` returns; `None` leaves them. Does nothing
    /// when the Tenant was deleted, or recreated with another UID.
    async fn change_finalizers(
        &self,
        tenant: &Tenant,
        change: impl Fn(&Tenant) -> Option<Vec<String>>,
    ) -> Result<(), SinkError> {
        let (Some(namespace), Some(name)) = (&tenant.metadata.namespace, &tenant.metadata.name) else {
            return Ok(());
        };
        let api: Api<Tenant> = Api::namespaced(self.client.clone(), namespace);
        for _ in 0..MAX_ATTEMPTS {
            let now = match api.get(name).await.map_err(Refusal::from) {
                Ok(now) if now.metadata.uid == tenant.metadata.uid => now,
                Ok(_) | Err(Refusal::Gone) => return Ok(()),
                Err(Refusal::Failed(cause)) => return Err(cause),
                Err(Refusal::Conflict | Refusal::Exists) => continue,
            };
            let Some(finalizers) = change(&now) else { return Ok(()) };
            let patch = json!({ "metadata": {
                "resourceVersion": now.metadata.resource_version, "finalizers": finalizers } });
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            match api.patch(name, &params, &Patch::Merge(patch)).await.map_err(Refusal::from) {
                Ok(_) | Err(Refusal::Gone) => return Ok(()),
                Err(Refusal::Failed(cause)) => return Err(cause),
                Err(Refusal::Conflict | Refusal::Exists) => {}
            }
        }
        Err(SinkError(format!("the Tenant was changed by others during each of {MAX_ATTEMPTS} attempts")))
    }
}

impl ResourceSink for KubeSink {
    fn add_finalizer(&self, tenant: Arc<Tenant>) -> BoxFuture<'static, Result<(), SinkError>> {
        let cluster = self.clone();
        async move {
            if has_finalizer(&tenant) {
                return Ok(());
            }
            cluster
                .change_finalizers(&tenant, |now| {
                    // The API server refuses a new finalizer on an object that is being deleted.
                    let wanted = !has_finalizer(now) && now.metadata.deletion_timestamp.is_none();
                    let others = now.metadata.finalizers.iter().flatten().cloned();
                    wanted.then(|| others.chain([FINALIZER.to_owned()]).collect())
                })
                .await
        }
        .boxed()
    }

    fn remove_finalizer(
        &self,
        tenant: Arc<Tenant>,
        removed: Removed,
    ) -> BoxFuture<'static, Result<(), SinkError>> {
        let cluster = self.clone();
        async move {
            if !has_finalizer(&tenant) {
                return Ok(());
            }
            if let Some(note) = deletion_event(&tenant, removed) {
                if removed == Removed::Retained {
                    // Events of the Tenant are deleted with its namespace, and this one has the id for adoption.
                    let of = Object::Tenant(tenant.clone()).key();
                    let text = format!("{of}: {}", note.text);
                    info!(tenant = %of, "{}", note.text);
                    cluster.events.put(cluster.lease.clone(), Note { text, ..note.clone() });
                }
                cluster.put_event(&Object::Tenant(tenant.clone()), note);
            }
            cluster
                .change_finalizers(&tenant, |now| {
                    let others = now.metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER);
                    has_finalizer(now).then(|| others.cloned().collect())
                })
                .await
        }
        .boxed()
    }

    fn make_credentials(&self, owner: Object) {
        self.secrets.make(owner);
    }

    fn publish(&self, object: &Object, status: NewStatus, notes: Vec<Note>) {
        // With --namespaces, cluster-wide kinds come from files: they have no status on the API server.
        if !self.cluster_wide && object.metadata().namespace.is_none() {
            return;
        }
        self.statuses.put(object, status);
        for note in notes {
            self.put_event(object, note);
        }
    }

    fn overlay_pending(&self, change: &mut Change) {
        self.statuses.overlay_pending(change);
    }

    fn reset(&self) -> Vec<ObjectKey> {
        self.statuses.reset()
    }
}

fn has_finalizer(tenant: &Tenant) -> bool {
    tenant.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
}

/// The event that says what happened to a deleted tenant's data; `None` where there was none.
fn deletion_event(tenant: &Tenant, removed: Removed) -> Option<Note> {
    let id = tenant_id(tenant)?;
    let schema = tenant_schema(id);
    let (reason, text) = match removed {
        Removed::Absent => return None,
        Removed::Retained => (
            "Retained",
            format!(
                "Schema {schema} and the media of the tenant are kept; a Tenant with tenantId {id} adopts them"
            ),
        ),
        Removed::Dropped => ("Dropped", format!("Schema {schema} and the media of the tenant were removed")),
    };
    Some(Note { warning: false, reason: reason.to_owned(), text })
}
