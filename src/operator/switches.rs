//! Switch objects: one for each running FreeSWITCH that reports, as a kubelet has its Node.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::warn;

use super::api::{MANAGER, Refusal};
use crate::resources::{API_VERSION, Switch};
use crate::status::acks::{Ack, SwitchInfo};
use crate::status::reason::{READY, find};

/// Follows the switches' reports, and keeps their objects. What fails is tried again with the next
/// report of the switch, and at the next start.
pub async fn keep(client: Client, mut acks: mpsc::Receiver<Ack>) {
    let api: Api<Switch> = Api::all(client);
    while let Some(ack) = acks.recv().await {
        let result = match ack {
            Ack::Reset { reporting, silent } => {
                let reporting = reporting.into_iter().map(|(info, _)| info).collect();
                reset(&api, reporting, silent).await
            }
            Ack::Appeared(info, _) => reporting(&api, &info).await,
            Ack::Silent(name) => not_heard(&api, &name).await,
            Ack::Gone(name) => match api.delete(&name, &DeleteParams::default()).await.map_err(Refusal::from)
            {
                Ok(_) | Err(Refusal::Gone) => Ok(()),
                Err(refusal) => Err(refusal),
            },
            Ack::Revisions { .. } => Ok(()),
        };
        if let Err(refusal) = result {
            warn!(?refusal, "a Switch could not be written");
        }
    }
}

/// Makes the objects those of the switches there are.
async fn reset(api: &Api<Switch>, heard: Vec<SwitchInfo>, silent: Vec<SwitchInfo>) -> Result<(), Refusal> {
    for there in api.list(&Default::default()).await? {
        let name = there.name_any();
        if !heard.iter().chain(&silent).any(|info| info.name == name) {
            api.delete(&name, &DeleteParams::default()).await?;
        }
    }
    for info in &heard {
        reporting(api, info).await?;
    }
    for info in &silent {
        apply(api, info).await?;
        not_heard(api, &info.name).await?;
    }
    Ok(())
}

async fn reporting(api: &Api<Switch>, info: &SwitchInfo) -> Result<(), Refusal> {
    apply(api, info).await?;
    condition(api, &info.name, "True", "Reporting", "Its sidecar reports").await
}

async fn not_heard(api: &Api<Switch>, name: &str) -> Result<(), Refusal> {
    condition(api, name, "Unknown", "Silent", "It has not been heard for 30 s").await
}

async fn apply(api: &Api<Switch>, info: &SwitchInfo) -> Result<(), Refusal> {
    let there = api.get_opt(&info.name).await?;
    let same = there
        .is_some_and(|there| (&there.spec.hostname, &there.spec.version) == (&info.hostname, &info.version));
    if same {
        return Ok(());
    }
    let object = json!({
        "apiVersion": API_VERSION, "kind": "Switch", "metadata": { "name": info.name },
        "spec": { "hostname": info.hostname, "version": info.version },
    });
    let object = without_nulls(object);
    api.patch(&info.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await?;
    Ok(())
}

async fn condition(
    api: &Api<Switch>,
    name: &str,
    status: &str,
    reason: &str,
    message: &str,
) -> Result<(), Refusal> {
    let now = match api.get(name).await.map_err(Refusal::from) {
        Ok(now) => now,
        Err(Refusal::Gone) => return Ok(()),
        Err(refusal) => return Err(refusal),
    };
    let before = now.status.as_ref().and_then(|status| find(&status.conditions, READY));
    if before.is_some_and(|before| (before.status.as_str(), before.reason.as_str()) == (status, reason)) {
        return Ok(());
    }
    let condition = Condition {
        type_: READY.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: now.metadata.generation,
        last_transition_time: Time(Timestamp::now()),
    };
    let patch = json!({ "status": { "conditions": [condition] } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

fn without_nulls(mut object: serde_json::Value) -> serde_json::Value {
    if let Some(spec) = object.get_mut("spec").and_then(serde_json::Value::as_object_mut) {
        spec.retain(|_, value| !value.is_null());
    }
    object
}
