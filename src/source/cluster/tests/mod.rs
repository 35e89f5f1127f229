//! What a source makes of what an API server says, with a server that says what a test wants.

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

/// A source that is followed: what is there by its updates, and all they said.
struct Source {
    watches: Watches,
    updates: mpsc::Receiver<Update>,
    objects: BTreeMap<String, Value>,
    /// A line a change, in order.
    said: Vec<String>,
    complete: bool,
    _stop: DropGuard,
}

impl Source {
    fn of(api: &Api, namespaces: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let (sender, updates) = mpsc::channel(4);
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let watches = start(ClusterOptions { client: api.client(), namespaces }, sender, stop.clone());
        let (objects, said) = (BTreeMap::new(), Vec::new());
        Self { watches, updates, objects, said, complete: false, _stop: stop.drop_guard() }
    }

    /// A source that has seen everything there is.
    async fn complete(api: &Api) -> Self {
        let mut source = Self::of(api, &[]);
        source.until(|source| source.complete).await;
        source
    }

    fn take(&mut self, update: Update) {
        assert!(!self.complete || update.complete, "completeness went");
        self.complete = update.complete;
        for change in update.changes {
            match change {
                Change::Upsert(object) => {
                    self.said.push(format!("+ {}", object.key()));
                    self.objects.insert(object.key().to_string(), object.to_json().unwrap());
                }
                Change::Remove(key) => {
                    self.said.push(format!("- {key}"));
                    self.objects.remove(&key.to_string());
                }
                Change::Unreadable(Unreadable { key, tenant, message }) => {
                    self.said.push(format!("! {key} of {tenant:?}: {message}"));
                }
            }
        }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            let wait = tokio::time::timeout_at(deadline, self.updates.recv());
            match wait.await {
                Ok(update) => self.take(update.expect("the source ended")),
                Err(_) => {
                    let last = self.said.iter().rev().take(20).collect::<Vec<_>>();
                    panic!("not seen in time; {last:?} {:?}", self.watches.missing())
                }
            }
        }
    }

    /// Takes the next update and gives what it says.
    async fn next(&mut self) -> Vec<String> {
        self.said.clear();
        let update = timeout(Duration::from_secs(20), self.updates.recv()).await.unwrap().unwrap();
        self.take(update);
        std::mem::take(&mut self.said)
    }

    /// What is said in a while.
    async fn hears(&mut self, while_: Duration) -> Vec<String> {
        self.said.clear();
        let deadline = Instant::now() + while_;
        while let Ok(update) = tokio::time::timeout_at(deadline, self.updates.recv()).await {
            self.take(update.unwrap());
        }
        std::mem::take(&mut self.said)
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
async fn everything_there_is_comes_and_then_it_is_complete() {
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
    assert!(source.watches.statuses().iter().all(|sign| sign.listed && sign.error.is_none()));
    assert_eq!(api.asked("/switches"), [""; 0]);
}

#[tokio::test]
async fn named_namespaces_are_all_that_is_asked_for() {
    let api = Api::default();
    for namespace in ["a", "b", "c"] {
        api.put(EXTENSIONS, namespace, "e", with_secret("100", "s"));
        api.put("secrets", namespace, "s", secret("eA=="));
    }
    let mut source = Source::of(&api, &["b", "a", "b"]);
    source.until(|source| source.complete).await;
    assert_eq!(source.keys(), ["Extension a/e", "Extension b/e", "Secret a/s", "Secret b/s"]);
    assert!(api.asked("").iter().all(|r| r.contains("/namespaces/a/") || r.contains("/namespaces/b/")));
    api.put(EXTENSIONS, "c", "f", extension("101"));
    api.put(EXTENSIONS, "b", "f", with_secret("101", "s"));
    source.until(|source| source.objects.contains_key("Extension b/f")).await;
    assert!(!source.objects.contains_key("Extension c/f"));
}

#[tokio::test]
async fn events_are_changes_and_come_soon() {
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
async fn after_a_gap_only_differences_are_told() {
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
        assert_eq!(source.hears(Duration::from_millis(300)).await, [""; 0], "an error takes nothing away");
        api.forget_silently();
        api.fail("/extensions", 200);
        let mut said = source.next().await;
        said.extend(source.hears(Duration::from_millis(300)).await);
        said.sort_unstable();
        let about = if gone { "- Extension a/gone" } else { "+ Extension a/gone" };
        let mut expected = ["+ Extension a/changed", about];
        expected.sort_unstable();
        assert_eq!(said, expected);
        eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    }
    // The same by an event in a watch.
    api.forget();
    assert_eq!(source.hears(Duration::from_millis(1500)).await, [""; 0]);
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    api.put(EXTENSIONS, "a", "same", with_secret("102", "s"));
    assert_eq!(source.next().await, ["+ Extension a/same"]);
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_was() {
    let api = Api::default();
    api.put(EXTENSIONS, "a", "e", with_secret("100", "s"));
    let mut source = Source::complete(&api).await;
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    let lists = api.asked("/extensions?limit").len();
    assert_eq!(lists, 1);
    api.break_watches();
    api.put(EXTENSIONS, "a", "f", with_secret("101", "s"));
    api.delete(EXTENSIONS, "a", "e");
    source.until(|source| source.keys() == ["Extension a/f"]).await;
    assert_eq!(api.asked("/extensions?limit").len(), lists, "nothing had to be listed again");
}

#[tokio::test]
async fn a_kind_that_is_refused_delays_no_other() {
    let api = Api::default();
    api.fail("/queues", 403);
    api.fail("/devices", 404);
    let mut source = Source::of(&api, &[]);
    eventually("the others", || source.watches.missing().len() == 2 && api.watching(EXTENSIONS) == 1).await;
    let missing = source.watches.missing().join("\n");
    assert!(missing.contains("Queue: not listed yet: 403"), "{missing}");
    assert!(missing.contains("Device: not listed yet: 404") && missing.contains("CRD"), "{missing}");
    api.put(EXTENSIONS, "a", "e", extension("100"));
    let began = Instant::now();
    assert_eq!(source.next().await, ["+ Extension a/e"]);
    assert!(began.elapsed() < Duration::from_millis(500) && !source.complete);
    sleep(Duration::from_secs(2)).await;
    let tries = api.asked("/queues").len();
    assert!((2..=8).contains(&tries), "{tries} tries: pauses must grow");
    assert_eq!(source.watches.stale(Duration::from_secs(3)), [""; 0], "an answer is a sign of life");
    api.fail("/queues", 200);
    api.fail("/devices", 200);
    source.until(|source| source.complete).await;
    eventually("all well", || source.watches.statuses().iter().all(|sign| sign.error.is_none())).await;
}

#[tokio::test]
async fn a_watch_that_ends_at_once_is_an_error_and_retried_with_pauses() {
    let api = Api::default();
    api.close_watches_of(Some("queues"));
    let source = Source::complete(&api).await;
    let error = || {
        let statuses = source.watches.statuses();
        statuses.into_iter().find(|status| status.kind == "Queue").unwrap().error
    };
    eventually("the error", || error().as_deref() == Some("the API server ended the watch at once")).await;
    sleep(Duration::from_secs(2)).await;
    let tries = api.asked("/queues?watch").len();
    assert!((2..=8).contains(&tries), "{tries} tries: pauses must grow");
    assert_eq!(api.asked("/queues?limit").len(), 1, "it goes on from its version");
    api.close_watches_of(None);
    eventually("all well", || error().is_none()).await;
}

#[tokio::test]
async fn when_the_api_server_is_back_for_one_all_try_at_once() {
    let api = Api::default();
    api.put(EXTENSIONS, "a", "e", extension("100"));
    api.fail("", 0);
    let mut source = Source::of(&api, &[]);
    sleep(Duration::from_secs(10)).await;
    let error = source.watches.statuses().remove(0).error.unwrap();
    assert!(error.starts_with("the API server cannot be reached"), "{error}");
    api.fail("", 200);
    api.fail("/queues", 0);
    let began = Instant::now();
    eventually("all but one", || source.watches.missing().len() == 1).await;
    // By then each of them would wait for 15 s at most and 8 s on average.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    api.fail("/queues", 200);
    source.until(|source| source.complete).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_kills_nothing() {
    let api = Api::default();
    let broken = json!({"spec": {"tenantRef": {"name": "t"}, "number": 7, "credentials": {"secretRef": {"name": "s"}}}});
    api.put(EXTENSIONS, "a", "bad", broken.clone());
    api.put(EXTENSIONS, "a", "good", with_secret("100", "s"));
    api.put("secrets", "a", "s", secret("eA=="));
    let mut source = Source::complete(&api).await;
    assert_eq!(source.keys(), ["Extension a/good", "Secret a/s"]);
    let why = source.said.iter().find(|line| line.starts_with('!')).unwrap();
    assert!(why.starts_with("! Extension a/bad of Some(\"t\"): spec.number: "), "{why}");
    eventually("watched", || api.watching(EXTENSIONS) == 1).await;
    // What was read of it before stays, its Secret too; what comes after is read.
    api.put(EXTENSIONS, "a", "good", broken.clone());
    api.put(EXTENSIONS, "a", "bad", with_secret("101", "s"));
    let said = source.next().await;
    assert!(said[0].starts_with("! Extension a/good"), "{said:?}");
    source.until(|source| source.objects.contains_key("Extension a/bad")).await;
    assert_eq!(source.objects["Extension a/good"]["spec"]["number"], "100");
    api.forget();
    assert_eq!(source.hears(Duration::from_millis(1500)).await, [""; 0], "told once");
    api.delete(EXTENSIONS, "a", "good");
    source.until(|source| source.keys() == ["Extension a/bad", "Secret a/s"]).await;
}

#[tokio::test]
async fn secrets_are_fetched_on_use_and_when_they_change() {
    let api = Api::default();
    for name in ["used", "other", "e-sip"] {
        api.put("secrets", "a", name, secret("b25l"));
    }
    api.put("secrets", "b", "used", secret("b25l"));
    api.put(EXTENSIONS, "a", "e", extension("100"));
    let mut source = Source::complete(&api).await;
    assert_eq!(source.keys(), ["Extension a/e", "Secret a/e-sip"]);
    eventually("watched", || api.watching("secrets") == 1 && api.watching(EXTENSIONS) == 1).await;
    // Another reference: the object and the Secret come together, and the old one goes.
    api.put(EXTENSIONS, "a", "e", with_secret("100", "used"));
    assert_eq!(source.next().await, ["+ Extension a/e", "- Secret a/e-sip", "+ Secret a/used"]);
    // Rotation.
    api.put("secrets", "a", "used", secret("dHdv"));
    api.put("secrets", "a", "other", secret("dHdv"));
    assert_eq!(source.next().await, ["+ Secret a/used"]);
    assert_eq!(source.objects["Secret a/used"]["data"]["password"], "dHdv");
    // Two users: one less changes nothing.
    api.put(EXTENSIONS, "a", "f", with_secret("101", "used"));
    assert_eq!(source.next().await, ["+ Extension a/f"]);
    api.delete(EXTENSIONS, "a", "f");
    assert_eq!(source.next().await, ["- Extension a/f"]);
    // Gone, and there again.
    api.delete("secrets", "a", "used");
    assert_eq!(source.next().await, ["- Secret a/used"]);
    api.put("secrets", "a", "used", secret("dHJlcw=="));
    assert_eq!(source.next().await, ["+ Secret a/used"]);
    api.delete(EXTENSIONS, "a", "e");
    assert_eq!(source.next().await, ["- Extension a/e", "- Secret a/used"]);
    assert_eq!(api.asked("/secrets/other"), [""; 0]);
    assert_eq!(api.asked("/namespaces/b/"), [""; 0]);
}

#[tokio::test]
async fn a_rotation_in_a_gap_is_seen() {
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
    api.forget_silently();
    assert_eq!(source.hears(Duration::from_millis(300)).await, [""; 0]);
    let fetches = api.asked("/secrets/same").len();
    api.fail("/secrets", 200);
    source.until(|source| source.said.len() == 2).await;
    assert_eq!(source.objects.get("Secret a/gone"), None);
    assert_eq!(source.objects["Secret a/turned"]["data"]["password"], "dHdv");
    assert_eq!(api.asked("/secrets/same").len(), fetches);
}

#[tokio::test]
async fn a_secret_that_cannot_be_fetched_holds_up_only_itself() {
    let api = Api::default();
    for name in ["one", "two"] {
        api.put("secrets", "a", name, secret("b25l"));
        api.put(EXTENSIONS, "a", name, with_secret("100", name));
    }
    api.fail("/secrets/one", 403);
    let mut source = Source::of(&api, &[]);
    source.until(|source| source.objects.contains_key("Secret a/two")).await;
    source.hears(Duration::from_millis(500)).await;
    assert!(!source.complete);
    let missing = source.watches.missing();
    assert!(
        missing[0].starts_with("1 Secrets and ConfigMaps are not fetched yet: Secret a/one: 403"),
        "{missing:?}"
    );
    api.fail("/secrets/one", 200);
    source.until(|source| source.complete && source.objects.contains_key("Secret a/one")).await;
    assert_eq!(source.watches.missing(), [""; 0]);
    // What is held stays while it cannot be fetched anew.
    eventually("watched", || api.watching("secrets") == 1).await;
    api.fail("/secrets/two", 503);
    api.put("secrets", "a", "two", secret("dHdv"));
    assert_eq!(source.hears(Duration::from_millis(400)).await, [""; 0]);
    assert_eq!(source.objects["Secret a/two"]["data"]["password"], "b25l");
    api.fail("/secrets/two", 200);
    assert_eq!(source.next().await, ["+ Secret a/two"]);
}

#[tokio::test]
async fn bookmarks_are_signs_of_life_and_carry_the_version() {
    let api = Api::default();
    let source = Source::complete(&api).await;
    eventually("watched", || api.watching("tenants") == 1 && api.watching("trunks") == 1).await;
    sleep(Duration::from_millis(1200)).await;
    api.bookmark("tenants");
    let since = |kind| {
        let signs = source.watches.statuses();
        signs.iter().find(|sign| sign.kind == kind).unwrap().since
    };
    eventually("the bookmark", || since("Tenant") < Duration::from_millis(600)).await;
    assert!(since("Trunk") > Duration::from_secs(1));
    let stale = source.watches.stale(Duration::from_secs(1));
    assert!(stale.iter().any(|line| line.starts_with("Trunk: nothing was received for 1 s")), "{stale:?}");
    assert!(!stale.iter().any(|line| line.starts_with("Tenant:")), "{stale:?}");
    let before = api.asked("/tenants?watch").len();
    api.break_watches();
    eventually("watched again", || api.asked("/tenants?watch").len() > before).await;
    let again = api.asked("/tenants?watch").pop().unwrap();
    assert!(again.contains("resourceVersion=1"), "from the bookmark: {again}");
    assert!(api.asked("/trunks?watch").pop().unwrap().contains("resourceVersion=0"));
}

#[tokio::test]
async fn a_source_that_nobody_reads_waits_and_one_that_nobody_has_ends() {
    let api = Api::default();
    for index in 0..6000 {
        api.put(
            "ringgroups",
            "a",
            &format!("g{index}"),
            json!({"spec": {"tenantRef": {"name": "t"}, "members": []}}),
        );
    }
    let mut source = Source::of(&api, &[]);
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
