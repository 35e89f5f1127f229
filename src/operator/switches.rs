//! Switch objects: one for each running FreeSWITCH that reports, as a kubelet has its Node.

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

/// Pause before what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The switches there are, and which of their objects may differ from that.
#[derive(Clone, Default)]
pub struct Switches {
    table: Arc<Mutex<Table>>,
    more: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    there: BTreeMap<String, ReportedSwitch>,
    changed: BTreeSet<String>,
    /// Whether there may be objects of switches that are gone.
    anew: bool,
}

/// A switch as it is known.
#[derive(Clone)]
struct ReportedSwitch {
    info: SwitchInfo,
    findings: SwitchReport,
    standing: Standing,
}

impl Switches {
    /// Takes a switch's report in.
    pub fn take(&self, ack: &Ack) {
        self.lock().take(ack);
        self.more.notify_one();
    }

    /// Keeps the objects; what fails is tried again.
    pub async fn keep(self, client: Client, instance: String) {
        let api: Api<Switch> = Api::all(client.clone());
        loop {
            let (changed, anew) = {
                let mut table = self.lock();
                (std::mem::take(&mut table.changed), std::mem::take(&mut table.anew))
            };
            if changed.is_empty() && !anew {
                self.more.notified().await;
                continue;
            }
            let mut failed = false;
            if anew && let Err(refusal) = self.tidy(&api).await {
                warn!(?refusal, "Switch objects could not be listed; trying again");
                self.lock().anew = true;
                failed = true;
            }
            for name in changed {
                let seen = self.lock().there.get(&name).cloned();
                let written = match seen {
                    Some(seen) => write(&api, &client, &instance, &seen).await,
                    None => remove(&api, &name).await,
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

    /// Removes the objects of switches that are gone.
    async fn tidy(&self, api: &Api<Switch>) -> Result<(), Refusal> {
        for name in api.list(&Default::default()).await?.iter().map(ResourceExt::name_any) {
            let gone = !self.lock().there.contains_key(&name);
            if gone {
                remove(api, &name).await?;
            }
        }
        Ok(())
    }
}

impl Table {
    fn take(&mut self, ack: &Ack) {
        match ack {
            Ack::Reset { reporting, silent } => {
                self.there.clear();
                self.anew = true;
                for (info, state) in reporting {
                    self.put(info, state.findings.clone(), Standing::Reporting);
                }
                for info in silent {
                    self.put(info, SwitchReport::default(), Standing::Silent);
                }
            }
            Ack::Appeared(info, state) => self.put(info, state.findings.clone(), Standing::Reporting),
            Ack::Found { switch, findings } => self.change(switch, |seen| seen.findings.clone_from(findings)),
            Ack::Late(name) => self.change(name, |seen| seen.standing = Standing::Late),
            Ack::Silent(name) => self.change(name, |seen| seen.standing = Standing::Silent),
            Ack::Gone(name) => {
                self.there.remove(name);
                self.changed.insert(name.clone());
            }
            Ack::Revisions { .. } => {}
        }
    }

    fn put(&mut self, info: &SwitchInfo, findings: SwitchReport, standing: Standing) {
        self.there.insert(info.name.clone(), ReportedSwitch { info: info.clone(), findings, standing });
        self.changed.insert(info.name.clone());
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut ReportedSwitch)) {
        if let Some(seen) = self.there.get_mut(name) {
            change(seen);
            self.changed.insert(name.to_owned());
        }
    }
}

async fn remove(api: &Api<Switch>, name: &str) -> Result<(), Refusal> {
    match api.delete(name, &DeleteParams::default()).await.map_err(Refusal::from) {
        Ok(_) | Err(Refusal::Gone) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Makes the object what is known of the switch.
async fn write(
    api: &Api<Switch>,
    client: &Client,
    instance: &str,
    seen: &ReportedSwitch,
) -> Result<(), Refusal> {
    let name = &seen.info.name;
    let there = api.get_opt(name).await?;
    let version = seen.findings.version.as_deref().and_then(version);
    // One that was not asked says nothing of its version: the one that is known stays.
    let known = || there.as_ref().and_then(|there| there.spec.version.clone());
    let spec = SwitchSpec { hostname: seen.info.hostname.clone(), version: version.or_else(known) };
    let object = match there {
        Some(there) if there.spec == spec => there,
        _ => {
            let object = json!({
                "apiVersion": API_VERSION, "kind": "Switch", "metadata": { "name": name }, "spec": spec,
            });
            api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await?
        }
    };
    let before = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let findings = SwitchReport { version: object.spec.version.clone(), ..seen.findings.clone() };
    let generation = object.metadata.generation;
    let Some(now) = switch_conditions(seen.standing, &findings, generation, before, Timestamp::now()) else {
        return Ok(());
    };
    let patch = json!({ "status": { "observedGeneration": generation, "conditions": now } });
    match api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(Refusal::from) {
        Ok(_) | Err(Refusal::Gone) => {}
        Err(refusal) => return Err(refusal),
    }
    let holes = |conditions| find(conditions, VULNERABLE).filter(|found| found.status == "True");
    if let (None, Some(found)) = (holes(before), holes(&now)) {
        let note = Note { warning: true, reason: found.reason.clone(), text: found.message.clone() };
        events::publish(client.clone(), instance.to_owned(), object.object_ref(&()), note).await;
    }
    Ok(())
}

/// A version as an object may have it; FreeSWITCH's may be followed by words of its build.
fn version(said: &str) -> Option<String> {
    let first = said.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+~_-".contains(c);
    (first.len() <= 64 && first.chars().all(plain)).then(|| first.to_owned())
}
