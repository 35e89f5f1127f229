//! The cluster source against a fake API server that fails in every way on demand.

mod api;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ClusterOptions, Update, Watches, start};
use crate::source::{Change, Unreadable};
use api::Api;

const EXTENSIONS: &str = "extensions";

/// A running source, with the objects and changes of the updates it sent.
struct Source {
    watches: Watches,
    updates: mpsc::Receiver<Update>,
    objects: BTreeMap<String, Value>,
    /// One line for each change, in order.
    changes: Vec<String>,
    complete: bool,
    _stop: DropGuard,
}

impl Source {
    fn start(api: &Api, namespaces: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let (sender, updates) = mpsc::channel(4);
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let watches = start(ClusterOptions { client: api.client(), namespaces }, sender, stop.clone());
        let (objects, changes) = (BTreeMap::new(), Vec::new());
        Self { watches, updates, objects, changes, complete: false, _stop: stop.drop_guard() }
    }

    /// Starts a source and waits until it is complete.
    async fn complete(api: &Api) -> Self {
        let mut source = Self::start(api, &[]);
        source.until(|source| source.complete).await;
        source
    }

    fn apply(&mut self, update: Update) {
        assert!(!self.complete || update.complete, "it was complete before");
        self.complete = update.complete;
        for change in update.changes {
            match change {
                Change::Upsert(object) => {
                    self.changes.push(format!("+ {}", object.key()));
                    self.objects.insert(object.key().to_string(), object.to_json().unwrap());
                }
                Change::Remove(key) => {
                    self.changes.push(format!("- {key}"));
                    self.objects.remove(&key.to_string());
                }
                Change::Unreadable(Unreadable { key, tenant, message }) => {
                    self.changes.push(format!("! {key} of {tenant:?}: {message}"));
                }
            }
        }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            let wait = tokio::time::timeout_at(deadline, self.updates.recv());
            match wait.await {
                Ok(update) => self.apply(update.expect("the source ended")),
                Err(_) => {
                    let last = self.changes.iter().rev().take(20).collect::<Vec<_>>();
                    panic!("not seen in time; {last:?} {:?}", self.watches.missing())
                }
            }
        }
    }

    /// Changes of the next update.
    async fn next(&mut self) -> Vec<String> {
        self.changes.clear();
        let update = timeout(Duration::from_secs(20), self.updates.recv()).await.unwrap().unwrap();
        self.apply(update);
        std::mem::take(&mut self.changes)
    }

    /// All changes within a time.
    async fn changes_within(&mut self, time: Duration) -> Vec<String> {
        self.changes.clear();
        let deadline = Instant::now() + time;
        while let Ok(update) = tokio::time::timeout_at(deadline, self.updates.recv()).await {
            self.apply(update.unwrap());
        }
        std::mem::take(&mut self.changes)
    }

    fn keys(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }
}

fn extension(number: &str) -> Value {
    json!({"spec": {"tenantRef": {"name": "t"}, "number": number}})
}

fn with_secret(number: &str, secret: &str) -> Value {
    json!({"spec": {"tenantRef": {"name": "t"}, "number": number,
        "credentials": {"secretRef": {"name": secret}}}})
}

fn secret(password: &str) -> Value {
    json!({"type": "Opaque", "data": {"password": password}})
}

async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..400 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn all_objects_are_sent_and_then_the_source_is_complete() {
    let api = Api::default();
    for number in 100..110 {
        api.put(EXTENSIONS, "a", &format!("e{number}"), extension(&number.to_string()));
    }
    api.put("namespaces", "", "a", json!({"metadata": {"labels": {"team": "x"}}}));
    api.put("dialrules", "", "r", json!({"spec": {"phase": "Before", "match": {}, "action": {}}}));
    let source = Source::complete(&api).await;
    assert_eq!(source.keys().iter().filter(|key| key.starts_with("Extension a/e1")).count(), 10);
    assert_eq!(source.objects["Namespace a"]["metadata"]["labels"], json!({"team": "x"}));
    let metadata = source.objects["Extension a/e100"]["metadata"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["name", "namespace", "resourceVersion"]);
    assert_eq!(source.watches.missing(), [""; 0]);
    assert!(source.watches.statuses().iter().all(|status| status.listed && status.error.is_none()));
    assert_eq!(api.requests("/switches"), [""; 0]);
}

