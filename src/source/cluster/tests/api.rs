//! A fake API server: lists in pages, watches with a history, single objects, metadata-only requests, and
//! failures on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A fake API server. Clones share one state.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    version: u64,
    /// By plural, namespace (empty for cluster-wide kinds) and name.
    objects: BTreeMap<(String, String, String), Value>,
    history: Vec<Event>,
    /// Watches cannot start from versions below this one.
    oldest_version: u64,
    watchers: Vec<Watcher>,
    /// Status code for every request whose path ends with the key.
    failures: BTreeMap<String, u16>,
    requests: Vec<String>,
    /// Plural of a kind whose watches end as soon as they begin.
    closing: Option<&'static str>,
}

#[derive(Clone)]
struct Event {
    version: u64,
    what: &'static str,
    plural: String,
    namespace: String,
    object: Value,
}

struct Watcher {
    plural: String,
    namespace: Option<String>,
    metadata_only: bool,
    lines: mpsc::UnboundedSender<Result<String, std::io::Error>>,
}

impl Watcher {
    fn send(&self, event: &Event) -> bool {
        let wanted = self.plural == event.plural
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == event.namespace);
        !wanted || self.line(event.what, cut(&event.object, self.metadata_only))
    }

    /// Sends an event; as from a real server, its type comes first.
    fn line(&self, what: &str, object: Value) -> bool {
        self.lines.send(Ok(format!("{{\"type\":\"{what}\",\"object\":{object}}}\n"))).is_ok()
    }
}

fn cut(object: &Value, metadata_only: bool) -> Value {
    if metadata_only { json!({"metadata": object["metadata"]}) } else { object.clone() }
}

impl Api {
    /// A client of this server.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(Router::new().fallback(answer).with_state(self.clone()), "default")
    }

    /// Creates or replaces an object.
    pub fn put(&self, plural: &str, namespace: &str, name: &str, mut object: Value) {
        let mut inner = self.0.lock().unwrap();
        inner.version += 1;
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let metadata = object.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
        metadata["name"] = name.into();
        if !namespace.is_empty() {
            metadata["namespace"] = namespace.into();
        }
        metadata["resourceVersion"] = inner.version.to_string().into();
        metadata["managedFields"] = json!([{"manager": "kubectl"}]);
        let what = if inner.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        inner.objects.insert(key, object.clone());
        inner.record(what, plural, namespace, object);
    }

    /// Deletes an object.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut inner = self.0.lock().unwrap();
        inner.version += 1;
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let mut object = inner.objects.remove(&key).unwrap();
        object["metadata"]["resourceVersion"] = inner.version.to_string().into();
        inner.record("DELETED", plural, namespace, object);
    }

    /// Drops the history. All watches get 410 Gone as an event.
    pub fn expire(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.oldest_version = inner.version;
        inner.history.clear();
        let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired",
            "message": "too old resource version"});
        for watcher in inner.watchers.drain(..) {
            watcher.line("ERROR", gone.clone());
        }
    }

    /// Breaks the connections of all watches.
    pub fn break_watches(&self) {
        for watcher in self.0.lock().unwrap().watchers.drain(..) {
            let _ = watcher.lines.send(Err(std::io::Error::other("connection reset")));
        }
    }

    /// Drops the history. Running watches notice nothing; a new one from an old version gets 410 Gone.
    pub fn expire_silently(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.oldest_version = inner.version;
        inner.history.clear();
    }

    /// Sends a bookmark to all watches of a kind.
    pub fn bookmark(&self, plural: &str) {
        let mut inner = self.0.lock().unwrap();
        inner.version += 1;
        let version = inner.version.to_string();
        for watcher in inner.watchers.iter().filter(|watcher| watcher.plural == plural) {
            let bookmark =
                json!({"apiVersion": "v1", "kind": "Any", "metadata": {"resourceVersion": version}});
            watcher.line("BOOKMARK", bookmark);
        }
    }

    /// Answers every request whose path ends with `path` with a status code; 200 ends that. For 0 the connection
    /// breaks during the answer.
    pub fn fail(&self, path: &str, code: u16) {
        let mut inner = self.0.lock().unwrap();
        if code == 200 {
            inner.failures.remove(path)
        } else {
            inner.failures.insert(path.to_owned(), code)
        };
    }

    /// Ends all watches of one kind as soon as they begin; `None` ends that.
    pub fn close_watches_of(&self, plural: Option<&'static str>) {
        let mut inner = self.0.lock().unwrap();
        inner.closing = plural;
        inner.watchers.retain(|watcher| Some(watcher.plural.as_str()) != plural);
    }

    /// Number of open watches of a kind.
    pub fn watching(&self, plural: &str) -> usize {
        let mut inner = self.0.lock().unwrap();
        inner.watchers.retain(|watcher| !watcher.lines.is_closed());
        inner.watchers.iter().filter(|watcher| watcher.plural == plural).count()
    }

    /// Requests so far whose path and query contain `part`.
    pub fn requests(&self, part: &str) -> Vec<String> {
        let inner = self.0.lock().unwrap();
        inner.requests.iter().filter(|request| request.contains(part)).cloned().collect()
    }
}

