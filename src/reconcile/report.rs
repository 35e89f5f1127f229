//! Statuses: what the loop, the store and the switches know of each resource, told when it differs
//! from what its status says.

use crate::resources::Kind;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::time::Instant;

use super::jobs::WorkError;
use super::resource_sink::{NewStatus, Note, ResourceSink};
use super::tenant::RowProgress;
use super::{Reconciler, tenant};
use crate::compile::{KeptPart, Problem};
use crate::plan::report::GatewayState;
use crate::resources::Trunk;
use crate::resources::status::TenantStatus;
use crate::source::references::references;
use crate::source::{Object, ObjectKey, ResourceIndex, TenantKey};
use crate::status::acks::{AckTable, Lag};
use crate::status::conditions::stages;
use crate::status::emergency::{is_told, tenant_conditions};
use crate::status::reason::{ACCEPTED, EMERGENCY_TRUNK_USABLE, LIVE, PROGRAMMED, READY, find, is_true};
use crate::status::summary::Summary;
use crate::status::trunk::trunk_status;
use crate::status::{Facts, LastGood, Live, Programmed, conditions};
use crate::store::tenant_schema;

/// How long a change may take to reach all switches before it is told which of them lack it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Problems by the resource they are about.
type ByResource<'a> = HashMap<&'a ObjectKey, Vec<&'a Problem>>;

impl Reconciler {
    /// Looks at one tenant's statuses, or at the platform's; false when there is nothing to look at.
    pub(super) fn report_next(&mut self) -> bool {
        let Some(outside) = self.outside.clone() else {
            self.reports.clear();
            return false;
        };
        match self.reports.take(|_| true) {
            Some((Some(key), _)) => self.report_tenant(&*outside, &key),
            Some((None, _)) => self.report_platform(&*outside),
            None => return false,
        }
        true
    }

    /// Says at once that what takes a value from a Secret is not as it was: no generation tells that the
    /// Secret is another one by now, and compiling and writing take their time.
    pub(super) fn report_rotated(&mut self, owners: BTreeSet<Option<TenantKey>>) {
        let Some(outside) = self.outside.clone() else { return };
        for owner in owners {
            match owner {
                Some(key) => self.report_tenant(&*outside, &key),
                None => self.report_platform(&*outside),
            }
        }
    }

