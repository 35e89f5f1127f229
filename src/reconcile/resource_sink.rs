//! Interface of the loop to the API server: finalizers, Secrets, statuses and events. Standalone has none.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::resources::Tenant;
use crate::resources::status::{DeviceStatus, TenantStatus, TrunkStatus};
use crate::source::{Change, Object, ObjectKey};
use crate::store::Removed;

/// Why a request to the API server failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the API server: {0}")]
pub struct SinkError(pub String);

/// A status to write.
#[derive(Clone, Debug, PartialEq)]
pub enum NewStatus {
    /// Of a kind whose status has only conditions.
    Conditions(Vec<Condition>),
    /// Of a Tenant.
    Tenant(TenantStatus),
    /// Of a Trunk.
    Trunk(TrunkStatus),
    /// Of a Device.
    Device(DeviceStatus),
}

impl NewStatus {
    /// Whether an object has this status. Times are not compared: the API server drops fractions of seconds.
    pub fn matches(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::Tenant(status), Object::Tenant(tenant)) => tenant.status.as_ref().is_some_and(|held| {
                let rest = TenantStatus { conditions: status.conditions.clone(), ..held.clone() };
                same(&status.conditions, &held.conditions) && *status == rest
            }),
            (Self::Trunk(status), Object::Trunk(trunk)) => trunk.status.as_ref().is_some_and(|held| {
                let rest = TrunkStatus { conditions: status.conditions.clone(), ..held.clone() };
                same(&status.conditions, &held.conditions) && *status == rest
            }),
            (Self::Device(status), Object::Device(device)) => device.status.as_ref().is_some_and(|held| {
                let rest = DeviceStatus { conditions: status.conditions.clone(), ..held.clone() };
                same(&status.conditions, &held.conditions) && *status == rest
            }),
            (Self::Tenant(_) | Self::Trunk(_) | Self::Device(_), _) => false,
            (Self::Conditions(conditions), _) => same(conditions, object.conditions()),
        }
    }

    /// Sets the status on an object.
    pub fn apply_to(&self, object: &mut Object) {
        match (self, object) {
            (Self::Tenant(status), Object::Tenant(tenant)) => {
                Arc::make_mut(tenant).status = Some(status.clone())
            }
            (Self::Trunk(status), Object::Trunk(trunk)) => Arc::make_mut(trunk).status = Some(status.clone()),
            (Self::Device(status), Object::Device(device)) => {
                Arc::make_mut(device).status = Some(status.clone())
            }
            (Self::Tenant(_) | Self::Trunk(_) | Self::Device(_), _) => {}
            (Self::Conditions(conditions), object) => object.set_conditions(conditions.clone()),
        }
    }
}

fn same(one: &[Condition], other: &[Condition]) -> bool {
    let same = |(one, other): (&Condition, &Condition)| {
        (&one.type_, &one.status, &one.reason, &one.message, one.observed_generation)
            == (&other.type_, &other.status, &other.reason, &other.message, other.observed_generation)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// An event for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should act.
    pub warning: bool,
    /// Reason, one word in CamelCase.
    pub reason: String,
    /// Message for people.
    pub text: String,
}

/// Writes to the API server what the loop asks for.
pub trait ResourceSink: Send + Sync {
    /// Adds the finalizer to a Tenant, so that its data is retained or dropped before it is deleted.
    /// Called before anything of the tenant is stored, and only for a tenant that won its claims.
    fn add_finalizer(&self, tenant: Arc<Tenant>) -> BoxFuture<'static, Result<(), SinkError>>;

    /// Removes the finalizer of a Tenant whose data was retained or dropped, and publishes an event that
    /// says which.
    fn remove_finalizer(
        &self,
        tenant: Arc<Tenant>,
        removed: Removed,
    ) -> BoxFuture<'static, Result<(), SinkError>>;

    /// Makes the generated Secret of an extension or a device that has none.
    fn make_credentials(&self, owner: Object);

    /// Queues a status and its events.
    fn publish(&self, object: &Object, status: NewStatus, notes: Vec<Note>);

    /// Called with every change before the loop applies it. A watch lags behind the statuses that were
    /// published: an object with an older status gets the pending one, so that the loop compares with that.
    fn overlay_pending(&self, change: &mut Change);

    /// Drops queued status writes: another replica may lead by now. Returns the objects whose last status
    /// no watch has shown.
    fn reset(&self) -> Vec<ObjectKey>;
}
