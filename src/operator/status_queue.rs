//! The queue of statuses that wait for the API server: the latest of each object, written by a few
//! workers, retried until the API server has it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::api::{MANAGER, Refusal, api_of, resource};
use super::metrics::Metrics;
use crate::reconcile::NewStatus;
use crate::source::{Change, Object, ObjectKey};
use crate::util::backoff::Backoff;
use crate::util::turns::Turns;

/// Concurrent requests, at most.
const MAX_WRITERS: usize = 16;
/// First and longest pause before a failed write is retried.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);

struct Queue {
    /// The latest unwritten status of each object.
    waiting: HashMap<ObjectKey, Write>,
    /// The keys of `waiting` that can be written now; namespaces take turns.
    order: Turns<ObjectKey>,
    /// The keys of `waiting` whose write failed, with the time of the retry.
    delayed: BTreeSet<(Instant, ObjectKey)>,
    /// The backoff of each object whose last write failed.
    backoffs: HashMap<ObjectKey, Backoff>,
    /// While the API server cannot be reached: nothing is written before this time.
    outage_until: Option<Instant>,
    outage_backoff: Backoff,
    /// Objects with a request under way; a newer status waits for its end.
    in_flight: HashSet<ObjectKey>,
    /// The last status queued for each object, with the object's UID, until a watch shows that status.
    pending_echo: HashMap<ObjectKey, (Option<String>, NewStatus)>,
    /// Counts resets: a write that was queued before the last reset is not retried.
    resets: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: Turns::default(),
            delayed: BTreeSet::new(),
            backoffs: HashMap::new(),
            outage_until: None,
            outage_backoff: BACKOFF,
            in_flight: HashSet::new(),
            pending_echo: HashMap::new(),
            resets: 0,
        }
    }
}

impl Queue {
    fn push(&mut self, key: ObjectKey) {
        let namespace = key.namespace.clone();
        self.order.push(namespace.as_deref(), key);
    }
}

struct Write {
    object: Object,
    body: Value,
    /// [`Queue::resets`] when the write was queued.
    resets: u64,
}

/// The queue of statuses. A status that is replaced before it was written is never written.
#[derive(Clone)]
pub struct Statuses {
    queue: Arc<Mutex<Queue>>,
    /// Wakes a writer: a write was queued, or ended.
    wakeup: Arc<Notify>,
}

impl Statuses {
    /// Starts the writers; they end with `stop`.
    pub fn start(client: &Client, metrics: &Metrics, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let statuses = Self { queue: Arc::default(), wakeup: Arc::new(Notify::new()) };
        for _ in 0..MAX_WRITERS {
            let (one, client, stop, metrics) =
                (statuses.clone(), client.clone(), stop.clone(), metrics.clone());
            tasks.spawn(async move { stop.run_until_cancelled(one.run_writer(client, metrics)).await });
        }
        statuses
    }

    /// Queues an object's status, in place of one that waits.
    pub fn put(&self, object: &Object, status: NewStatus) {
        let key = object.key();
        let body = json!({ "status": body(&status) });
        let mut queue = self.lock();
        queue.pending_echo.insert(key.clone(), (object.metadata().uid.clone(), status));
        let write = Write { object: object.clone(), body, resets: queue.resets };
        if queue.waiting.insert(key.clone(), write).is_none() {
            queue.push(key);
        }
        drop(queue);
        self.wakeup.notify_one();
    }

    /// Gives an object from a watch the status that was queued last, where the watch still shows an
    /// older one. A deleted object, and an object that was recreated with another UID, keep the status from
    /// the watch.
    pub fn overlay_pending(&self, change: &mut Change) {
        let key = match change {
            Change::Upsert(object) => object.key(),
            Change::Remove(key) => key.clone(),
            Change::Unreadable(_) => return,
        };
        let mut queue = self.lock();
        let Entry::Occupied(entry) = queue.pending_echo.entry(key) else { return };
        let (uid, status) = entry.get();
        match change {
            Change::Upsert(object) if object.metadata().uid == *uid && !status.matches(object) => {
                status.apply_to(object);
            }
            _ => drop(entry.remove()),
        }
    }

    /// True once a watch has shown the last status of an object, or that the object was deleted.
    fn is_echoed(&self, key: &ObjectKey) -> bool {
        !self.lock().pending_echo.contains_key(key)
    }

