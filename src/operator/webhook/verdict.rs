//! The verdict about a proposal: by what the watches told, and before anything is refused, by what
//! the API server says now.
//!
//! A watch is late by milliseconds, on the replica that follows too. What it has not told yet, such as
//! a Namespace made by the same `kubectl apply`, is no reason to refuse.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::compile::Reason;
use crate::reconcile::{AdmissionVerdict, CompileState};
use crate::source::{Change, Object, ObjectKey};

/// Most objects that are read anew for a proposal.
const MOST_READ: usize = 32;
/// How long they may take together: well within the second half of the API server's patience.
const READING: Duration = Duration::from_millis(1500);
/// How much later than the API server a watch may be, where no single object can be asked for.
const LAG: Duration = Duration::from_millis(400);

/// Where objects can be read as they are now.
pub trait Origin: Send + Sync {
    /// Reads one; none where it cannot be asked for.
    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Option<Change>, String>>;
}

/// Judges a proposal; none before everything was listed once.
pub async fn verdict(
    known: &RwLock<CompileState>,
    origin: &dyn Origin,
    object: &Object,
) -> Option<AdmissionVerdict> {
    let first = block_in_place(|| {
        let known = read(known);
        known.is_complete().then(|| known.propose(object.clone()))
    })?;
    if first.refused.is_empty() {
        return Some(first);
    }
    let (mut judged, mut asked, mut news) = (first, BTreeSet::new(), Vec::new());
    // What is read may name others: a Tenant its profile, a number another holder.
    while !judged.refused.is_empty() {
        let stands_on =
            block_in_place(|| fresh(known, &news, |known| known.stands_on(object, &judged.refused)));
        let keys: Vec<ObjectKey> = stands_on.difference(&asked).cloned().collect();
        if keys.is_empty() || asked.len() + keys.len() > MOST_READ {
            break;
        }
        let answers = timeout(READING, join_all(keys.iter().map(|key| origin.get(key)))).await;
        let answers: Result<Vec<Option<Change>>, String> = match answers {
            Ok(answers) => answers.into_iter().collect(),
            Err(_) => Err(format!("no answer in {READING:?}")),
        };
        let changes = match answers {
            Ok(changes) => changes,
            Err(cause) => return Some(undecided(judged, object, &cause)),
        };
        asked.extend(keys);
        {
            let known = read(known);
            news.extend(changes.into_iter().flatten().filter(|change| !known.knows(change)));
        }
        // Also where nothing was new: a watch may have told it meanwhile.
        judged = block_in_place(|| fresh(known, &news, |known| known.propose(object.clone())));
    }
    // Limits and circles stand on many objects: the watches may tell of them in a moment.
    let settled = |reason| matches!(reason, Reason::Conflict | Reason::RefNotPermitted);
    if judged.refused.iter().any(|problem| !settled(problem.reason)) {
        sleep(LAG).await;
        judged = block_in_place(|| fresh(known, &news, |known| known.propose(object.clone())));
    }
    Some(judged)
}

/// Asks what is known, with news that the watches have not told yet.
fn fresh<T>(known: &RwLock<CompileState>, news: &[Change], ask: impl FnOnce(&CompileState) -> T) -> T {
    let known = read(known);
    // A copy of everything: only where there is something new.
    if news.is_empty() { ask(&known) } else { ask(&known.with(news)) }
}

/// What could not be looked at again is not refused: the same rules are checked when it is reconciled.
fn undecided(judged: AdmissionVerdict, object: &Object, cause: &str) -> AdmissionVerdict {
    tracing::warn!(resource = %object.key(), cause, "a proposal is let through: what it stands on could not be read anew");
    let AdmissionVerdict { refused, warnings } = judged;
    AdmissionVerdict { refused: Vec::new(), warnings: refused.into_iter().chain(warnings).collect() }
}

