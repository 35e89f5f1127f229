//! Hints that need all files: a similar name that may have been meant, and the keys that a Secret has.

use std::collections::{BTreeMap, BTreeSet};

use super::cascade::{named, named_namespace};
use crate::compile::{Effect, Problem, Reason};
use crate::resources::nearest::did_you_mean;
use crate::source::{Change, Object, ObjectKey};

/// The names in the files, by kind and namespace, and the keys of the Secrets.
pub(super) struct Hints<'a> {
    names: BTreeMap<(&'a str, Option<&'a str>), Vec<&'a str>>,
    secrets: BTreeMap<String, Vec<&'a str>>,
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
                Some((object.key().to_string(), keys.map(String::as_str).collect()))
            }
            _ => None,
        };
        Self { names, secrets: changes.iter().filter_map(secret).collect() }
    }

    /// Adds a hint to the message of a problem.
    pub fn add(&self, mut problem: Problem) -> Problem {
        if !matches!(problem.reason, Reason::RefNotFound | Reason::CredentialsPending) {
            return problem;
        }
        // A missing Secret may come later. A Secret in the files without the key is a mistake.
        let keys = match problem.reason {
            Reason::CredentialsPending => named(&problem).find_map(|name| self.secrets.get(&name)),
            _ => None,
        };
        let hint = match keys {
            Some(keys) if keys.is_empty() => "; it has none".to_owned(),
            Some(keys) => format!("; its keys are: {}", keys.join(", ")),
            None => self.similar_name(&problem),
        };
        if keys.is_some() {
            problem.effect = Effect::Refused;
            problem.reason = Reason::InvalidSecret;
        }
        problem.message.push_str(&hint);
        problem
    }

    /// A hint at a name like the missing one, of the same kind and namespace; empty if there is none.
    fn similar_name(&self, problem: &Problem) -> String {
        let namespace = named_namespace(problem);
        let words: Vec<&str> = problem.message.split([' ', ';', ',', ':']).collect();
        let pairs = words.iter().zip(words.iter().skip(1));
        let like = |(kind, name): (&&str, &&str)| {
            let (namespace, name) = match name.split_once('/') {
                Some((namespace, name)) => (Some(namespace), name),
                None => (namespace, *name),
            };
            let of_kind = |namespace| self.names.get(&(*kind, namespace)).into_iter().flatten().copied();
            let hint = did_you_mean(name, of_kind(namespace).chain(of_kind(None)));
            (!hint.is_empty()).then_some(hint)
        };
        pairs.filter_map(like).next().unwrap_or_default()
    }
}
