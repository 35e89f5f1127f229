//! Objects that exist and cannot be parsed. An event on the object says so; a status cannot, because
//! the previous status of an object that is not parsed is unknown.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use tracing::error;

use super::events::Events;
use crate::reconcile::Note;
use crate::resources::API_VERSION;
use crate::resources::Kind;
use crate::source::{Change, ObjectKey, Unreadable};

/// The objects that cannot be parsed, and why.
pub struct UnreadableObjects {
    events: Events,
    all: BTreeMap<ObjectKey, String>,
}

impl UnreadableObjects {
    /// An empty set; `events` publishes objects that are added.
    pub fn new(events: Events) -> Self {
        Self { events, all: BTreeMap::new() }
    }

    /// Applies changes of the watches and logs unreadable objects. Only the leader publishes events.
    pub fn apply_changes(&mut self, changes: &[Change], leads: bool) {
        for change in changes {
            match change {
                Change::Unreadable(Unreadable { key, message, .. }) => {
                    error!(
                        resource = %key,
                        "the resource cannot be read: {message}; until it is corrected or deleted, any previous version of it \
                         stays in force and stored"
                    );
                    if leads {
                        self.publish(key, message);
                    }
                    self.all.insert(key.clone(), message.clone());
                }
                Change::Upsert(object) if !self.all.is_empty() => drop(self.all.remove(&object.key())),
                Change::Upsert(_) => {}
                Change::Remove(key) => drop(self.all.remove(key)),
            }
        }
    }

    /// Publishes an event for each object: the events of a new leader.
    pub fn publish_all(&self) {
        for (key, message) in &self.all {
            self.publish(key, message);
        }
    }

    fn publish(&self, key: &ObjectKey, message: &str) {
        let core = matches!(key.kind, Kind::Secret | Kind::ConfigMap | Kind::Namespace);
        let regarding = ObjectReference {
            api_version: Some(if core { "v1" } else { API_VERSION }.to_owned()),
            kind: Some(key.kind.to_string()),
            namespace: key.namespace.clone(),
            name: Some(key.name.clone()),
            ..ObjectReference::default()
        };
        let text =
            format!("the object cannot be read, and any previous version of it stays in force: {message}");
        self.events.put(regarding, Note { warning: true, reason: "Unreadable".to_owned(), text });
    }
}
