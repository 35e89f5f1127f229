//! Statuses: computes each resource's conditions from the last compile, the store and the switches' reports,
//! and publishes those that differ from its status.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::time::Instant;

use super::jobs::WorkError;
use super::publish::{lacks_user, notes, publish_conditions, publish_device, publish_trunk};
use super::resource_sink::{NewStatus, Note, ResourceSink};
use super::tenant::RowProgress;
use super::{Reconciler, tenant};
use crate::compile::{KeptPart, Problem};
use crate::resources::Kind;
use crate::resources::status::TenantStatus;
use crate::source::references::references;
use crate::source::{Object, ObjectKey, ResourceIndex, TenantKey};
use crate::status::acks::{AckTable, Lag};
use crate::status::conditions::stages;
use crate::status::emergency::{is_current, tenant_conditions};
use crate::status::reason::{ACCEPTED, EMERGENCY_TRUNK_USABLE, LIVE, PROGRAMMED, READY, find, is_true};
use crate::status::summary::Summary;
use crate::status::{Facts, LastGood, Live, Programmed, conditions};
use crate::store::tenant_schema;

/// Time after which the status of an applying change names the switches that lack it. Also the interval of
/// rechecks.
const DETAIL_DELAY: Duration = Duration::from_secs(5);

/// Problems by resource.
type ByResource<'a> = HashMap<&'a ObjectKey, Vec<&'a Problem>>;

impl Reconciler {
    /// Publishes the statuses of one tenant, or of the platform, if one is due. Returns false if none is.
    pub(super) fn report_next(&mut self) -> bool {
        let Some(sink) = self.sink.clone() else {
            self.reports.clear();
            return false;
        };
        match self.reports.pop_due(|_| true) {
            Some((Some(key), _)) => self.report_tenant(&*sink, &key),
            Some((None, _)) => self.report_platform(&*sink),
            None => return false,
        }
        true
    }

    /// Publishes at once that the resources which refer to a changed Secret are not programmed. Their generation
    /// does not show the change, and the write may take a while.
    pub(super) fn report_rotated(&mut self, owners: BTreeSet<Option<TenantKey>>) {
        let Some(sink) = self.sink.clone() else { return };
        for owner in owners {
            match owner {
                Some(key) => self.report_tenant(&*sink, &key),
                None => self.report_platform(&*sink),
            }
        }
    }

    /// Publishes the statuses of a Tenant and its resources, where they differ.
    fn report_tenant(&mut self, sink: &dyn ResourceSink, key: &TenantKey) {
        let set_back = self.role.is_set_back();
        let Some(tenant) = self.tenants.get_mut(key).filter(|tenant| tenant.was_compiled || set_back) else {
            return;
        };
        let mut state = self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !state.world.has_tenant(key) {
            return; // being removed: its resources are reported as orphans
        }
        let acks = &self.acks;
        let id = tenant.id;
        let last = tenant.rows.revision;
        let lag = |revision| id.filter(|_| acks.is_synced()).map(|id| acks.lagging(id, revision, last));
        let refused = id.and_then(|id| join_reports(acks.refusals(id).into_iter())).map(Live::Refused);
        let observed = Observed {
            problems: by_resource(&tenant.problems),
            stored: tenant.stored.is_some(),
            set_back,
            details: tenant.rows.applying_since.is_some_and(|since| since.elapsed() >= DETAIL_DELAY),
            rotated: rotated(&tenant.rows),
            stays: tenant.stays.as_ref(),
            lag: &lag,
        };
        let mut summary = Summary::default();
        let mut updates = Vec::new();
        for (key, object) in state.world.objects_of(key) {
            // A switch's refusal is reported on the Tenant, not on all its resources.
            let refused = refused.clone().filter(|_| key.kind == Kind::Tenant);
            // While the tenant is not compiled, its resources keep their conditions. After Postgres was set
            // back, a resource that was not accepted keeps them until the next compile.
            let accepted = || is_true(stages(object.conditions()), ACCEPTED, object.metadata().generation);
            let stays = tenant.held && key.kind != Kind::Tenant || !tenant.was_compiled && !accepted();
            let updated = match stays {
                true => None,
                false => updated_conditions(key, object, &observed, &mut tenant.rows, refused),
            };
            if key.kind != Kind::Tenant {
                summary.count(key, updated.as_deref().unwrap_or(object.conditions()));
            }
            if updated.is_some() || key.kind == Kind::Tenant || lacks_user(object, id) {
                updates.push((key.clone(), updated));
            }
        }
        let profile = tenant_profile(&state.world, &state.snapshot, key);
        let failing = std::mem::take(&mut summary.failing);
        let resources = summary.resources(profile.as_ref());
        for (key, updated) in updates {
            match state.world.object_mut(&key) {
                Some(Object::Tenant(object)) => {
                    let before = object.status.clone().unwrap_or_default();
                    let stages = updated.unwrap_or_else(|| stages(&before.conditions).to_vec());
                    let conditions = match &tenant.stored {
                        Some(row) => {
                            let (row, acks) = (row.emergency.as_ref(), acks.is_synced().then_some(acks));
                            tenant_conditions(stages, row, acks, &before.conditions, Timestamp::now())
                        }
                        // Not stored yet: the previous condition stays.
                        None => {
                            let own = find(&before.conditions, EMERGENCY_TRUNK_USABLE).cloned();
                            stages.into_iter().chain(own).collect()
                        }
                    };
                    let generation = conditions.first().and_then(|condition| condition.observed_generation);
                    let status = TenantStatus {
                        observed_generation: generation,
                        conditions,
                        tenant_id: id.map(|id| id.to_string()).or(before.tenant_id.clone()),
                        schema: id.map(tenant_schema).or(before.schema.clone()),
                        resources: resources.clone(),
                        failing: failing.clone(),
                    };
                    if status == before {
                        continue;
                    }
                    let notes = notes(&before.conditions, &status.conditions);
                    Arc::make_mut(object).status = Some(status.clone());
                    sink.publish(&Object::Tenant(object.clone()), NewStatus::Tenant(status), notes);
                }
                Some(Object::Device(device)) => publish_device(sink, device, updated, id),
                Some(object) => publish_conditions(sink, object, updated),
                None => {}
            }
        }
        drop(state);
        schedule_recheck(&mut tenant.rows, |at| self.reports.at(Some(key.clone()), at));
    }

