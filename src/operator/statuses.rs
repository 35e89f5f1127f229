//! Statuses written to the API server: the latest of each object, a few at a time, until they are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::api::{MANAGER, Refusal, api_of, resource};
use super::metrics::Metrics;
use crate::reconcile::NewStatus;
use crate::source::{Change, Object, ObjectKey};

/// Writes under way at one time.
const WRITERS: usize = 16;
/// First and longest pause after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Statuses that wait to be written.
#[derive(Default)]
struct Queue {
    waiting: HashMap<ObjectKey, Write>,
    order: VecDeque<ObjectKey>,
    /// Objects that are being written: their next status waits for that.
    busy: HashSet<ObjectKey>,
    /// What was put last and not seen on a watch yet, with the UID of its object.
    unseen: HashMap<ObjectKey, (Option<String>, NewStatus)>,
    /// Counts the times that what waited was forgotten: what was taken before is not tried again.
    forgotten: u64,
}

struct Write {
    object: Object,
    body: Value,
    forgotten: u64,
}

/// The writing side of statuses. A status that is replaced before it was written never is.
#[derive(Clone)]
pub struct Statuses {
    queue: Arc<Mutex<Queue>>,
    more: Arc<Notify>,
}

impl Statuses {
    /// Starts to write; ends with `stop`.
    pub fn start(client: &Client, metrics: &Metrics, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let statuses = Self { queue: Arc::default(), more: Arc::new(Notify::new()) };
        for _ in 0..WRITERS {
            let (one, client, stop, metrics) =
                (statuses.clone(), client.clone(), stop.clone(), metrics.clone());
            tasks.spawn(async move { stop.run_until_cancelled(one.write_all(client, metrics)).await });
        }
        statuses
    }

    /// Has a status written.
    pub fn put(&self, object: &Object, status: NewStatus) {
        let key = object.key();
        let uid = object.metadata().uid.clone();
        let body = json!({ "metadata": { "uid": &uid }, "status": body(&status) });
        let mut queue = self.lock();
        queue.unseen.insert(key.clone(), (uid, status));
        let write = Write { object: object.clone(), body, forgotten: queue.forgotten };
        if queue.waiting.insert(key.clone(), write).is_none() {
            queue.order.push_back(key);
        }
        drop(queue);
        self.more.notify_one();
    }

    /// Corrects an object that a watch brings with an older status than was put last: the watch is
    /// behind.
    pub fn seen(&self, change: &mut Change) {
        let key = match change {
            Change::Upsert(object) => object.key(),
            Change::Remove(key) => key.clone(),
            Change::Unreadable(_) => return,
        };
        let mut queue = self.lock();
        let Entry::Occupied(entry) = queue.unseen.entry(key) else { return };
        let (uid, status) = entry.get();
        match change {
            Change::Upsert(object) if object.metadata().uid == *uid && !status.is_of(object) => {
                status.put_into(object);
            }
            _ => drop(entry.remove()),
        }
    }

    /// Whether a watch has shown all that was put of an object, or that it is gone.
    fn is_seen(&self, key: &ObjectKey) -> bool {
        !self.lock().unseen.contains_key(key)
    }