    fn report_tenant(&mut self, outside: &dyn ResourceSink, key: &TenantKey) {
        let set_back = self.set_back;
        let Some(tenant) = self.tenants.get_mut(key).filter(|tenant| tenant.judged || set_back) else {
            return;
        };
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !known.world.has_tenant(key) {
            return; // on its way out: what it leaves behind is told as without a tenant
        }
        let acks = &self.acks;
        let id = tenant.id;
        let last = tenant.rows.revision;
        let lag = |revision| id.filter(|_| acks.heard()).map(|id| acks.lagging(id, revision, last));
        let refused = id.and_then(|id| told(acks.refusals(id).into_iter())).map(Live::Refused);
        let seen = Observed {
            problems: by_resource(&tenant.problems),
            stored: tenant.stored.is_some(),
            set_back,
            details: tenant.rows.applying.is_some_and(|since| since.elapsed() >= PATIENCE),
            rotated: rotated(&tenant.rows),
            stays: tenant.stays.as_ref(),
            lag: &lag,
        };
        let mut summary = Summary::default();
        let mut news = Vec::new();
        for (key, object) in known.world.objects_of(key) {
            // What a switch refuses is told on the Tenant, not on everything it has.
            let refused = refused.clone().filter(|_| key.kind == Kind::Tenant);
            // While nothing is compiled, what was true of the rest stays. After Postgres was set back, what is
            // wrong with a resource is told once that is found out again.
            let accepted = || is_true(stages(object.conditions()), ACCEPTED, object.metadata().generation);
            let stays = tenant.kept && key.kind != Kind::Tenant || !tenant.judged && !accepted();
            let fresh = match stays {
                true => None,
                false => judge(key, object, &seen, &mut tenant.rows, refused),
            };
            if key.kind != Kind::Tenant {
                summary.count(key, fresh.as_deref().unwrap_or(object.conditions()));
            }
            if fresh.is_some() || key.kind == Kind::Tenant {
                news.push((key.clone(), fresh));
            }
        }
        let profile = tenant_profile(&known.world, &known.snapshot, key);
        let failing = std::mem::take(&mut summary.failing);
        let resources = summary.resources(profile.as_ref());
        for (key, fresh) in news {
            match known.world.object_mut(&key) {
                Some(Object::Tenant(object)) => {
                    let before = object.status.clone().unwrap_or_default();
                    let stages = fresh.unwrap_or_else(|| stages(&before.conditions).to_vec());
                    let conditions = match &tenant.stored {
                        Some(row) => {
                            let (row, acks) = (row.emergency.as_ref(), acks.heard().then_some(acks));
                            tenant_conditions(stages, row, acks, &before.conditions, Timestamp::now())
                        }
                        // What was true of it is, as far as anybody knows.
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
                    outside.publish(&Object::Tenant(object.clone()), NewStatus::Tenant(status), notes);
                }
                Some(object) => put(outside, object, fresh),
                None => {}
            }
        }
        drop(known);
        settle(&mut tenant.rows, |at| self.reports.at(Some(key.clone()), at));
    }

    /// Tenants whose statuses say something else of their emergency trunk than is true: what switches
    /// say of gateways belongs to no tenant.
    pub(super) fn untold_emergencies(&self) -> Vec<TenantKey> {
        let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let untold = |(key, tenant): (&TenantKey, &tenant::Tenant)| {
            let row = tenant.stored.as_ref()?.emergency.as_ref()?;
            let object = known.world.object(&key.object())?;
            (!is_told(row, &self.acks, object.conditions())).then(|| key.clone())
        };
        self.tenants.iter().filter_map(untold).collect()
    }

    fn report_platform(&mut self, outside: &dyn ResourceSink) {
        let platform = &mut self.platform;
        let acks = &self.acks;
        let last = platform.rows.revision;
        let lag = |revision| acks.heard().then(|| acks.platform_lagging(revision, last));
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = &mut *known;
        let stays = known.kept.iter().map(|kept| (kept.resource.clone(), kept.part.clone())).collect();
        let seen = Observed {
            problems: by_resource(&known.problems),
            stored: platform.stored.is_some(),
            set_back: self.set_back,
            details: platform.rows.applying.is_some_and(|since| since.elapsed() >= PATIENCE),
            rotated: rotated(&platform.rows),
            stays: Some(&stays).filter(|_| platform.looked_up),
            lag: &lag,
        };
        let news: Vec<_> = known
            .world
            .platform_objects()
            .filter_map(|(key, object)| {
                let fresh = judge(key, object, &seen, &mut platform.rows, held(acks, key));
                (fresh.is_some() || key.kind == Kind::Trunk).then(|| (key.clone(), fresh))
            })
            .collect();
        for (key, fresh) in news {
            match known.world.object_mut(&key) {
                Some(Object::Trunk(trunk)) => {
                    let name = format!("{}/{}", key.namespace.as_deref().unwrap_or_default(), key.name);
                    let gateways = acks.heard().then(|| acks.gateways(&name));
                    put_trunk(outside, trunk, fresh, gateways.as_ref());
                }
                Some(object) => put(outside, object, fresh),
                None => {}
            }
        }
        settle(&mut platform.rows, |at| self.reports.at(None, at));
    }

    /// Resources without a tenant wait for it.
    pub(super) fn report_orphans(&mut self) {
        let Some(outside) = self.outside.clone() else { return };
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = &mut *known;
        for problem in known.orphans.iter() {
            let Some(object) = known.world.object_mut(&problem.resource) else { continue };
            let facts = Facts {
                problems: &[problem],
                programmed: Programmed::Pending,
                live: Live::NoSwitches,
                stays: LastGood::Nothing,
                blocked: None,
            };
            let generation = object.metadata().generation;
            let fresh = conditions(&facts, generation, object.conditions(), Timestamp::now());
            put(&*outside, object, fresh);
        }
    }

    /// Says on a Tenant that its deletion does not end, and why.
    pub(super) fn report_blocked(&mut self, key: &TenantKey, cause: &WorkError) {
        let Some(outside) = self.outside.clone() else { return };
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
        let Some(fresh) = conditions(&facts, generation, &before.conditions, Timestamp::now()) else {
            return;
        };
        let note = Note { warning: true, reason: "CleanupBlocked".to_owned(), text };
        let status = TenantStatus { observed_generation: generation, conditions: fresh, ..before };
        Arc::make_mut(&mut deleting.tenant).status = Some(status.clone());
        outside.publish(&Object::Tenant(deleting.tenant.clone()), NewStatus::Tenant(status), vec![note]);
    }
}

/// Looked for once: few of a large tenant's resources have to be asked what they refer to then.
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

/// What the resources of one tenant, or of the platform, are judged by.
struct Observed<'a> {
    problems: ByResource<'a>,
    stored: bool,
    /// Postgres was set back: what was stored before is not known to be.
    set_back: bool,
    /// Whether it has taken long enough to tell which switches lack it.
    details: bool,
    /// Secrets that are other than what is stored.
    rotated: HashSet<ObjectKey>,
    /// What stays as it was before; none where that was not found out.
    stays: Option<&'a HashMap<ObjectKey, KeptPart>>,
    /// How far a revision is.
    lag: &'a dyn Fn(i64) -> Option<Lag>,
}

