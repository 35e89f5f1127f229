//! Objects that are there and cannot be read: an event says so to those who look at the object. A
//! status does not, for what is not read has none that could be gone on from.

use crate::resources::Kind;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use tracing::error;

use super::events::Events;
use crate::reconcile::Note;
use crate::resources::API_VERSION;
use crate::source::{Change, ObjectKey, Unreadable};

/// What cannot be read, and why.
pub struct UnreadableObjects {
    events: Events,
    all: BTreeMap<ObjectKey, String>,
}

impl UnreadableObjects {
    /// None yet; told by these events.
    pub fn new(events: Events) -> Self {
        Self { events, all: BTreeMap::new() }
    }

    /// Takes in what the watches saw, and logs it; the replica that leads tells it too.
    pub fn take_in(&mut self, changes: &[Change], leads: bool) {
        for change in changes {
            match change {
                Change::Unreadable(Unreadable { key, message, .. }) => {
                    error!(
                        resource = %key,
                        "it cannot be read: {message}; until it can be, or is deleted, what was read of it before \
                         stays in force, and what is stored of it stays stored"
                    );
                    if leads {
                        self.tell(key, message);
                    }
                    self.all.insert(key.clone(), message.clone());
                }
                Change::Upsert(object) if !self.all.is_empty() => drop(self.all.remove(&object.key())),
                Change::Upsert(_) => {}
                Change::Remove(key) => drop(self.all.remove(key)),
            }
        }
    }

    /// Tells all of them, at the beginning of a time of leadership.
    pub fn tell_all(&self) {
        for (key, message) in &self.all {
            self.tell(key, message);
        }
    }

    fn tell(&self, key: &ObjectKey, message: &str) {
        let core = matches!(key.kind, Kind::Secret | Kind::ConfigMap | Kind::Namespace);
        let regarding = ObjectReference {
            api_version: Some(if core { "v1" } else { API_VERSION }.to_owned()),
            kind: Some(key.kind.to_string()),
            namespace: key.namespace.clone(),
            name: Some(key.name.clone()),
            ..ObjectReference::default()
        };
        let text = format!("it cannot be read, and nothing new of it is in force: {message}");
        self.events.put(regarding, Note { warning: true, reason: "Unreadable".to_owned(), text });
    }
}