    /// Drops all queued writes: another replica may lead by now. Writes under way end, and are not
    /// retried. Returns the objects whose last status no watch has shown.
    pub fn reset(&self) -> Vec<ObjectKey> {
        let mut queue = self.lock();
        queue.resets += 1;
        queue.order.clear();
        queue.delayed.clear();
        queue.backoffs.clear();
        queue.waiting.clear();
        std::mem::take(&mut queue.pending_echo).into_keys().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next write.
    ///
    /// # Errors
    /// When nothing can be written now; with the time of the next retry, if one waits.
    fn next(&self) -> Result<(ObjectKey, Write), Option<Instant>> {
        let (mut queue, now) = (self.lock(), Instant::now());
        if let Some(until) = queue.outage_until.filter(|until| *until > now) {
            return Err(Some(until));
        }
        while queue.delayed.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, key)) = queue.delayed.pop_first()
        {
            queue.push(key);
        }
        for _ in 0..queue.order.len() {
            let Some(key) = queue.order.pop() else { break };
            if queue.in_flight.contains(&key) {
                queue.push(key);
                continue;
            }
            let Some(write) = queue.waiting.remove(&key) else { continue };
            queue.in_flight.insert(key.clone());
            if !queue.order.is_empty() {
                self.wakeup.notify_one();
            }
            return Ok((key, write));
        }
        Err(queue.delayed.first().map(|(due, _)| *due))
    }

    async fn run_writer(self, client: Client, metrics: Metrics) {
        loop {
            let (key, write) = match self.next() {
                Ok(next) => next,
                Err(due) => {
                    tokio::select! {
                        () = self.wakeup.notified() => {}
                        () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                    }
                    continue;
                }
            };
            match patch(&client, &write).await {
                Ok(()) => {
                    metrics.status_written();
                    self.succeeded(&key);
                }
                // Without the echo of the object's deletion, the watch may not have returned the object yet.
                Err(Failure { refusal: Refusal::Gone, .. }) if self.is_echoed(&key) => self.succeeded(&key),
                Err(failure) => self.failed(key, write, &failure),
            }
        }
    }

    /// Notes that a status was written, or that its object was deleted.
    fn succeeded(&self, key: &ObjectKey) {
        let mut queue = self.lock();
        queue.in_flight.remove(key);
        queue.backoffs.remove(key);
        queue.outage_until = None;
        queue.outage_backoff.reset();
        drop(queue);
        self.wakeup.notify_one();
    }

    /// Queues a failed write again, unless a newer status of the object waits. A failure of one object
    /// delays that object alone; an outage of the API server delays all.
    fn failed(&self, key: ObjectKey, write: Write, failure: &Failure) {
        let (mut queue, now) = (self.lock(), Instant::now());
        queue.in_flight.remove(&key);
        let retry = !queue.waiting.contains_key(&key) && write.resets == queue.resets;
        if failure.is_outage {
            // Writes that fail together are one outage: the backoff grows once for all of them.
            if queue.outage_until.is_none_or(|until| until <= now) {
                let refusal = &failure.refusal;
                warn!(object = %key, ?refusal, "statuses cannot be written for now; trying again");
                queue.outage_until = Some(now + queue.outage_backoff.pause());
            }
            if retry {
                queue.waiting.insert(key.clone(), write);
                let namespace = key.namespace.clone();
                queue.order.push_first(namespace.as_deref(), key);
            }
        } else {
            warn!(object = %key, refusal = ?failure.refusal, "a status could not be written; trying again");
            if retry {
                let due = now + queue.backoffs.entry(key.clone()).or_insert(BACKOFF).pause();
                queue.waiting.insert(key.clone(), write);
                queue.delayed.insert((due, key));
            }
        }
        drop(queue);
        self.wakeup.notify_one();
    }
}

/// Why a status was not written.
struct Failure {
    refusal: Refusal,
    /// The API server cannot be reached or is overloaded: every other write would fail too.
    is_outage: bool,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let is_outage = match &error {
            kube::Error::Api(status) => matches!(status.code, 429 | 503),
            _ => true,
        };
        Self { refusal: error.into(), is_outage }
    }
}

