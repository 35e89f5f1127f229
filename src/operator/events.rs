//! Events: what a person should know of an object, once for each time it became true.

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
use crate::reconcile::Note;

/// Who reports.
const CONTROLLER: &str = "centrex.dev/operator";
/// Most bytes of a note the API server takes.
const MAX_NOTE: usize = 1024;
/// Most bytes of the object's name in that of an event, so that the whole stays a legal name.
const MAX_NAME: usize = 200;
/// Namespace of events about cluster-wide objects.
const CLUSTER_NAMESPACE: &str = "default";

/// Events under way at one time, and those that wait for that, at most.
const CONCURRENT: usize = 8;
const MOST_WAITING: usize = 1000;

/// Events to be written, a few at a time.
#[derive(Clone)]
pub struct Events(Sender<(ObjectReference, Note)>);

impl Events {
    /// Starts to write; ends when nobody has events any more.
    pub fn start(client: Client, instance: String) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(publish_all(client, instance, waiting));
        Self(queue)
    }

    /// Has an event written. Of too many at once the last are left out: conditions say the same.
    pub fn put(&self, regarding: ObjectReference, note: Note) {
        if let Err(left_out) = self.0.try_send((regarding, note)) {
            let (ObjectReference { kind, namespace, name, .. }, note) = left_out.into_inner();
            debug!(kind, namespace, name, reason = note.reason, "an event is left out: too many wait");
        }
    }
}

async fn publish_all(client: Client, instance: String, mut waiting: Receiver<(ObjectReference, Note)>) {
    let waiting = poll_fn(move |context| waiting.poll_recv(context));
    let publish = |(regarding, note)| publish(client.clone(), instance.clone(), regarding, note);
    waiting.for_each_concurrent(CONCURRENT, publish).await;
}

/// Writes an event. It is not worth a second try: the condition says the same.
pub async fn publish(client: Client, instance: String, regarding: ObjectReference, note: Note) {
    let Some(event) = event(&instance, regarding.clone(), note) else { return };
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client, &namespace);
    match api.create(&PostParams::default(), &event).await.map_err(Refusal::from) {
        Ok(_) | Err(Refusal::Gone | Refusal::Exists | Refusal::Conflict) => {}
        Err(Refusal::Failed(cause)) => {
            let ObjectReference { kind, namespace, name, .. } = regarding;
            warn!(kind, namespace, name, %cause, "an event could not be written");
        }
    }
}

fn event(instance: &str, regarding: ObjectReference, note: Note) -> Option<Event> {
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
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
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
    async fn of_too_many_events_the_last_are_left_out() {
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
