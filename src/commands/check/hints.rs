//! What `check`, which has all files, adds to a problem: the name that may have been meant, and that a key
//! that a Secret lacks will not come by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::{About, Effect, Problem, Reason};
use crate::resources::Kind;
use crate::resources::nearest::did_you_mean;
use crate::source::{Change, Object, ObjectKey};

/// The objects of the files, by kind and namespace, and the keys of the Secrets among them.
pub(super) struct Hints<'a> {
    names: BTreeMap<(Kind, Option<&'a str>), Vec<&'a str>>,
    secrets: BTreeMap<ObjectKey, Vec<&'a str>>,
}

impl<'a> Hints<'a> {
    pub fn new(changes: &'a [Change], keys: &'a BTreeSet<ObjectKey>) -> Self {
        let mut names: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for key in keys {
            names.entry((key.kind, key.namespace.as_deref())).or_default().push(&key.name);
        }
        let secret = |change: &'a Change| match change {
            Change::Upsert(object @ Object::Secret(secret)) => {
                let keys = secret.data.iter().flat_map(|data| data.keys());
                Some((object.key(), keys.map(String::as_str).collect()))
            }
            _ => None,
        };
        Self { names, secrets: changes.iter().filter_map(secret).collect() }
    }

    /// The problem with its hint.
    pub fn add(&self, mut problem: Problem) -> Problem {
        if !matches!(problem.reason, Reason::RefNotFound | Reason::CredentialsPending) {
            return problem;
        }
        let Some(About::Object(object)) = &problem.about else { return problem };
        // A missing Secret may be created later. A Secret that exists and lacks the key is an error.
        let keys = match problem.reason {
            Reason::CredentialsPending => self.secrets.get(object),
            _ => None,
        };
        let hint = match keys {
            Some(keys) if keys.is_empty() => "; it has none".to_owned(),
            Some(keys) => format!("; its keys are: {}", keys.join(", ")),
            None => self.meant(object),
        };
        if keys.is_some() {
            problem.effect = Effect::Refused;
            problem.reason = Reason::InvalidSecret;
        }
        problem.message.push_str(&hint);
        problem
    }

    /// A name like that of a missing object, of the same kind and namespace.
    fn meant(&self, object: &ObjectKey) -> String {
        let names = self.names.get(&(object.kind, object.namespace.as_deref()));
        did_you_mean(&object.name, names.into_iter().flatten().copied())
    }
}