/// A status as a merge patch, in which null removes a field.
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
        NewStatus::Device(status) => json!({
            "observedGeneration": status.observed_generation,
            "conditions": status.conditions,
            "provisioningUser": status.provisioning_user,
        }),
    }
}

/// Writes the status subresource. A patch has no UID precondition: for custom resources the API server
/// restores all of `metadata` in a status update. A status that reaches an object that was recreated
/// meanwhile is replaced when the watch shows that object.
async fn patch(client: &Client, write: &Write) -> Result<(), Failure> {
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

    fn overlaid(statuses: &Statuses, object: Object) -> String {
        let mut change = Change::Upsert(object);
        statuses.overlay_pending(&mut change);
        let Change::Upsert(object) = change else { panic!() };
        object.conditions()[0].reason.clone()
    }

    #[test]
    fn a_delayed_watch_does_not_revert_a_status() {
        let statuses = Statuses { queue: Arc::default(), wakeup: Arc::default() };
        statuses.put(&extension("1", "Old"), NewStatus::Conditions(conditions("New")));
        assert_eq!(overlaid(&statuses, extension("1", "Old")), "New");
        assert_eq!(overlaid(&statuses, extension("1", "Older")), "New");
        assert_eq!(overlaid(&statuses, extension("1", "New")), "New");
        assert_eq!(overlaid(&statuses, extension("1", "Theirs")), "Theirs", "it came after the echo of ours");
    }

    fn named(name: &str) -> Object {
        let mut object = extension("1", "Old");
        object.metadata_mut().name = Some(name.to_owned());
        object
    }

    fn failure(is_outage: bool) -> Failure {
        let refusal = Refusal::Failed(crate::reconcile::SinkError("no".to_owned()));
        Failure { refusal, is_outage }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_write_waits_alone_and_an_outage_delays_all() {
        let statuses = Statuses { queue: Arc::default(), wakeup: Arc::default() };
        let put = |name: &str| statuses.put(&named(name), NewStatus::Conditions(conditions("New")));
        let next = || statuses.next().map(|(key, write)| (key.name.clone(), key, write));
        put("bad");
        for failures in 0..12 {
            let (name, key, write) = next().ok().unwrap();
            assert_eq!(name, "bad");
            statuses.failed(key, write, &failure(false));
            put("bad"); // a newer status of the object waits for the retry too
            put("good");
            let (name, key, _) = next().ok().unwrap();
            assert_eq!(name, "good", "no write waits for one that failed");
            statuses.succeeded(&key);
            let due = next().err().unwrap().unwrap();
            let pause = due - Instant::now();
            let longest = FIRST_RETRY.saturating_mul(1 << failures).min(LONGEST_RETRY);
            assert!(pause >= longest / 2 && pause <= longest, "{failures}: {pause:?}");
            tokio::time::advance(pause).await;
        }
        let (_, key, _) = next().ok().unwrap();
        statuses.succeeded(&key);

        put("one");
        put("two");
        let [one, two] = [next().ok().unwrap(), next().ok().unwrap()];
        statuses.failed(one.1, one.2, &failure(true));
        statuses.failed(two.1, two.2, &failure(true));
        put("three");
        let pause = next().err().unwrap().unwrap() - Instant::now();
        assert!(pause <= FIRST_RETRY, "two writes that fail together are one outage: {pause:?}");
        tokio::time::advance(FIRST_RETRY).await;
        let mut names = [(); 3].map(|()| next().ok().unwrap().0);
        names.sort();
        assert_eq!(names, ["one", "three", "two"]);
    }

    #[test]
    fn a_recreated_object_is_another_one() {
        let statuses = Statuses { queue: Arc::default(), wakeup: Arc::default() };
        statuses.put(&extension("1", "Old"), NewStatus::Conditions(conditions("New")));
        assert_eq!(overlaid(&statuses, extension("2", "None")), "None");
        statuses.put(&extension("2", "None"), NewStatus::Conditions(conditions("New")));
        statuses.overlay_pending(&mut Change::Remove(extension("2", "None").key()));
        assert_eq!(statuses.reset(), []);
        statuses.put(&extension("2", "None"), NewStatus::Conditions(conditions("New")));
        assert_eq!(statuses.reset().len(), 1, "it may not have been written");
    }
}