#[tokio::test]
async fn only_named_namespaces_are_requested() {
    let api = Api::default();
    for namespace in ["a", "b", "c"] {
        api.put(EXTENSIONS, namespace, "e", with_secret("100", "s"));
        api.put("secrets", namespace, "s", secret("eA=="));
    }
    let mut source = Source::start(&api, &["b", "a", "b"]);
    source.until(|source| source.complete).await;
    assert_eq!(source.keys(), ["Extension a/e", "Extension b/e", "Secret a/s", "Secret b/s"]);
    assert!(api.requests("").iter().all(|r| r.contains("/namespaces/a/") || r.contains("/namespaces/b/")));
    api.put(EXTENSIONS, "c", "f", extension("101"));
    api.put(EXTENSIONS, "b", "f", with_secret("101", "s"));
    source.until(|source| source.objects.contains_key("Extension b/f")).await;
    assert!(!source.objects.contains_key("Extension c/f"));
}

#[tokio::test]
async fn events_become_changes_within_a_fraction_of_a_second() {
    let api = Api::default();
    let mut source = Source::complete(&api).await;
    eventually("watched", || api.watching("numbers") == 1).await;
    let number = |to: &str| {
        json!({"spec": {"tenantRef": {"name": "t"}, "number": "+4930123456", "trunkRef": {"name": "x"},
        "destination": {"kind": "Extension", "name": to}}})
    };
    let began = Instant::now();
    api.put("numbers", "a", "n", number("x"));
    assert_eq!(source.next().await, ["+ Number a/n"]);
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    api.put("numbers", "a", "n", number("y"));
    assert_eq!(source.next().await, ["+ Number a/n"]);
    assert_eq!(source.objects["Number a/n"]["spec"]["destination"]["name"], "y");
    for index in 0..50 {
        api.put("numbers", "a", &format!("m{index}"), number("x"));
    }
    assert_eq!(source.next().await.len(), 50, "what comes together is one update");
    api.delete("numbers", "a", "n");
    assert_eq!(source.next().await, ["- Number a/n"]);
}

#[tokio::test]
async fn after_a_gap_only_differences_are_sent() {
    let api = Api::default();
    for name in ["changed", "gone", "same"] {
        api.put(EXTENSIONS, "a", name, with_secret("100", "s"));
    }
    api.put("secrets", "a", "s", secret("eA=="));
    let mut source = Source::complete(&api).await;
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    for gone in [true, false] {
        api.fail("/extensions", 503);
        api.break_watches();
        api.put(EXTENSIONS, "a", "changed", with_secret("101", "s"));
        if gone {
            api.delete(EXTENSIONS, "a", "gone");
        } else {
            api.put(EXTENSIONS, "a", "gone", with_secret("100", "s"));
        }
        assert_eq!(
            source.changes_within(Duration::from_millis(300)).await,
            [""; 0],
            "an error deletes nothing"
        );
        api.expire_silently();
        api.fail("/extensions", 200);
        let mut changes = source.next().await;
        changes.extend(source.changes_within(Duration::from_millis(300)).await);
        changes.sort_unstable();
        let about = if gone { "- Extension a/gone" } else { "+ Extension a/gone" };
        let mut expected = ["+ Extension a/changed", about];
        expected.sort_unstable();
        assert_eq!(changes, expected);
        eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    }
    // The same when the watch sends the error as an event.
    api.expire();
    assert_eq!(source.changes_within(Duration::from_millis(1500)).await, [""; 0]);
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    api.put(EXTENSIONS, "a", "same", with_secret("102", "s"));
    assert_eq!(source.next().await, ["+ Extension a/same"]);
}