fn read(known: &RwLock<CompileState>) -> RwLockReadGuard<'_, CompileState> {
    known.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt;
    use serde_json::{Value, json};

    use super::*;

    const CREATED: &str = "2026-01-01T00:00:00Z";

    fn object(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Object {
        let uid =
            uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{kind}{namespace:?}{name}").as_bytes());
        let mut object = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "uid": uid, "generation": 1, "creationTimestamp": CREATED}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        Object::from_json(kind, object).unwrap().unwrap()
    }

    fn namespace(name: &str, labels: Value) -> Object {
        let metadata = json!({"name": name, "labels": labels});
        Object::from_json("Namespace", json!({"metadata": metadata})).unwrap().unwrap()
    }

    fn tenant(name: &str) -> Object {
        object("Tenant", Some(name), name, json!({"domains": [format!("{name}.example.com")]}))
    }

    fn number(tenant: &str, year: u32) -> Object {
        let destination = json!({"kind": "Extension", "name": "e100"});
        let trunk = json!({"name": "carrier", "namespace": "carriers"});
        let spec = json!({"tenantRef": {"name": tenant}, "number": "+493012345600", "trunkRef": trunk,
            "destination": destination});
        let mut number = object("Number", Some(tenant), "main", spec);
        let created = format!("{year}-01-01T00:00:00Z").parse().unwrap();
        number.metadata_mut().creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created));
        number
    }

    fn extension(tenant: &str) -> Object {
        object("Extension", Some(tenant), "e100", json!({"tenantRef": {"name": tenant}, "number": "100"}))
    }

    fn platform() -> Vec<Object> {
        let trunk = json!({"sipProfileRef": {"name": "external"}, "gateways": [{"host": "sip.example.com"}],
            "sourceAddresses": ["192.0.2.0/24"],
            "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"carrier": "yes"}}}});
        vec![
            object("SipProfile", None, "external", json!({"role": "Trunks", "sipPort": 5080})),
            object("Trunk", Some("carriers"), "carrier", trunk),
        ]
    }

    fn known(objects: Vec<Object>) -> RwLock<CompileState> {
        let mut known = CompileState::default();
        known.take_in(objects.into_iter().map(Change::Upsert).collect());
        RwLock::new(known)
    }

    /// An API server, or none that answers.
    enum Server {
        Has(BTreeMap<ObjectKey, Object>),
        Silent,
    }

    impl Server {
        fn of(objects: Vec<Object>) -> Self {
            Self::Has(objects.into_iter().map(|object| (object.key(), object)).collect())
        }
    }

    impl Origin for Server {
        fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Option<Change>, String>> {
            let answer = match self {
                Self::Has(objects) => Ok(Some(match objects.get(key) {
                    Some(object) => Change::Upsert(object.clone()),
                    None => Change::Remove(key.clone()),
                })),
                Self::Silent => Err("connection refused".to_owned()),
            };
            async { answer }.boxed()
        }
    }

    async fn judged(known: &RwLock<CompileState>, server: &Server, object: &Object) -> Vec<String> {
        let verdict = verdict(known, server, object).await.unwrap();
        verdict.refused.iter().map(|problem| format!("{} {:?}", problem.field, problem.reason)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_namespace_that_no_watch_has_told_yet_is_read_first() {
        let mut seen = platform();
        seen.extend([tenant("acme"), extension("acme")]);
        let known = known(seen.clone());
        let number = number("acme", 2026);
        let with = |labels: Value| {
            let label = namespace("acme", labels);
            Server::of(seen.iter().cloned().chain([label]).collect())
        };
        assert_eq!(judged(&known, &with(json!({"carrier": "yes"})), &number).await, [""; 0]);
        let refused = ["spec.trunkRef RefNotPermitted"];
        assert_eq!(judged(&known, &with(json!({"carrier": "no"})), &number).await, refused);
        assert_eq!(judged(&known, &with(json!({})), &number).await, refused);
        // Who cannot be asked refuses nothing.
        let verdict = verdict(&known, &Server::Silent, &number).await.unwrap();
        assert_eq!((verdict.refused.len(), verdict.warnings.len()), (0, 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_holder_that_is_gone_holds_nothing_and_one_that_came_holds() {
        let mut seen = platform();
        for name in ["acme", "globex"] {
            seen.extend([namespace(name, json!({"carrier": "yes"})), tenant(name), extension(name)]);
        }
        let held: Vec<Object> = seen.iter().cloned().chain([number("acme", 2024)]).collect();
        let proposed = number("globex", 2026);
        let refused = ["spec.number Conflict"];
        let late = known(held.clone());
        assert_eq!(judged(&late, &Server::of(held.clone()), &proposed).await, refused);
        assert_eq!(judged(&late, &Server::of(seen.clone()), &proposed).await, [""; 0]);
        // The tenant is gone, and its Number not yet.
        let orphaned = held.iter().filter(|object| object.key() != tenant("acme").key()).cloned();
        assert_eq!(judged(&late, &Server::of(orphaned.collect()), &proposed).await, [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_limit_is_looked_at_again_a_moment_later() {
        let profile = object("TenantProfile", None, "small", json!({"maxExtensions": 1}));
        let spec = json!({"domains": ["acme.example.com"], "profileRef": {"name": "small"}});
        let mut young = object(
            "Extension",
            Some("acme"),
            "e101",
            json!({"tenantRef": {"name": "acme"}, "number": "101"}),
        );
        young.metadata_mut().creation_timestamp = None;
        let seen = vec![profile, object("Tenant", Some("acme"), "acme", spec), extension("acme")];
        let (full, server) = (known(seen.clone()), Server::of(seen));
        assert_eq!(judged(&full, &server, &young).await, ["metadata.name LimitExceeded"]);
        let watch = async {
            sleep(LAG / 4).await;
            full.write().unwrap().take_in(vec![Change::Remove(extension("acme").key())]);
        };
        let (judged, ()) = tokio::join!(judged(&full, &server, &young), watch);
        assert_eq!(judged, [""; 0]);
    }
}
