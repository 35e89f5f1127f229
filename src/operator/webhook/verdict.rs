//! The verdict about a proposed object: compiled with what the watches have delivered, and, before anything is
//! refused, with what the API server has now.
//!
//! Watches lag by milliseconds, on followers too. An object that has not arrived yet, such as a Namespace of the
//! same `kubectl apply`, is no reason to refuse.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::compile::Reason;
use crate::reconcile::{AdmissionVerdict, CompileState};
use crate::source::{Change, Object, ObjectKey};

/// Most objects that are read from the API server for one proposal.
const MAX_READS: usize = 32;
/// How long these reads may take together: well within half of the webhook's `timeoutSeconds`.
const READ_TIMEOUT: Duration = Duration::from_millis(1500);
/// How far a watch may lag behind the API server, where no single object can be read instead.
const WATCH_LAG: Duration = Duration::from_millis(400);

/// Reads objects as they are on the API server now.
pub trait ObjectReader: Send + Sync {
    /// Reads one object; `None` where this operator has no right to.
    fn get<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<Option<Change>, String>>;
}

/// Compiles a proposed object; `None` before every kind was listed once.
pub async fn verdict(
    state: &RwLock<CompileState>,
    objects: &dyn ObjectReader,
    object: &Object,
) -> Option<AdmissionVerdict> {
    let first = block_in_place(|| {
        let state = read(state);
        state.is_ready().then(|| state.review(object.clone()))
    })?;
    if first.refused.is_empty() {
        return Some(first);
    }
    let (mut verdict, mut read_keys, mut fresh) = (first, BTreeSet::new(), Vec::new());
    // An object that was read may refer to others: a Tenant to its profile, a number to its holder.
    while !verdict.refused.is_empty() {
        let depends_on = block_in_place(|| {
            with_fresh(state, &fresh, |state| state.admission_inputs(object, &verdict.refused))
        });
        let keys: Vec<ObjectKey> = depends_on.difference(&read_keys).cloned().collect();
        if keys.is_empty() || read_keys.len() + keys.len() > MAX_READS {
            break;
        }
        let answers = timeout(READ_TIMEOUT, join_all(keys.iter().map(|key| objects.get(key)))).await;
        let answers: Result<Vec<Option<Change>>, String> = match answers {
            Ok(answers) => answers.into_iter().collect(),
            Err(_) => Err(format!("no answer within {READ_TIMEOUT:?}")),
        };
        let changes = match answers {
            Ok(changes) => changes,
            Err(cause) => return Some(admit_undecided(verdict, object, &cause)),
        };
        read_keys.extend(keys);
        {
            let state = read(state);
            fresh.extend(changes.into_iter().flatten().filter(|change| !state.contains(change)));
        }
        // Without fresh objects too: a watch may have delivered them meanwhile.
        verdict = block_in_place(|| with_fresh(state, &fresh, |state| state.review(object.clone())));
    }
    // Limits and loops depend on many objects, which the watches may deliver in a moment.
    let was_read = |reason| matches!(reason, Reason::Conflict | Reason::RefNotPermitted);
    if verdict.refused.iter().any(|problem| !was_read(problem.reason)) {
        sleep(WATCH_LAG).await;
        verdict = block_in_place(|| with_fresh(state, &fresh, |state| state.review(object.clone())));
    }
    Some(verdict)
}

/// Evaluates the state together with objects that the watches have not delivered yet.
fn with_fresh<T>(
    state: &RwLock<CompileState>,
    fresh: &[Change],
    evaluate: impl FnOnce(&CompileState) -> T,
) -> T {
    let state = read(state);
    // `with` copies everything.
    if fresh.is_empty() { evaluate(&state) } else { evaluate(&state.with_changes(fresh)) }
}

/// Admits a proposal whose refusal could not be confirmed: reconciling checks the same rules.
fn admit_undecided(verdict: AdmissionVerdict, object: &Object, cause: &str) -> AdmissionVerdict {
    tracing::warn!(resource = %object.key(), cause, "a proposal is admitted unchecked: objects that it depends on could not be read");
    let AdmissionVerdict { refused, warnings } = verdict;
    AdmissionVerdict { refused: Vec::new(), warnings: refused.into_iter().chain(warnings).collect() }
}

fn read(state: &RwLock<CompileState>) -> RwLockReadGuard<'_, CompileState> {
    state.read().unwrap_or_else(PoisonError::into_inner)
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
        known.apply_changes(objects.into_iter().map(Change::Upsert).collect());
        RwLock::new(known)
    }

    /// An API server that answers, or one that does not.
    enum Server {
        Has(BTreeMap<ObjectKey, Object>),
        Silent,
    }

    impl Server {
        fn of(objects: Vec<Object>) -> Self {
            Self::Has(objects.into_iter().map(|object| (object.key(), object)).collect())
        }
    }

    impl ObjectReader for Server {
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
    async fn a_namespace_that_no_watch_has_delivered_is_read_before_a_refusal() {
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
        // An API server that cannot be read refuses nothing.
        let verdict = verdict(&known, &Server::Silent, &number).await.unwrap();
        assert_eq!((verdict.refused.len(), verdict.warnings.len()), (0, 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_deleted_holder_is_no_conflict_and_a_new_one_is() {
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
        // The tenant is deleted, and its Number is not yet.
        let orphaned = held.iter().filter(|object| object.key() != tenant("acme").key()).cloned();
        assert_eq!(judged(&late, &Server::of(orphaned.collect()), &proposed).await, [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_limit_is_evaluated_again_a_moment_later() {
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
            sleep(WATCH_LAG / 4).await;
            full.write().unwrap().apply_changes(vec![Change::Remove(extension("acme").key())]);
        };
        let (judged, ()) = tokio::join!(judged(&full, &server, &young), watch);
        assert_eq!(judged, [""; 0]);
    }
}