    /// Tenants whose condition about the emergency trunk is out of date. A switch's report about gateways names
    /// no tenant, so all are compared.
    pub(super) fn stale_emergencies(&self) -> Vec<TenantKey> {
        let state = self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stale = |(key, tenant): (&TenantKey, &tenant::Tenant)| {
            let row = tenant.stored.as_ref()?.emergency.as_ref()?;
            let object = state.world.object(&key.object())?;
            (!is_current(row, &self.acks, object.conditions())).then(|| key.clone())
        };
        self.tenants.iter().filter_map(stale).collect()
    }

    /// Publishes the statuses of the platform's resources, where they differ.
    fn report_platform(&mut self, sink: &dyn ResourceSink) {
        let platform = &mut self.platform;
        let acks = &self.acks;
        let last = platform.rows.revision;
        let lag = |revision| acks.is_synced().then(|| acks.platform_lagging(revision, last));
        let mut state = self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = &mut *state;
        let stays = state.kept.iter().map(|kept| (kept.resource.clone(), kept.part.clone())).collect();
        let observed = Observed {
            problems: by_resource(&state.problems),
            stored: platform.stored.is_some(),
            set_back: self.role.is_set_back(),
            details: platform.rows.applying_since.is_some_and(|since| since.elapsed() >= DETAIL_DELAY),
            rotated: rotated(&platform.rows),
            stays: Some(&stays).filter(|_| platform.looked_up),
            lag: &lag,
        };
        let updates: Vec<_> = state
            .world
            .platform_objects()
            .filter_map(|(key, object)| {
                let updated =
                    updated_conditions(key, object, &observed, &mut platform.rows, not_applied(acks, key));
                (updated.is_some() || key.kind == Kind::Trunk).then(|| (key.clone(), updated))
            })
            .collect();
        for (key, updated) in updates {
            match state.world.object_mut(&key) {
                Some(Object::Trunk(trunk)) => {
                    let name = format!("{}/{}", key.namespace.as_deref().unwrap_or_default(), key.name);
                    let gateways = acks.is_synced().then(|| acks.gateways(&name));
                    publish_trunk(sink, trunk, updated, gateways.as_ref());
                }
                Some(object) => publish_conditions(sink, object, updated),
                None => {}
            }
        }
        schedule_recheck(&mut platform.rows, |at| self.reports.at(None, at));
    }

    /// Publishes that resources without a Tenant wait for it.
    pub(super) fn report_orphans(&mut self) {
        let Some(sink) = self.sink.clone() else { return };
        let mut state = self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = &mut *state;
        for problem in state.orphans.iter() {
            let Some(object) = state.world.object_mut(&problem.resource) else { continue };
            let facts = Facts {
                problems: &[problem],
                programmed: Programmed::Pending,
                live: Live::NoSwitches,
                stays: LastGood::Nothing,
                blocked: None,
            };
            let generation = object.metadata().generation;
            let updated = conditions(&facts, generation, object.conditions(), Timestamp::now());
            publish_conditions(&*sink, object, updated);
        }
    }

