//! What the reconcile loop asks of a cluster.

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
use super::secrets::Secrets;
use super::statuses::Statuses;
use crate::compile::claims::tenant_id;
use crate::reconcile::{NewStatus, Note, ResourceSink, SinkError};
use crate::resources::{Extension, Tenant};
use crate::source::{Change, Object, ObjectKey};
use crate::store::{Removed, tenant_schema};

/// How often a finalizer is tried that somebody else's write got in the way of.
const ATTEMPTS: usize = 5;

/// A cluster, as the loop writes to it.
#[derive(Clone)]
pub struct KubeSink {
    client: Client,
    events: Events,
    statuses: Statuses,
    /// False in the mode of a list of namespaces.
    cluster_wide: bool,
    secrets: Secrets,
    /// The operator's Lease, which outlives tenants and their namespaces.
    lease: ObjectReference,
}

impl KubeSink {
    /// A cluster, written to in the name of this replica.
    pub fn new(
        client: Client,
        events: Events,
        statuses: Statuses,
        cluster_wide: bool,
        lease: ObjectReference,
    ) -> Self {
        let secrets = Secrets::start(&client);
        Self { client, events, statuses, cluster_wide, secrets, lease }
    }

    fn note(&self, object: &Object, note: Note) {
        let Some(regarding) = reference(object) else { return };
        self.events.put(regarding, note);
    }

    /// Changes the finalizers of a Tenant, if it still is the one that is meant.
    async fn finalizers(
        &self,
        tenant: &Tenant,
        change: impl Fn(&Tenant) -> Option<Vec<String>>,
    ) -> Result<(), SinkError> {
        let (Some(namespace), Some(name)) = (&tenant.metadata.namespace, &tenant.metadata.name) else {
            return Ok(());
        };
        let api: Api<Tenant> = Api::namespaced(self.client.clone(), namespace);
        for _ in 0..ATTEMPTS {
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
        Err(SinkError("others write the Tenant all the time".to_owned()))
    }
}

impl ResourceSink for KubeSink {
    fn hold(&self, tenant: Arc<Tenant>) -> BoxFuture<'static, Result<(), SinkError>> {
        let cluster = self.clone();
        async move {
            if holds(&tenant) {
                return Ok(());
            }
            cluster
                .finalizers(&tenant, |now| {
                    // The API server takes no new finalizer on what is being deleted.
                    let wanted = !holds(now) && now.metadata.deletion_timestamp.is_none();
                    let others = now.metadata.finalizers.iter().flatten().cloned();
                    wanted.then(|| others.chain([FINALIZER.to_owned()]).collect())
                })
                .await
        }
        .boxed()
    }

    fn release(&self, tenant: Arc<Tenant>, removed: Removed) -> BoxFuture<'static, Result<(), SinkError>> {
        let cluster = self.clone();
        async move {
            if !holds(&tenant) {
                return Ok(());
            }
            if let Some(note) = farewell(&tenant, removed) {
                if removed == Removed::Retained {
                    // Events of the Tenant go with its namespace, and this is what it can be adopted by.
                    let of = Object::Tenant(tenant.clone()).key();
                    let text = format!("{of}: {}", note.text);
                    info!(tenant = %of, "{}", note.text);
                    cluster.events.put(cluster.lease.clone(), Note { text, ..note.clone() });
                }
                cluster.note(&Object::Tenant(tenant.clone()), note);
            }
            cluster
                .finalizers(&tenant, |now| {
                    let others = now.metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER);
                    holds(now).then(|| others.cloned().collect())
                })
                .await
        }
        .boxed()
    }

    fn make_credentials(&self, extension: Arc<Extension>) {
        self.secrets.make(extension);
    }

    fn publish(&self, object: &Object, status: NewStatus, notes: Vec<Note>) {
        // The cluster's own kinds come from files then, and a Role reaches no status of theirs.
        if !self.cluster_wide && object.metadata().namespace.is_none() {
            return;
        }
        self.statuses.put(object, status);
        for note in notes {
            self.note(object, note);
        }
    }

    fn seen(&self, change: &mut Change) {
        self.statuses.seen(change);
    }

    fn forget(&self) -> Vec<ObjectKey> {
        self.statuses.clear()
    }
}

fn holds(tenant: &Tenant) -> bool {
    tenant.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
}

/// What became of a tenant's data.
fn farewell(tenant: &Tenant, removed: Removed) -> Option<Note> {
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
