//! Statuses written to the API server: the latest of each object, a few at a time, until they are.

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

/// Writes under way at one time.
const WRITERS: usize = 16;
/// First and longest pause before a failed write is retried.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);

/// Statuses that wait to be written.
struct Queue {
    waiting: HashMap<ObjectKey, Write>,
    /// Those of them whose turn comes, one namespace after the other.
    order: Turns<ObjectKey>,
    /// Those of them that failed, with the time of their next try.
    resting: BTreeSet<(Instant, ObjectKey)>,
    /// The backoff of each object whose last write failed.
    backoffs: HashMap<ObjectKey, Backoff>,
    /// Until when nothing is written, because the API server cannot be reached.
    away: Option<Instant>,
    outage: Backoff,
    /// Objects that are being written: their next status waits for that.
    busy: HashSet<ObjectKey>,
    /// What was put last and not seen on a watch yet, with the UID of its object.
    unseen: HashMap<ObjectKey, (Option<String>, NewStatus)>,
    /// Counts the times that what waited was forgotten: what was taken before is not tried again.
    forgotten: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: Turns::default(),
            resting: BTreeSet::new(),
            backoffs: HashMap::new(),
            away: None,
            outage: BACKOFF,
            busy: HashSet::new(),
            unseen: HashMap::new(),
            forgotten: 0,
        }
    }
}

impl Queue {
    fn line_up(&mut self, key: ObjectKey) {
        let namespace = key.namespace.clone();
        self.order.push(namespace.as_deref(), key);
    }
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
            queue.line_up(key);
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
        queue.resting.clear();
        queue.backoffs.clear();
        queue.waiting.clear();
        std::mem::take(&mut queue.unseen).into_keys().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next to write; else when there may be one.
    fn take(&self) -> Result<(ObjectKey, Write), Option<Instant>> {
        let (mut queue, now) = (self.lock(), Instant::now());
        if let Some(until) = queue.away.filter(|until| *until > now) {
            return Err(Some(until));
        }
        while queue.resting.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, key)) = queue.resting.pop_first()
        {
            queue.line_up(key);
        }
        for _ in 0..queue.order.len() {
            let Some(key) = queue.order.take() else { break };
            if queue.busy.contains(&key) {
                queue.line_up(key);
                continue;
            }
            let Some(write) = queue.waiting.remove(&key) else { continue };
            queue.busy.insert(key.clone());
            if !queue.order.is_empty() {
                self.more.notify_one();
            }
            return Ok((key, write));
        }
        Err(queue.resting.first().map(|(due, _)| *due))
    }

    async fn write_all(self, client: Client, metrics: Metrics) {
        loop {
            let (key, write) = match self.take() {
                Ok(next) => next,
                Err(due) => {
                    tokio::select! {
                        () = self.more.notified() => {}
                        () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                    }
                    continue;
                }
            };
            match patch(&client, &write).await {
                Ok(()) => {
                    metrics.status_written();
                    self.written(&key);
                }
                // Gone, or made anew: whoever sees the new one says what is true of it.
                Err(Failure { refusal: Refusal::Gone, .. }) if self.is_seen(&key) => self.written(&key),
                Err(failure) => self.failed(key, write, &failure),
            }
        }
    }

    /// Takes in that a status was written, or need not be.
    fn written(&self, key: &ObjectKey) {
        let mut queue = self.lock();
        queue.busy.remove(key);
        queue.backoffs.remove(key);
        queue.away = None;
        queue.outage.reset();
        drop(queue);
        self.more.notify_one();
    }

    /// Takes in that a write failed: it is tried again after a pause of its own, so that it delays no
    /// other, unless a later one waits. Where the API server is away, all wait.
    fn failed(&self, key: ObjectKey, write: Write, failure: &Failure) {
        let (mut queue, now) = (self.lock(), Instant::now());
        queue.busy.remove(&key);
        let again = !queue.waiting.contains_key(&key) && write.forgotten == queue.forgotten;
        if failure.of_the_server {
            // Of those that fail together, one counts.
            if queue.away.is_none_or(|until| until <= now) {
                let refusal = &failure.refusal;
                warn!(object = %key, ?refusal, "statuses cannot be written for now; trying again");
                queue.away = Some(now + queue.outage.pause());
            }
            if again {
                queue.waiting.insert(key.clone(), write);
                let namespace = key.namespace.clone();
                queue.order.push_first(namespace.as_deref(), key);
            }
        } else {
            warn!(object = %key, refusal = ?failure.refusal, "a status could not be written; trying again");
            if again {
                let due = now + queue.backoffs.entry(key.clone()).or_insert(BACKOFF).pause();
                queue.waiting.insert(key.clone(), write);
                queue.resting.insert((due, key));
            }
        }
        drop(queue);
        self.more.notify_one();
    }
}

/// Why a status was not written.
struct Failure {
    refusal: Refusal,
    /// Any other would not have been written either.
    of_the_server: bool,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let of_the_server = match &error {
            kube::Error::Api(status) => matches!(status.code, 429 | 503),
            _ => true,
        };
        Self { refusal: error.into(), of_the_server }
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

    fn named(name: &str) -> Object {
        let mut object = extension("1", "Old");
        object.metadata_mut().name = Some(name.to_owned());
        object
    }

    fn failure(of_the_server: bool) -> Failure {
        let refusal = Refusal::Failed(crate::reconcile::SinkError("no".to_owned()));
        Failure { refusal, of_the_server }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_waits_by_itself_and_an_outage_holds_all() {
        let statuses = Statuses { queue: Arc::default(), more: Arc::default() };
        let put = |name: &str| statuses.put(&named(name), NewStatus::Conditions(conditions("New")));
        let take = || statuses.take().map(|(key, write)| (key.name.clone(), key, write));
        put("bad");
        for failures in 0..12 {
            let (name, key, write) = take().ok().unwrap();
            assert_eq!(name, "bad");
            statuses.failed(key, write, &failure(false));
            put("bad"); // nothing is tried earlier for it
            put("good");
            let (name, key, _) = take().ok().unwrap();
            assert_eq!(name, "good", "it waits for nobody");
            statuses.written(&key);
            let due = take().err().unwrap().unwrap();
            let pause = due - Instant::now();
            let longest = FIRST_RETRY.saturating_mul(1 << failures).min(LONGEST_RETRY);
            assert!(pause >= longest / 2 && pause <= longest, "{failures}: {pause:?}");
            tokio::time::advance(pause).await;
        }
        let (_, key, _) = take().ok().unwrap();
        statuses.written(&key);

        put("one");
        put("two");
        let [one, two] = [take().ok().unwrap(), take().ok().unwrap()];
        statuses.failed(one.1, one.2, &failure(true));
        statuses.failed(two.1, two.2, &failure(true));
        put("three");
        let pause = take().err().unwrap().unwrap() - Instant::now();
        assert!(pause <= FIRST_RETRY, "two writes that fail together are one outage: {pause:?}");
        tokio::time::advance(FIRST_RETRY).await;
        let mut names = [(); 3].map(|()| take().ok().unwrap().0);
        names.sort();
        assert_eq!(names, ["one", "three", "two"]);
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