    /// Publishes on a Tenant why its deletion is blocked.
    pub(super) fn report_blocked(&mut self, key: &TenantKey, cause: &WorkError) {
        let Some(sink) = self.sink.clone() else { return };
        let Some(deleting) = self.deleting.get_mut(key) else { return };
        let text = format!("The data of the tenant cannot be removed: {cause}");
        let before = deleting.tenant.status.clone().unwrap_or_default();
        let facts = Facts {
            problems: &[],
            programmed: Programmed::Stored,
            live: Live::AsBefore,
            stays: LastGood::Nothing,
            blocked: Some(&text),
        };
        let generation = deleting.tenant.metadata.generation;
        let Some(updated) = conditions(&facts, generation, &before.conditions, Timestamp::now()) else {
            return;
        };
        let note = Note { warning: true, reason: "CleanupBlocked".to_owned(), text };
        let status = TenantStatus { observed_generation: generation, conditions: updated, ..before };
        Arc::make_mut(&mut deleting.tenant).status = Some(status.clone());
        sink.publish(&Object::Tenant(deleting.tenant.clone()), NewStatus::Tenant(status), vec![note]);
    }
}

/// Secrets that changed and are not stored yet. Collected once per tenant: if there are none, no resource's
/// references are read.
fn rotated(rows: &RowProgress) -> HashSet<ObjectKey> {
    rows.changed.iter().chain(&rows.unstored).filter(|key| key.kind == Kind::Secret).cloned().collect()
}

fn by_resource(problems: &[Problem]) -> ByResource<'_> {
    let mut by_resource = ByResource::new();
    for problem in problems {
        by_resource.entry(&problem.resource).or_default().push(problem);
    }
    by_resource
}

/// State that the conditions of one tenant's resources, or of the platform's, are computed from.
struct Observed<'a> {
    problems: ByResource<'a>,
    /// Whether a write has succeeded since this process leads.
    stored: bool,
    /// Whether Postgres was set back: rows that were stored before may be missing.
    set_back: bool,
    /// Whether conditions name the switches that lack a change, because it takes long.
    details: bool,
    /// Secrets that changed and are not stored yet.
    rotated: HashSet<ObjectKey>,
    /// Resources whose last good rows or fields stay in force; `None` while that is unknown.
    stays: Option<&'a HashMap<ObjectKey, KeptPart>>,
    /// How many switches hold a revision; `None` before the first report.
    lag: &'a dyn Fn(i64) -> Option<Lag>,
}

/// The conditions of a resource, if they differ from its present ones. `not_applied` is what switches could not
/// apply of the resource, or postpone.
fn updated_conditions(
    key: &ObjectKey,
    object: &Object,
    observed: &Observed<'_>,
    rows: &mut RowProgress,
    not_applied: Option<Live>,
) -> Option<Vec<Condition>> {
    if rows.changed.contains(key) {
        return None; // another compile follows
    }
    let Observed { stored, details, lag, .. } = *observed;
    let rotated =
        !observed.rotated.is_empty() && references(object).iter().any(|key| observed.rotated.contains(key));
    let generation = object.metadata().generation;
    let before = stages(object.conditions());
    let problems = observed.problems.get(key).map_or(&[][..], Vec::as_slice);
    let is_steady = stored
        && !rotated
        && rows.failed.is_none()
        && !rows.required_revisions.contains_key(key)
        && not_applied.is_none();
    if problems.is_empty() && is_steady && before.len() == 4 && is_true(before, READY, generation) {
        return None; // most resources, most of the time
    }
    // By its conditions, the accepted part was stored before, perhaps by a previous process.
    let was_stored = is_true(before, PROGRAMMED, generation)
        && (is_true(before, ACCEPTED, generation) || !problems.is_empty());
    let programmed = match rows.failed {
        _ if stored && !rotated && !rows.unstored.contains(key) => Programmed::Stored,
        _ if observed.set_back && !stored => Programmed::SetBack,
        _ if was_stored && !rotated => Programmed::Stored,
        Some(category) => Programmed::Failed(category),
        None => Programmed::Pending,
    };
    let live = match rows.required_revisions.get(key).copied() {
        _ if let Some(live) = not_applied => live,
        Some(revision) => {
            let live = live(lag(revision), details);
            if live == Live::Everywhere {
                rows.required_revisions.remove(key);
            }
            live
        }
        // Its row did not change, and neither does the condition.
        None if find(before, LIVE).is_some_and(|found| found.status == "True") => Live::AsBefore,
        None => live(lag(rows.revision), details),
    };
    let stays = match observed.stays {
        None => LastGood::AsBefore,
        Some(stays) => match stays.get(key) {
            None => LastGood::Nothing,
            Some(KeptPart::Whole(of)) => LastGood::Whole(*of),
            Some(KeptPart::Fields(fields)) => LastGood::Fields(fields),
        },
    };
    let facts = Facts { problems, programmed, live, stays, blocked: None };
    conditions(&facts, generation, before, Timestamp::now())
}

