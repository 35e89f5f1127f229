//! Switch objects: one for each running FreeSWITCH that reports, as each kubelet has a Node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::Notify;
use tracing::warn;

use super::api::{MANAGER, Refusal};
use super::events;
use crate::plan::report::SwitchReport;
use crate::plan::report::{Ack, SwitchInfo};
use crate::reconcile::Note;
use crate::resources::switch::SwitchSpec;
use crate::resources::{API_VERSION, Switch};
use crate::status::reason::{VULNERABLE, find};
use crate::status::switch::{Standing, switch_conditions};

/// Pause before failed writes are retried.
const RETRY: Duration = Duration::from_secs(5);

/// The switches that report, and the Switch objects that have to be written for them.
#[derive(Clone, Default)]
pub struct Switches {
    table: Arc<Mutex<Table>>,
    /// Wakes the writer: the table has changed.
    wakeup: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    reported: BTreeMap<String, ReportedSwitch>,
    /// Names of the objects to write or delete.
    changed: BTreeSet<String>,
    /// True when all objects have to be listed, to delete those of switches that no longer report.
    delete_stale: bool,
}

/// A switch, by its last reports.
#[derive(Clone)]
struct ReportedSwitch {
    info: SwitchInfo,
    findings: SwitchReport,
    standing: Standing,
}

impl Switches {
    /// Records a switch's report.
    pub fn record(&self, ack: &Ack) {
        self.lock().record(ack);
        self.wakeup.notify_one();
    }

    /// Writes the objects as reports come; failed writes are retried.
    pub async fn run(self, client: Client, instance: String) {
        let api: Api<Switch> = Api::all(client.clone());
        loop {
            let (changed, delete_stale) = {
                let mut table = self.lock();
                (std::mem::take(&mut table.changed), std::mem::take(&mut table.delete_stale))
            };
            if changed.is_empty() && !delete_stale {
                self.wakeup.notified().await;
                continue;
            }
            let mut failed = false;
            if delete_stale && let Err(refusal) = self.delete_stale(&api).await {
                warn!(?refusal, "Switch objects could not be listed; trying again");
                self.lock().delete_stale = true;
                failed = true;
            }
            for name in changed {
                let reported = self.lock().reported.get(&name).cloned();
                let written = match reported {
                    Some(reported) => write(&api, &client, &instance, &reported).await,
                    None => delete(&api, &name).await,
                };
                if let Err(refusal) = written {
                    warn!(%name, ?refusal, "a Switch could not be written; trying again");
                    self.lock().changed.insert(name);
                    failed = true;
                }
            }
            if failed {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes the objects of switches that no longer report.
    async fn delete_stale(&self, api: &Api<Switch>) -> Result<(), Refusal> {
        for name in api.list(&Default::default()).await?.iter().map(ResourceExt::name_any) {
            let stale = !self.lock().reported.contains_key(&name);
            if stale {
                delete(api, &name).await?;
            }
        }
        Ok(())
    }
}

impl Table {
    fn record(&mut self, ack: &Ack) {
        match ack {
            Ack::Reset { reporting, silent } => {
                self.reported.clear();
                self.delete_stale = true;
                for (info, state) in reporting {
                    self.put(info, state.findings.clone(), Standing::Reporting);
                }
                for info in silent {
                    self.put(info, SwitchReport::default(), Standing::Silent);
                }
            }
            Ack::Appeared(info, state) => self.put(info, state.findings.clone(), Standing::Reporting),
            Ack::Report { switch, findings } => {
                self.change(switch, |known| known.findings.clone_from(findings))
            }
            Ack::Late(name) => self.change(name, |known| known.standing = Standing::Late),
            Ack::Silent(name) => self.change(name, |known| known.standing = Standing::Silent),
            Ack::Gone(name) => {
                self.reported.remove(name);
                self.changed.insert(name.clone());
            }
            Ack::Revisions { .. } => {}
        }
    }

    fn put(&mut self, info: &SwitchInfo, findings: SwitchReport, standing: Standing) {
        self.reported.insert(info.name.clone(), ReportedSwitch { info: info.clone(), findings, standing });
        self.changed.insert(info.name.clone());
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut ReportedSwitch)) {
        if let Some(known) = self.reported.get_mut(name) {
            change(known);
            self.changed.insert(name.to_owned());
        }
    }
}

async fn delete(api: &Api<Switch>, name: &str) -> Result<(), Refusal> {
    match api.delete(name, &DeleteParams::default()).await.map_err(Refusal::from) {
        Ok(_) | Err(Refusal::Gone) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Writes the object of a switch, and its status where that differs.
async fn write(
    api: &Api<Switch>,
    client: &Client,
    instance: &str,
    reported: &ReportedSwitch,
) -> Result<(), Refusal> {
    let name = &reported.info.name;
    let existing = api.get_opt(name).await?;
    let version = reported.findings.version.as_deref().and_then(version);
    // A sidecar that was not connected to FreeSWITCH yet reports no version: the known one stays.
    let known = || existing.as_ref().and_then(|existing| existing.spec.version.clone());
    let spec = SwitchSpec { hostname: reported.info.hostname.clone(), version: version.or_else(known) };
    let object = match existing {
        Some(existing) if existing.spec == spec => existing,
        _ => {
            let object = json!({
                "apiVersion": API_VERSION, "kind": "Switch", "metadata": { "name": name }, "spec": spec,
            });
            api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await?
        }
    };
    let before = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let findings = SwitchReport { version: object.spec.version.clone(), ..reported.findings.clone() };
    let generation = object.metadata.generation;
    let Some(now) = switch_conditions(reported.standing, &findings, generation, before, Timestamp::now())
    else {
        return Ok(());
    };
    let patch = json!({ "status": { "observedGeneration": generation, "conditions": now } });
    match api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(Refusal::from) {
        Ok(_) | Err(Refusal::Gone) => {}
        Err(refusal) => return Err(refusal),
    }
    let vulnerable = |conditions| find(conditions, VULNERABLE).filter(|found| found.status == "True");
    if let (None, Some(found)) = (vulnerable(before), vulnerable(&now)) {
        let note = Note { warning: true, reason: found.reason.clone(), text: found.message.clone() };
        events::publish(client.clone(), instance.to_owned(), object.object_ref(&()), note).await;
    }
    Ok(())
}

/// The version alone, as `spec.version` allows it: FreeSWITCH adds words about its build.
fn version(reported: &str) -> Option<String> {
    let first = reported.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+~_-".contains(c);
    (first.len() <= 64 && first.chars().all(plain)).then(|| first.to_owned())
}