#[tokio::test]
async fn after_a_broken_connection_the_watch_resumes_from_its_version() {
    let api = Api::default();
    api.put(EXTENSIONS, "a", "e", with_secret("100", "s"));
    let mut source = Source::complete(&api).await;
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    let lists = api.requests("/extensions?limit").len();
    assert_eq!(lists, 1);
    api.break_watches();
    api.put(EXTENSIONS, "a", "f", with_secret("101", "s"));
    api.delete(EXTENSIONS, "a", "e");
    source.until(|source| source.keys() == ["Extension a/f"]).await;
    assert_eq!(api.requests("/extensions?limit").len(), lists, "nothing had to be listed again");
}

#[tokio::test]
async fn a_forbidden_kind_delays_no_other() {
    let api = Api::default();
    api.fail("/queues", 403);
    api.fail("/devices", 404);
    let mut source = Source::start(&api, &[]);
    eventually("the others", || source.watches.missing().len() == 2 && api.watching(EXTENSIONS) == 1).await;
    let missing = source.watches.missing().join("\n");
    assert!(missing.contains("Queue: not listed yet: 403"), "{missing}");
    assert!(missing.contains("Device: not listed yet: 404") && missing.contains("CRD"), "{missing}");
    api.put(EXTENSIONS, "a", "e", extension("100"));
    let began = Instant::now();
    assert_eq!(source.next().await, ["+ Extension a/e"]);
    assert!(began.elapsed() < Duration::from_millis(500) && !source.complete);
    sleep(Duration::from_secs(2)).await;
    let tries = api.requests("/queues").len();
    assert!((2..=8).contains(&tries), "{tries} tries: pauses must grow");
    assert_eq!(source.watches.stale(Duration::from_secs(3)), [""; 0], "an answer is a status of life");
    api.fail("/queues", 200);
    api.fail("/devices", 200);
    source.until(|source| source.complete).await;
    eventually("all well", || source.watches.statuses().iter().all(|status| status.error.is_none())).await;
}

#[tokio::test]
async fn a_watch_that_ends_at_once_is_an_error_and_retried_with_pauses() {
    let api = Api::default();
    api.close_watches_of(Some("queues"));
    let source = Source::complete(&api).await;
    let error = || {
        let statuses = source.watches.statuses();
        statuses.into_iter().find(|status| status.kind == crate::resources::Kind::Queue).unwrap().error
    };
    eventually("the error", || error().as_deref() == Some("the API server ended the watch at once")).await;
    sleep(Duration::from_secs(2)).await;
    let tries = api.requests("/queues?watch").len();
    assert!((2..=8).contains(&tries), "{tries} tries: pauses must grow");
    assert_eq!(api.requests("/queues?limit").len(), 1, "it goes on from its version");
    api.close_watches_of(None);
    eventually("all well", || error().is_none()).await;
}

#[tokio::test]
async fn when_one_watch_reaches_the_api_server_again_all_retry_at_once() {
    let api = Api::default();
    api.put(EXTENSIONS, "a", "e", extension("100"));
    api.fail("", 0);
    let mut source = Source::start(&api, &[]);
    sleep(Duration::from_secs(10)).await;
    let error = source.watches.statuses().remove(0).error.unwrap();
    assert!(error.starts_with("the API server cannot be reached"), "{error}");
    api.fail("", 200);
    api.fail("/queues", 0);
    let began = Instant::now();
    eventually("all but one", || source.watches.missing().len() == 1).await;
    // Without the notification each would pause for up to 15 s, 8 s on average.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    api.fail("/queues", 200);
    source.until(|source| source.complete).await;
}