fn live(lag: Option<Lag>, details: bool) -> Live {
    match lag {
        None => Live::AsBefore,
        Some(lag) if lag.reporting == 0 => Live::NoSwitches,
        Some(lag) if lag.have == lag.reporting => Live::Everywhere,
        Some(lag) if details => {
            let missing = lag.missing.join(", ");
            Live::Applying(Some(format!(
                "{}/{} switches answer with it; missing: {missing}",
                lag.have, lag.reporting
            )))
        }
        Some(_) => Live::Applying(None),
    }
}

/// What switches could not apply of a resource of the platform, or postpone.
fn not_applied(acks: &AckTable, key: &ObjectKey) -> Option<Live> {
    let path = [Some(key.kind.as_str()), key.namespace.as_deref(), Some(&key.name)];
    let held = acks.not_applied(&path.into_iter().flatten().collect::<Vec<_>>().join("/"));
    let why = join_reports(held.iter().map(|(switch, held)| (*switch, held.why.as_str())))?;
    Some(if held.iter().all(|(_, held)| held.waits) { Live::Waits(why) } else { Live::Refused(why) })
}

/// The reports of switches as one text; `None` if there are none.
fn join_reports<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let reports: Vec<String> = said.map(|(switch, why)| format!("{switch}: {why}")).collect();
    (!reports.is_empty()).then(|| reports.join("; "))
}

/// Schedules another report while some switch lacks a changed row.
fn schedule_recheck(rows: &mut tenant::RowProgress, later: impl FnOnce(Instant)) {
    match rows.applying_since {
        Some(_) if rows.required_revisions.is_empty() => rows.applying_since = None,
        Some(since) => later((since + DETAIL_DELAY).max(Instant::now() + DETAIL_DELAY)),
        None => {}
    }
}

/// The profile that a Tenant refers to.
fn tenant_profile(
    world: &ResourceIndex,
    snapshot: &crate::source::PlatformSnapshot,
    key: &TenantKey,
) -> Option<crate::resources::tenant_profile::TenantProfileSpec> {
    let Some(Object::Tenant(tenant)) = world.object(&key.object()) else { return None };
    let profile = snapshot.tenant_profiles.get(&tenant.spec.profile_ref.as_ref()?.name)?;
    Some(profile.spec.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compile::Reason;

    /// A ring group with published conditions: programmed and live, and accepted as given.
    fn ring_group(accepted: &str) -> Object {
        let conditions: Vec<_> = [
            (ACCEPTED, accepted),
            (PROGRAMMED, "True"),
            (LIVE, "True"),
            (READY, accepted),
        ]
        .map(|(type_, status)| {
            json!({ "type": type_, "status": status, "reason": "Told", "message": "", "observedGeneration": 1,
                        "lastTransitionTime": "2026-11-22T00:00:00Z" })
        })
        .into();
        let object = json!({
            "apiVersion": "centrex.dev/v1alpha1", "kind": "RingGroup",
            "metadata": { "name": "sales", "namespace": "acme", "generation": 1 },
            "spec": { "tenantRef": { "name": "acme" }, "number": "2000", "members": [] },
            "status": { "conditions": conditions },
        });
        Object::from_json("RingGroup", object).unwrap().unwrap()
    }

    /// The new status of `Programmed` while a write is under way; `None` if no condition changes.
    fn programmed(object: &Object, problems: &[&Problem]) -> Option<String> {
        let key = object.key();
        let observed = Observed {
            problems: HashMap::from([(&key, problems.to_vec())]),
            stored: true,
            set_back: false,
            details: false,
            rotated: HashSet::new(),
            stays: Some(&HashMap::new()),
            lag: &|_| None,
        };
        let mut rows = RowProgress { unstored: HashSet::from([key.clone()]), ..RowProgress::default() };
        let updated = updated_conditions(&key, object, &observed, &mut rows, None);
        Some(find(updated.as_deref()?, PROGRAMMED)?.status.clone())
    }

    #[test]
    fn what_was_left_out_is_not_in_there_before_it_is_written() {
        let key = ring_group("False").key();
        let missing = Problem::degraded(key, "spec.members[0]", Reason::RefNotFound, "nobody".to_owned());
        // Stored without the missing member: stays programmed.
        assert_eq!(programmed(&ring_group("False"), &[&missing]).as_deref(), Some("True"));
        // The member exists now, and its write is pending.
        assert_eq!(programmed(&ring_group("False"), &[]).as_deref(), Some("Unknown"));
        // It had no problem: the pending write concerns another resource.
        assert_eq!(programmed(&ring_group("True"), &[]), None);
    }
}
