//! SIP passwords made for extensions that name none: a few at a time, one namespace after the other.

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
use crate::resources::Extension;
use crate::secrets::password::generate_password;
use crate::source::{Object, ObjectKey};
use crate::util::turns::Turns;

/// Secrets made at one time.
const MAKERS: usize = 8;
/// What is made within this time is told in one line a namespace.
const TOGETHER: Duration = Duration::from_secs(10);
/// First and longest pause before a Secret is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Secrets that are to be made.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Extensions a Secret is being made for, or will be.
    wanted: HashSet<ObjectKey>,
    waiting: Turns<Work>,
    /// How many are at work.
    makers: usize,
    /// How many were made in each namespace since that was told.
    made: HashMap<String, usize>,
    /// The last one failed.
    failing: bool,
}

struct Work {
    extension: Arc<Extension>,
    failures: u32,
}

impl Secrets {
    /// Makes them through a client.
    pub fn start(client: &Client) -> Self {
        Self { client: client.clone(), queue: Arc::default() }
    }

    /// Has one made for an extension.
    pub fn make(&self, extension: Arc<Extension>) {
        let mut queue = self.lock();
        if queue.wanted.insert(key(&extension)) {
            let namespace = extension.metadata.namespace.clone();
            queue.waiting.push(namespace.as_deref(), Work { extension, failures: 0 });
            self.hire(&mut queue);
        }
    }

    /// Starts one more to work, where there is work and room.
    fn hire(&self, queue: &mut Queue) {
        if queue.makers < MAKERS && !queue.waiting.is_empty() {
            queue.makers += 1;
            tokio::spawn(self.clone().work());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what waits, and ends when nothing does.
    async fn work(self) {
        while let Some(work) = self.next() {
            if self.make_one(&work.extension).await {
                self.lock().wanted.remove(&key(&work.extension));
            } else {
                self.again(work);
            }
        }
    }

    /// The next; none, and then this one ends.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        let next = queue.waiting.take();
        if next.is_none() {
            queue.makers -= 1;
        }
        next
    }

    /// Tells how many were made in a while.
    async fn tell(self) {
        tokio::time::sleep(TOGETHER).await;
        for (namespace, secrets) in std::mem::take(&mut self.lock().made) {
            info!(%namespace, secrets, "SIP passwords were made");
        }
    }

    /// Puts one in again, after a pause in which others are made.
    fn again(&self, Work { extension, failures }: Work) {
        let secrets = self.clone();
        let work = Work { extension, failures: failures.saturating_add(1) };
        tokio::spawn(async move {
            let pause = FIRST_RETRY.saturating_mul(1 << failures.min(16)).min(LONGEST_RETRY);
            tokio::time::sleep(pause).await;
            let mut queue = secrets.lock();
            let namespace = work.extension.metadata.namespace.clone();
            queue.waiting.push(namespace.as_deref(), work);
            secrets.hire(&mut queue);
        });
    }

    /// Makes one; false where that is to be tried again.
    async fn make_one(&self, extension: &Extension) -> bool {
        let Some(secret) = secret_for(extension) else { return true };
        let namespace = extension.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &secret).await.map_err(Refusal::from) {
            Ok(made) => {
                debug!(%namespace, secret = made.metadata.name, "a SIP password was made");
                let mut queue = self.lock();
                queue.failing = false;
                if queue.made.is_empty() {
                    tokio::spawn(self.clone().tell());
                }
                *queue.made.entry(namespace).or_default() += 1;
                true
            }
            // One that is there is never overwritten.
            Err(Refusal::Exists | Refusal::Gone | Refusal::Conflict) => true,
            Err(Refusal::Failed(cause)) => {
                // One line for all that fail together.
                if !std::mem::replace(&mut self.lock().failing, true) {
                    let extension = extension.metadata.name.as_deref();
                    warn!(%namespace, extension, %cause, "Secrets of SIP passwords cannot be made; trying again");
                }
                false
            }
        }
    }
}

fn key(extension: &Arc<Extension>) -> ObjectKey {
    Object::Extension(extension.clone()).key()
}

/// The Secret of an extension that names none.
fn secret_for(extension: &Extension) -> Option<Secret> {
    let name = format!("{}-sip", extension.metadata.name.as_ref()?);
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: extension.metadata.namespace.clone(),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into()),
            owner_references: Some(vec![owned_by(extension)?]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some([("password".to_owned(), ByteString(generate_password().into_bytes()))].into()),
        ..Secret::default()
    })
}