    /// Forgets what waits, and the rest when it fails: somebody else leads. The objects that were
    /// not seen to have the status that was put last.
    pub fn clear(&self) -> Vec<ObjectKey> {
        let mut queue = self.lock();
        queue.forgotten += 1;
        queue.order.clear();
        queue.waiting.clear();
        std::mem::take(&mut queue.unseen).into_keys().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<(ObjectKey, Write)> {
        let mut queue = self.lock();
        for _ in 0..queue.order.len() {
            let key = queue.order.pop_front()?;
            if queue.busy.contains(&key) {
                queue.order.push_back(key);
                continue;
            }
            let Some(write) = queue.waiting.remove(&key) else { continue };
            queue.busy.insert(key.clone());
            if !queue.order.is_empty() {
                self.more.notify_one();
            }
            return Some((key, write));
        }
        None
    }

    async fn write_all(self, client: Client, metrics: Metrics) {
        let mut pause = FIRST_RETRY;
        loop {
            let Some((key, write)) = self.take() else {
                self.more.notified().await;
                continue;
            };
            match patch(&client, &write).await {
                Ok(()) => {
                    metrics.status_written();
                    pause = FIRST_RETRY;
                    self.done(&key, None);
                }
                // Gone, or made anew: whoever sees the new one says what is true of it.
                Err(Refusal::Gone) if self.is_seen(&key) => self.done(&key, None),
                Err(refusal) => {
                    warn!(object = %key, ?refusal, "a status could not be written; trying again");
                    self.done(&key, Some(write));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// Takes in that a write has ended; `again` has it tried again, unless a later one waits.
    fn done(&self, key: &ObjectKey, again: Option<Write>) {
        let mut queue = self.lock();
        queue.busy.remove(key);
        let waits = queue.waiting.contains_key(key);
        if let Some(write) = again
            && !waits
            && write.forgotten == queue.forgotten
        {
            queue.waiting.insert(key.clone(), write);
            queue.order.push_back(key.clone());
        }
        drop(queue);
        self.more.notify_one();
    }
}

/// A status as a merge patch: what is empty now is taken away.
fn body(status: &NewStatus) -> Value {
    match status {
        NewStatus::Conditions(conditions) => {
            let generation = conditions.first().and_then(|condition| condition.observed_generation);
            json!({ "observedGeneration": generation, "conditions": conditions })
        }
        NewStatus::Tenant(status) => json!({
            "observedGeneration": status.observed_generation,
            "conditions": status.conditions,
            "tenantId": status.tenant_id,
            "schema": status.schema,
            "resources": (!status.resources.is_empty()).then_some(&status.resources),
            "failing": (!status.failing.is_empty()).then_some(&status.failing),
        }),
        NewStatus::Trunk(status) => json!({
            "observedGeneration": status.observed_generation,
            "conditions": status.conditions,
            "registered": status.registered,
            "gateways": (!status.gateways.is_empty()).then_some(&status.gateways),
        }),
    }
}

async fn patch(client: &Client, write: &Write) -> Result<(), Refusal> {
    let Some(resource) = resource(&write.object) else { return Ok(()) };
    let metadata = write.object.metadata();
    let Some(name) = &metadata.name else { return Ok(()) };
    let api = api_of(client, &resource, metadata.namespace.as_deref());
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    api.patch_status(name, &params, &Patch::Merge(&write.body)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn extension(uid: &str, reason: &str) -> Object {
        let object = json!({
            "apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
            "metadata": { "name": "e100", "namespace": "north", "uid": uid },
            "spec": { "tenantRef": { "name": "north" }, "number": "100" },
            "status": { "conditions": conditions(reason) },
        });
        Object::from_json("Extension", object).unwrap().unwrap()
    }

    fn conditions(reason: &str) -> Vec<Condition> {
        vec![Condition {
            last_transition_time: Time(Timestamp::now()),
            message: String::new(),
            observed_generation: Some(1),
            reason: reason.to_owned(),
            status: "True".to_owned(),
            type_: "Ready".to_owned(),
        }]
    }

    fn seen(statuses: &Statuses, object: Object) -> String {
        let mut change = Change::Upsert(object);
        statuses.seen(&mut change);
        let Change::Upsert(object) = change else { panic!() };
        object.conditions()[0].reason.clone()
    }

    #[test]
    fn a_watch_that_is_behind_takes_nothing_back() {
        let statuses = Statuses { queue: Arc::default(), more: Arc::default() };
        statuses.put(&extension("1", "Old"), NewStatus::Conditions(conditions("New")));
        assert_eq!(seen(&statuses, extension("1", "Old")), "New");
        assert_eq!(seen(&statuses, extension("1", "Older")), "New");
        assert_eq!(seen(&statuses, extension("1", "New")), "New");
        assert_eq!(seen(&statuses, extension("1", "Theirs")), "Theirs", "it came after ours was seen");
    }

    #[test]
    fn an_object_that_was_made_anew_is_another_one() {
        let statuses = Statuses { queue: Arc::default(), more: Arc::default() };
        statuses.put(&extension("1", "Old"), NewStatus::Conditions(conditions("New")));
        assert_eq!(seen(&statuses, extension("2", "None")), "None");
        statuses.put(&extension("2", "None"), NewStatus::Conditions(conditions("New")));
        statuses.seen(&mut Change::Remove(extension("2", "None").key()));
        assert_eq!(statuses.clear(), []);
        statuses.put(&extension("2", "None"), NewStatus::Conditions(conditions("New")));
        assert_eq!(statuses.clear().len(), 1, "it may never have been written");
    }
}
