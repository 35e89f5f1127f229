//! Secrets with generated passwords, for extensions and devices that name no Secret. A few are created at one
//! time, and namespaces take turns.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use tracing::{debug, info, warn};

use super::api::{MANAGER, Refusal, owned_by};
use crate::secrets::password::generate_password;
use crate::source::references::{generated_keys, generated_secret};
use crate::source::{Object, ObjectKey};
use crate::util::backoff::Backoff;
use crate::util::turns::Turns;

/// Concurrent requests, at most.
const MAX_WORKERS: usize = 8;
/// Secrets created within this time are one log line a namespace.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Pauses before a Secret that could not be created is retried.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// The queue of Secrets to create.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Extensions and devices whose Secret is queued, delayed or being created.
    pending: HashSet<ObjectKey>,
    waiting: Turns<Work>,
    /// Running workers.
    workers: usize,
    /// Secrets created since the last log line, by namespace.
    created: HashMap<String, usize>,
    /// True after a failure until a success: only the first failure is logged.
    failing: bool,
}

struct Work {
    owner: Object,
    backoff: Backoff,
}

impl Secrets {
    /// An empty queue; Secrets are created through a client.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), queue: Arc::default() }
    }

    /// Queues a Secret for an extension or a device, unless one is pending.
    pub fn make(&self, owner: Object) {
        let mut queue = self.lock();
        if queue.pending.insert(owner.key()) {
            let namespace = owner.metadata().namespace.clone();
            queue.waiting.push(namespace.as_deref(), Work { owner, backoff: BACKOFF });
            self.spawn_worker(&mut queue);
        }
    }

    /// Starts a worker, if Secrets wait and fewer than [`MAX_WORKERS`] run.
    fn spawn_worker(&self, queue: &mut Queue) {
        if queue.workers < MAX_WORKERS && !queue.waiting.is_empty() {
            queue.workers += 1;
            tokio::spawn(self.clone().run_worker());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates queued Secrets, and ends when none waits.
    async fn run_worker(self) {
        while let Some(work) = self.next() {
            if self.create(&work.owner).await {
                self.lock().pending.remove(&work.owner.key());
            } else {
                self.retry_later(work);
            }
        }
    }

    /// The next Secret to create. `None` ends the worker, and counts it as ended.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        let next = queue.waiting.pop();
        if next.is_none() {
            queue.workers -= 1;
        }
        next
    }

    /// Logs how many Secrets were created, after [`LOG_INTERVAL`].
    async fn log_created(self) {
        tokio::time::sleep(LOG_INTERVAL).await;
        for (namespace, secrets) in std::mem::take(&mut self.lock().created) {
            info!(%namespace, secrets, "passwords of phones were generated");
        }
    }

    /// Queues a Secret again after its pause. The worker continues with other Secrets.
    fn retry_later(&self, mut work: Work) {
        let secrets = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(work.backoff.pause()).await;
            let mut queue = secrets.lock();
            let namespace = work.owner.metadata().namespace.clone();
            queue.waiting.push(namespace.as_deref(), work);
            secrets.spawn_worker(&mut queue);
        });
    }

    /// Creates the Secret of an extension or a device. Returns false when it has to be retried.
    async fn create(&self, owner: &Object) -> bool {
        let Some(secret) = secret_for(owner) else { return true };
        let namespace = owner.metadata().namespace.clone().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &secret).await.map_err(Refusal::from) {
            Ok(created) => {
                debug!(%namespace, secret = created.metadata.name, "passwords were generated");
                let mut queue = self.lock();
                queue.failing = false;
                if queue.created.is_empty() {
                    tokio::spawn(self.clone().log_created());
                }
                *queue.created.entry(namespace).or_default() += 1;
                true
            }
            // A Secret that exists is never overwritten.
            Err(Refusal::Exists | Refusal::Gone | Refusal::Conflict) => true,
            Err(Refusal::Failed(cause)) => {
                // One line for all failures until the next success.
                if !std::mem::replace(&mut self.lock().failing, true) {
                    let owner = owner.key();
                    warn!(%owner, %cause, "Secrets with passwords cannot be created; trying again");
                }
                false
            }
        }
    }
}

/// The generated Secret of an object; `None` before the API server has given the object a UID.
fn secret_for(owner: &Object) -> Option<Secret> {
    let key = generated_secret(owner)?;
    let password = |name: &&str| ((*name).to_owned(), ByteString(generate_password().into_bytes()));
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(key.name),
            namespace: key.namespace,
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into()),
            owner_references: Some(vec![owned_by(owner)?]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(generated_keys(owner.key().kind).iter().map(password).collect()),
        ..Secret::default()
    })
}
