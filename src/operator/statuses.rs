//! Statuses written to the API server: the latest of each object, a few at a time, until they are.

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
use crate::source::{Object, ObjectKey};

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
        let body = json!({ "metadata": { "uid": object.metadata().uid }, "status": body(status) });
        let mut queue = self.lock();
        let write = Write { object: object.clone(), body, forgotten: queue.forgotten };
        if queue.waiting.insert(key.clone(), write).is_none() {
            queue.order.push_back(key);
        }
        drop(queue);
        self.more.notify_one();
    }

    /// Forgets what waits, and the rest when it fails: somebody else leads. The objects that this
    /// leaves without the status that was put last.
    pub fn clear(&self) -> Vec<ObjectKey> {
        let mut queue = self.lock();
        queue.forgotten += 1;
        queue.order.clear();
        let waiting = std::mem::take(&mut queue.waiting).into_keys();
        waiting.chain(queue.busy.iter().cloned()).collect()
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
                Err(Refusal::Gone) => self.done(&key, None),
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
fn body(status: NewStatus) -> Value {
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
            "resources": (!status.resources.is_empty()).then_some(status.resources),
            "failing": (!status.failing.is_empty()).then_some(status.failing),
        }),
        NewStatus::Trunk(status) => json!({
            "observedGeneration": status.observed_generation,
            "conditions": status.conditions,
            "registered": status.registered,
            "gateways": (!status.gateways.is_empty()).then_some(status.gateways),
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