#[tokio::test]
async fn an_unreadable_object_is_reported_and_harms_no_other() {
    let api = Api::default();
    let broken = json!({"spec": {"tenantRef": {"name": "t"}, "number": 7, "credentials": {"secretRef": {"name": "s"}}}});
    api.put(EXTENSIONS, "a", "bad", broken.clone());
    api.put(EXTENSIONS, "a", "good", with_secret("100", "s"));
    api.put("secrets", "a", "s", secret("eA=="));
    let mut source = Source::complete(&api).await;
    assert_eq!(source.keys(), ["Extension a/good", "Secret a/s"]);
    let why = source.changes.iter().find(|line| line.starts_with('!')).unwrap();
    assert!(why.starts_with("! Extension a/bad of Some(\"t\"): spec.number: "), "{why}");
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    // The last readable version stays, its Secret too. Later objects are read.
    api.put(EXTENSIONS, "a", "good", broken.clone());
    api.put(EXTENSIONS, "a", "bad", with_secret("101", "s"));
    let changes = source.next().await;
    assert!(changes[0].starts_with("! Extension a/good"), "{changes:?}");
    source.until(|source| source.objects.contains_key("Extension a/bad")).await;
    assert_eq!(source.objects["Extension a/good"]["spec"]["number"], "100");
    api.expire();
    assert_eq!(source.changes_within(Duration::from_millis(1500)).await, [""; 0], "reported once");
    api.delete(EXTENSIONS, "a", "good");
    source.until(|source| source.keys() == ["Extension a/bad", "Secret a/s"]).await;
}

#[tokio::test]
async fn secrets_are_fetched_on_reference_and_when_they_change() {
    let api = Api::default();
    for name in ["used", "other", "e-sip"] {
        api.put("secrets", "a", name, secret("b25l"));
    }
    api.put("secrets", "b", "used", secret("b25l"));
    api.put(EXTENSIONS, "a", "e", extension("100"));
    let mut source = Source::complete(&api).await;
    assert_eq!(source.keys(), ["Extension a/e", "Secret a/e-sip"]);
    eventually("watched", || api.watching("secrets") == 1 && api.watching(EXTENSIONS) == 1).await;
    // Another reference: one update adds the object and its Secret and removes the old Secret.
    api.put(EXTENSIONS, "a", "e", with_secret("100", "used"));
    assert_eq!(source.next().await, ["+ Extension a/e", "- Secret a/e-sip", "+ Secret a/used"]);
    // Rotation.
    api.put("secrets", "a", "used", secret("dHdv"));
    api.put("secrets", "a", "other", secret("dHdv"));
    assert_eq!(source.next().await, ["+ Secret a/used"]);
    assert_eq!(source.objects["Secret a/used"]["data"]["password"], "dHdv");
    // Two references: dropping one changes nothing.
    api.put(EXTENSIONS, "a", "f", with_secret("101", "used"));
    assert_eq!(source.next().await, ["+ Extension a/f"]);
    api.delete(EXTENSIONS, "a", "f");
    assert_eq!(source.next().await, ["- Extension a/f"]);
    // Deleted and created again.
    api.delete("secrets", "a", "used");
    assert_eq!(source.next().await, ["- Secret a/used"]);
    api.put("secrets", "a", "used", secret("dHJlcw=="));
    assert_eq!(source.next().await, ["+ Secret a/used"]);
    api.delete(EXTENSIONS, "a", "e");
    assert_eq!(source.next().await, ["- Extension a/e", "- Secret a/used"]);
    assert_eq!(api.requests("/secrets/other"), [""; 0]);
    assert_eq!(api.requests("/namespaces/b/"), [""; 0]);
}

#[tokio::test]
async fn a_secret_that_changed_in_a_gap_is_fetched() {
    let api = Api::default();
    for name in ["gone", "same", "turned"] {
        api.put("secrets", "a", name, secret("b25l"));
        api.put(EXTENSIONS, "a", name, with_secret("100", name));
    }
    api.put(
        "mediafiles",
        "a",
        "m",
        json!({"spec": {"tenantRef": {"name": "t"},
        "source": {"configMapKeyRef": {"name": "sounds", "key": "x"}}}}),
    );
    api.put("configmaps", "a", "sounds", json!({"binaryData": {"x": "AAAA"}}));
    let mut source = Source::complete(&api).await;
    assert_eq!(source.objects["ConfigMap a/sounds"]["binaryData"]["x"], "AAAA");
    eventually("watched", || api.watching("secrets") == 1).await;
    api.fail("/secrets", 403);
    api.break_watches();
    api.delete("secrets", "a", "gone");
    api.put("secrets", "a", "turned", secret("dHdv"));
    api.expire_silently();
    assert_eq!(source.changes_within(Duration::from_millis(300)).await, [""; 0]);
    let fetches = api.requests("/secrets/same").len();
    api.fail("/secrets", 200);
    source.until(|source| source.changes.len() == 2).await;
    assert_eq!(source.objects.get("Secret a/gone"), None);
    assert_eq!(source.objects["Secret a/turned"]["data"]["password"], "dHdv");
    assert_eq!(api.requests("/secrets/same").len(), fetches);
}