/// The conditions of a resource, when they differ from those it has. `held` is what switches could
/// not apply of it, or wait with.
fn judge(
    key: &ObjectKey,
    object: &Object,
    seen: &Observed<'_>,
    rows: &mut RowProgress,
    held: Option<Live>,
) -> Option<Vec<Condition>> {
    if rows.changed.contains(key) {
        return None; // another compile follows
    }
    let Observed { stored, details, lag, .. } = *seen;
    let rotated = !seen.rotated.is_empty() && references(object).iter().any(|key| seen.rotated.contains(key));
    let generation = object.metadata().generation;
    let before = stages(object.conditions());
    let problems = seen.problems.get(key).map_or(&[][..], Vec::as_slice);
    let settled =
        stored && !rotated && rows.failed.is_none() && !rows.since.contains_key(key) && held.is_none();
    if problems.is_empty() && settled && before.len() == 4 && is_true(before, READY, generation) {
        return None; // most resources, most of the time
    }
    // As much as is accepted was in there before, as far as anybody knows: before this process began, too.
    let was_stored = is_true(before, PROGRAMMED, generation)
        && (is_true(before, ACCEPTED, generation) || !problems.is_empty());
    let programmed = match rows.failed {
        _ if stored && !rotated && !rows.unstored.contains(key) => Programmed::Stored,
        _ if seen.set_back && !stored => Programmed::SetBack,
        _ if was_stored && !rotated => Programmed::Stored,
        Some(category) => Programmed::Failed(category),
        None => Programmed::Pending,
    };
    let live = match rows.since.get(key).copied() {
        _ if let Some(held) = held => held,
        Some(revision) => {
            let live = live(lag(revision), details);
            if live == Live::Everywhere {
                rows.since.remove(key);
            }
            live
        }
        // Its row is as it was: what was true of it is.
        None if find(before, LIVE).is_some_and(|found| found.status == "True") => Live::AsBefore,
        None => live(lag(rows.revision), details),
    };
    let stays = match seen.stays {
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

/// What switches have not of a resource of the platform, if that is so.
fn held(acks: &AckTable, key: &ObjectKey) -> Option<Live> {
    let path = [Some(key.kind.as_str()), key.namespace.as_deref(), Some(&key.name)];
    let held = acks.held(&path.into_iter().flatten().collect::<Vec<_>>().join("/"));
    let why = told(held.iter().map(|(switch, held)| (*switch, held.why.as_str())))?;
    Some(if held.iter().all(|(_, held)| held.waits) { Live::Waits(why) } else { Live::Refused(why) })
}

/// What switches say, in words.
fn told<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let told: Vec<String> = said.map(|(switch, why)| format!("{switch}: {why}")).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Puts what is true of a trunk in, when it differs, and has it written. What switches said of its
/// gateways stays until they are heard.
fn put_trunk(
    outside: &dyn ResourceSink,
    trunk: &mut Arc<Trunk>,
    fresh: Option<Vec<Condition>>,
    gateways: Option<&BTreeMap<&str, &[GatewayState]>>,
) {
    let before = trunk.status.clone().unwrap_or_default();
    let stages = fresh.unwrap_or_else(|| stages(&before.conditions).to_vec());
    let status = trunk_status(&trunk.spec, stages, gateways, &before, Timestamp::now());
    if status == before {
        return;
    }
    let notes = notes(&before.conditions, &status.conditions);
    Arc::make_mut(trunk).status = Some(status.clone());
    outside.publish(&Object::Trunk(trunk.clone()), NewStatus::Trunk(status), notes);
}

/// Puts new conditions in, and has them written.
fn put(outside: &dyn ResourceSink, object: &mut Object, fresh: Option<Vec<Condition>>) {
    let Some(fresh) = fresh else { return };
    let notes = notes(object.conditions(), &fresh);
    object.set_conditions(fresh.clone());
    outside.publish(object, NewStatus::Conditions(fresh), notes);
}

/// What a person should know of a change: that something is not accepted, or that emergency calls do
/// not leave by their trunk, why, and that it is well again.
fn notes(before: &[Condition], after: &[Condition]) -> Vec<Note> {
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

/// Looks again later at what not every switch has yet.
fn settle(rows: &mut tenant::RowProgress, later: impl FnOnce(Instant)) {
    match rows.applying {
        Some(_) if rows.since.is_empty() => rows.applying = None,
        Some(since) => later((since + PATIENCE).max(Instant::now() + PATIENCE)),
        None => {}
    }
}

/// What names a Tenant among all objects.
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

    /// A ring group as it was told before, of which nothing changed but what is wrong with it.
    fn told(accepted: &str) -> Object {
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

    /// The status of `Programmed` that is told of it while a write is under way.
    fn programmed(object: &Object, problems: &[&Problem]) -> Option<String> {
        let key = object.key();
        let seen = Observed {
            problems: HashMap::from([(&key, problems.to_vec())]),
            stored: true,
            set_back: false,
            details: false,
            rotated: HashSet::new(),
            stays: Some(&HashMap::new()),
            lag: &|_| None,
        };
        let mut rows = RowProgress { unstored: HashSet::from([key.clone()]), ..RowProgress::default() };
        let fresh = judge(&key, object, &seen, &mut rows, None);
        Some(find(fresh.as_deref()?, PROGRAMMED)?.status.clone())
    }

    #[test]
    fn what_was_left_out_is_not_in_there_before_it_is_written() {
        let key = told("False").key();
        let missing = Problem::degraded(key, "spec.members[0]", Reason::RefNotFound, "nobody".to_owned());
        // Without a member that does not exist it is in there, and stays so.
        assert_eq!(programmed(&told("False"), &[&missing]).as_deref(), Some("True"));
        // The member is there now, and about to be written.
        assert_eq!(programmed(&told("False"), &[]).as_deref(), Some("Unknown"));
        // Nothing was wrong with it: what is written is about something else.
        assert_eq!(programmed(&told("True"), &[]), None);
    }
}