impl Inner {
    fn record(&mut self, what: &'static str, plural: &str, namespace: &str, object: Value) {
        let (plural, namespace) = (plural.to_owned(), namespace.to_owned());
        let event = Event { version: self.version, what, plural, namespace, object };
        self.watchers.retain(|watcher| watcher.send(&event));
        self.history.push(event);
    }

    fn list(&self, plural: &str, namespace: &Option<String>, metadata_only: bool, query: &Query) -> Response {
        let here = |key: &&(String, String, String)| {
            key.0 == plural && namespace.as_ref().is_none_or(|namespace| *namespace == key.1)
        };
        let all: Vec<&Value> =
            self.objects.iter().filter(|(key, _)| here(key)).map(|(_, object)| object).collect();
        let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        // Pages are smaller than requested, so that every test reads several.
        let limit = query["limit"].parse::<usize>().unwrap().min(3.max(all.len() / 10));
        let items: Vec<Value> =
            all.iter().skip(from).take(limit).map(|object| cut(object, metadata_only)).collect();
        let next = if from + limit < all.len() { (from + limit).to_string() } else { String::new() };
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": next});
        json!({"kind": "List", "metadata": metadata, "items": items}).to_string().into_response()
    }

    fn watch(
        &mut self,
        plural: &str,
        namespace: Option<String>,
        metadata_only: bool,
        query: &Query,
    ) -> Response {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        assert_eq!(query["allowWatchBookmarks"], "true");
        if from < self.oldest_version {
            return refuse(410);
        }
        if self.closing == Some(plural) {
            return Body::empty().into_response();
        }
        let (lines, receiver) = mpsc::unbounded_channel();
        let watcher = Watcher { plural: plural.to_owned(), namespace, metadata_only, lines };
        self.history.iter().filter(|event| event.version > from).all(|event| watcher.send(event));
        self.watchers.push(watcher);
        let lines =
            futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        Body::from_stream(lines.boxed()).into_response()
    }
}

type Query = BTreeMap<String, String>;

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let mut inner = api.0.lock().unwrap();
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default());
    inner.requests.push(format!("{path}?{}", query.trim_start_matches('&')));
    let query: Query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if let Some(code) = inner.failures.iter().find(|(end, _)| path.ends_with(*end)).map(|(_, code)| *code) {
        return refuse(code);
    }
    let accept = request.headers().get("accept").map(|value| value.to_str().unwrap()).unwrap_or_default();
    let metadata_only = accept.contains("as=PartialObjectMetadata");
    let rest = path.trim_start_matches("/apis/centrex.dev/v1alpha1/").trim_start_matches("/api/v1/");
    let words: Vec<&str> = rest.split('/').collect();
    let (plural, namespace, name) = match *words.as_slice() {
        ["namespaces", namespace, plural] => (plural, Some(namespace.to_owned()), None),
        ["namespaces", namespace, plural, name] => (plural, Some(namespace.to_owned()), Some(name)),
        [plural] => (plural, None, None),
        _ => return refuse(404),
    };
    if name.is_none() && matches!(plural, "secrets" | "configmaps" | "namespaces") {
        assert!(metadata_only, "{plural} in whole");
    }
    match name {
        Some(name) => {
            let key = (plural.to_owned(), namespace.unwrap_or_default(), name.to_owned());
            inner.objects.get(&key).map_or_else(|| refuse(404), |object| object.to_string().into_response())
        }
        None if query.contains_key("watch") => inner.watch(plural, namespace, metadata_only, &query),
        None => inner.list(plural, &namespace, metadata_only, &query),
    }
}

fn refuse(code: u16) -> Response {
    if code == 0 {
        let broken = std::io::Error::other("connection reset");
        return Body::from_stream(futures::stream::iter([Err::<String, _>(broken)])).into_response();
    }
    let status = json!({"kind": "Status", "status": "Failure", "code": code,
        "reason": "Refused", "message": "refused by the test"});
    (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
}