#[tokio::test]
async fn a_secret_that_cannot_be_fetched_delays_no_other() {
    let api = Api::default();
    for name in ["one", "two"] {
        api.put("secrets", "a", name, secret("b25l"));
        api.put(EXTENSIONS, "a", name, with_secret("100", name));
    }
    api.fail("/secrets/one", 403);
    let mut source = Source::start(&api, &[]);
    source.until(|source| source.objects.contains_key("Secret a/two")).await;
    source.changes_within(Duration::from_millis(500)).await;
    assert!(!source.complete);
    let missing = source.watches.missing();
    assert!(
        missing[0].starts_with("1 Secrets and ConfigMaps are not fetched yet: Secret a/one: 403"),
        "{missing:?}"
    );
    api.fail("/secrets/one", 200);
    source.until(|source| source.complete && source.objects.contains_key("Secret a/one")).await;
    assert_eq!(source.watches.missing(), [""; 0]);
    // The last version stays while a new one cannot be fetched.
    eventually("watched", || api.watching("secrets") == 1).await;
    api.fail("/secrets/two", 503);
    api.put("secrets", "a", "two", secret("dHdv"));
    assert_eq!(source.changes_within(Duration::from_millis(400)).await, [""; 0]);
    assert_eq!(source.objects["Secret a/two"]["data"]["password"], "b25l");
    api.fail("/secrets/two", 200);
    assert_eq!(source.next().await, ["+ Secret a/two"]);
}

#[tokio::test]
async fn bookmarks_count_as_activity_and_carry_the_version() {
    let api = Api::default();
    let source = Source::complete(&api).await;
    eventually("watched", || api.watching("tenants") == 1 && api.watching("trunks") == 1).await;
    sleep(Duration::from_millis(1200)).await;
    api.bookmark("tenants");
    let since = |kind| {
        let statuses = source.watches.statuses();
        statuses.iter().find(|status| status.kind == kind).unwrap().since
    };
    eventually("the bookmark", || since(crate::resources::Kind::Tenant) < Duration::from_millis(600)).await;
    assert!(since(crate::resources::Kind::Trunk) > Duration::from_secs(1));
    let stale = source.watches.stale(Duration::from_secs(1));
    assert!(stale.iter().any(|line| line.starts_with("Trunk: nothing was received for 1 s")), "{stale:?}");
    assert!(!stale.iter().any(|line| line.starts_with("Tenant:")), "{stale:?}");
    let before = api.requests("/tenants?watch").len();
    api.break_watches();
    eventually("watched again", || api.requests("/tenants?watch").len() > before).await;
    let again = api.requests("/tenants?watch").pop().unwrap();
    assert!(again.contains("resourceVersion=1"), "from the bookmark: {again}");
    assert!(api.requests("/trunks?watch").pop().unwrap().contains("resourceVersion=0"));
}

#[tokio::test]
async fn a_source_waits_for_a_slow_receiver_and_ends_without_one() {
    let api = Api::default();
    for index in 0..6000 {
        api.put(
            "ringgroups",
            "a",
            &format!("g{index}"),
            json!({"spec": {"tenantRef": {"name": "t"}, "members": []}}),
        );
    }
    let mut source = Source::start(&api, &[]);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(
        source.watches.stale(Duration::from_secs(1)).iter().filter(|s| s.starts_with("RingGroup")).count(),
        0
    );
    assert!(!source.watches.missing().is_empty(), "it was not read to its end");
    source.until(|source| source.complete).await;
    assert_eq!(source.objects.len(), 6000);
    eventually("watched", || api.watching("ringgroups") == 1).await;
    drop(source.updates);
    eventually("ended", || api.watching("ringgroups") == 0 && api.watching("secrets") == 0).await;
}
