//! Publishes a resource's status, where it differs, and the events for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use uuid::Uuid;

use super::resource_sink::{NewStatus, Note, ResourceSink};
use crate::compile::provisioning_user;
use crate::plan::report::GatewayState;
use crate::resources::status::DeviceStatus;
use crate::resources::{Device, Trunk};
use crate::source::Object;
use crate::status::conditions::stages;
use crate::status::reason::{ACCEPTED, EMERGENCY_TRUNK_USABLE, find};
use crate::status::trunk::trunk_status;

/// Publishes the status of a trunk, if it differs. The states of its gateways stay until switches report
/// (`gateways` is `None`).
pub(super) fn publish_trunk(
    sink: &dyn ResourceSink,
    trunk: &mut Arc<Trunk>,
    updated: Option<Vec<Condition>>,
    gateways: Option<&BTreeMap<&str, &[GatewayState]>>,
) {
    let before = trunk.status.clone().unwrap_or_default();
    let stages = updated.unwrap_or_else(|| stages(&before.conditions).to_vec());
    let status = trunk_status(&trunk.spec, stages, gateways, &before, Timestamp::now());
    if status == before {
        return;
    }
    let notes = notes(&before.conditions, &status.conditions);
    Arc::make_mut(trunk).status = Some(status.clone());
    sink.publish(&Object::Trunk(trunk.clone()), NewStatus::Trunk(status), notes);
}

/// Whether the status of a Device of a tenant does not say by which user its phone fetches.
pub(super) fn lacks_user(object: &Object, tenant: Option<Uuid>) -> bool {
    let (Object::Device(device), Some(tenant)) = (object, tenant) else { return false };
    let held = device.status.as_ref().and_then(|status| status.provisioning_user.as_deref());
    held != Some(provisioning_user(tenant, &device.name_any()).as_str())
}

/// Publishes the status of a Device, if it differs. The user needs the identity of its tenant.
pub(super) fn publish_device(
    sink: &dyn ResourceSink,
    device: &mut Arc<Device>,
    updated: Option<Vec<Condition>>,
    tenant: Option<Uuid>,
) {
    let before = device.status.clone().unwrap_or_default();
    let conditions = updated.unwrap_or_else(|| before.conditions.clone());
    let user = tenant.map(|tenant| provisioning_user(tenant, &device.name_any()));
    let status = DeviceStatus {
        observed_generation: conditions.first().and_then(|condition| condition.observed_generation),
        conditions,
        provisioning_user: user.or(before.provisioning_user.clone()),
    };
    if status == before {
        return;
    }
    let notes = notes(&before.conditions, &status.conditions);
    Arc::make_mut(device).status = Some(status.clone());
    sink.publish(&Object::Device(device.clone()), NewStatus::Device(status), notes);
}

/// Sets new conditions on an object, and publishes them.
pub(super) fn publish_conditions(
    sink: &dyn ResourceSink,
    object: &mut Object,
    updated: Option<Vec<Condition>>,
) {
    let Some(updated) = updated else { return };
    let notes = notes(object.conditions(), &updated);
    object.set_conditions(updated.clone());
    sink.publish(object, NewStatus::Conditions(updated), notes);
}

/// Events for a change of conditions: a resource is not accepted, or emergency calls cannot use their trunk; and
/// the recovery from either.
pub(super) fn notes(before: &[Condition], after: &[Condition]) -> Vec<Note> {
    [ACCEPTED, EMERGENCY_TRUNK_USABLE].into_iter().filter_map(|type_| note(type_, before, after)).collect()
}

fn note(type_: &str, before: &[Condition], after: &[Condition]) -> Option<Note> {
    let (old, new) = (find(before, type_), find(after, type_)?);
    let same = old.is_some_and(|old| {
        (&old.status, &old.reason, &old.message) == (&new.status, &new.reason, &new.message)
    });
    let was_wrong = old.is_some_and(|old| old.status == "False");
    let warning = new.status == "False";
    (!same && (warning || was_wrong)).then(|| Note {
        warning,
        reason: new.reason.clone(),
        text: new.message.clone(),
    })
}
