//! Events of the events.k8s.io API: one each time something becomes true that a person should know.
//!
//! Not `kube::runtime::events::Recorder`: it merges events that differ only in their note.

use futures::StreamExt;
use futures::stream::poll_fn;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::{debug, warn};

use super::api::Refusal;
use crate::reconcile::{Note, SinkError};

/// `reportingController` of every event.
const CONTROLLER: &str = "centrex.dev/operator";
/// Most bytes of a note that the API server accepts.
const MAX_NOTE: usize = 1024;
/// Most bytes of the object's name in an event's name, which has a suffix and 253 bytes at most.
const MAX_NAME: usize = 200;
/// Namespace of events about cluster-wide objects.
const CLUSTER_NAMESPACE: &str = "default";

/// Concurrent requests, at most.
const MAX_CONCURRENT: usize = 8;
/// Most events that wait for a request; more are dropped.
const MAX_WAITING: usize = 1000;

/// The queue of events to write.
#[derive(Clone)]
pub struct Events(Sender<(ObjectReference, Note)>);

impl Events {
    /// Starts the writer; it ends when all clones are dropped.
    pub fn start(client: Client, instance: String) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        tokio::spawn(publish_all(client, instance, waiting));
        Self(queue)
    }

    /// Queues an event. The event is dropped when too many wait: conditions contain the same information.
    pub fn put(&self, regarding: ObjectReference, note: Note) {
        if let Err(dropped) = self.0.try_send((regarding, note)) {
            let (ObjectReference { kind, namespace, name, .. }, note) = dropped.into_inner();
            debug!(kind, namespace, name, reason = note.reason, "an event was dropped: too many wait");
        }
    }
}

async fn publish_all(client: Client, instance: String, mut waiting: Receiver<(ObjectReference, Note)>) {
    let waiting = poll_fn(move |context| waiting.poll_recv(context));
    let publish = |(regarding, note)| publish(client.clone(), instance.clone(), regarding, note);
    waiting.for_each_concurrent(MAX_CONCURRENT, publish).await;
}

/// Writes an event, without a retry: the condition says the same.
pub async fn publish(client: Client, instance: String, regarding: ObjectReference, note: Note) {
    let id = format!("{:x}", Timestamp::now().as_nanosecond());
    if let Err(cause) = publish_once(client, &instance, regarding.clone(), note, &id).await {
        let ObjectReference { kind, namespace, name, .. } = regarding;
        warn!(kind, namespace, name, %cause, "an event could not be written");
    }
}

/// Writes the event of an id, once however often it is called: the id is in the event's name. Nothing is written
/// about an object whose namespace is gone.
///
/// # Errors
/// The API server is away, or refuses the event.
pub async fn publish_once(
    client: Client,
    instance: &str,
    regarding: ObjectReference,
    note: Note,
    id: &str,
) -> Result<(), SinkError> {
    let Some(event) = event(instance, regarding, note, id) else { return Ok(()) };
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client, &namespace);
    match api.create(&PostParams::default(), &event).await.map_err(Refusal::from) {
        Ok(_) | Err(Refusal::Gone | Refusal::Exists | Refusal::Conflict) => Ok(()),
        Err(Refusal::Failed(cause)) => Err(cause),
    }
}

fn event(instance: &str, regarding: ObjectReference, note: Note, id: &str) -> Option<Event> {
    let now = Timestamp::now();
    let mut name = regarding.name.clone()?;
    name.truncate(name.floor_char_boundary(MAX_NAME));
    let mut text = note.text;
    if text.len() > MAX_NOTE {
        text.truncate(text.floor_char_boundary(MAX_NOTE - '…'.len_utf8()));
        text.push('…');
    }
    Some(Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{id}")),
            namespace: Some(regarding.namespace.clone().unwrap_or_else(|| CLUSTER_NAMESPACE.to_owned())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        action: Some("Reconcile".to_owned()),
        reason: Some(note.reason),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        regarding: Some(regarding),
        note: Some(text),
        ..Event::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_too_many_events_the_last_are_dropped() {
        let (queue, mut waiting) = mpsc::channel(2);
        let events = Events(queue);
        for reason in ["1", "2", "3"] {
            let note = Note { warning: true, reason: reason.to_owned(), text: String::new() };
            events.put(ObjectReference::default(), note);
        }
        drop(events);
        let mut reasons = Vec::new();
        while let Some((_, note)) = waiting.recv().await {
            reasons.push(note.reason);
        }
        assert_eq!(reasons, ["1", "2"]);
    }
}
