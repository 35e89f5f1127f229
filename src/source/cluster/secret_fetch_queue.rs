//! Which Secrets and ConfigMaps are referenced, which version of each was fetched, and which to fetch next.
//!
//! Metadata from a watch only triggers a fetch. The API server's answer to that fetch decides what exists, so
//! a watch that lags behind removes nothing. kube-runtime has nothing for this: its stores hold whole kinds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::resources::Kind;
use crate::source::ObjectKey;
use crate::util::backoff::Backoff;
use crate::util::turns::Turns;

/// Pauses before a failed fetch is retried.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(120));

/// All referenced Secrets and ConfigMaps.
#[derive(Debug, Default)]
pub(super) struct SecretFetchQueue {
    entries: HashMap<Arc<ObjectKey>, Entry>,
    /// First come, first served within a namespace; namespaces take turns. Keys that are no longer
    /// referenced are skipped.
    queue: Turns<Arc<ObjectKey>>,
    resting: BTreeSet<(Instant, Arc<ObjectKey>)>,
    /// Number of the last list of any watch.
    list: u32,
    /// Number of the last list of each watch.
    lists: HashMap<(Kind, Option<String>), u32>,
    tally: Tally,
}

/// How many entries are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Neither fetched nor found missing yet.
    pub unsettled: usize,
    /// Unsettled, and on their first try.
    pub fresh: usize,
    /// Keys whose last fetch failed.
    pub failing: usize,
}

#[derive(Debug)]
struct Entry {
    /// Number of objects that refer to it.
    references: u32,
    /// The version that was fetched last; `None` when it is missing or was never fetched.
    fetched: Option<u64>,
    settled: bool,
    work: Work,
    tries: u8,
    /// Number of the newest list when it was last seen or fetched. A list with a higher number that does not
    /// contain it shows that it may be deleted.
    list: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// Nothing to do.
    None,
    /// Waits for its turn.
    Queued,
    /// Is being fetched.
    Running,
    /// Is being fetched, and changed after the request was sent: has to be fetched again.
    RunningAgain,
    /// Failed, and waits for its retry.
    Resting,
}

impl Entry {
    /// Adds the entry to the tally, or removes it.
    fn count(&self, tally: &mut Tally, add: fn(usize, usize) -> usize) {
        tally.unsettled = add(tally.unsettled, usize::from(!self.settled));
        tally.fresh = add(tally.fresh, usize::from(!self.settled && self.tries == 0));
        tally.failing = add(tally.failing, usize::from(self.tries > 0));
    }
}

impl SecretFetchQueue {
    /// How many entries are in which state.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Counts one more reference; queues a fetch for the first.
    pub fn add_ref(&mut self, key: Arc<ObjectKey>) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.references += 1;
            return;
        }
        let (fetched, work, list) = (None, Work::Queued, self.list);
        let entry = Entry { references: 1, fetched, settled: false, work, tries: 0, list };
        entry.count(&mut self.tally, usize::saturating_add);
        self.entries.insert(key.clone(), entry);
        self.push(key);
    }

    fn push(&mut self, key: Arc<ObjectKey>) {
        let namespace = key.namespace.clone();
        self.queue.push(namespace.as_deref(), key);
    }

    /// Counts one reference less; forgets the entry after the last. Returns true if it was fetched and is
    /// now forgotten.
    pub fn drop_ref(&mut self, key: &ObjectKey) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.references = entry.references.saturating_sub(1);
        if entry.references > 0 {
            return false;
        }
        let Some(entry) = self.entries.remove(key) else { return false };
        entry.count(&mut self.tally, usize::saturating_sub);
        entry.fetched.is_some()
    }

    /// A watch or a list showed its metadata at a version.
    pub fn observed(&mut self, key: &ObjectKey, version: u64) {
        let list = self.list;
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.list = list;
        if entry.fetched != Some(version) {
            self.enqueue(key);
        }
    }

    /// A watch reported that it was deleted.
    pub fn deleted(&mut self, key: &ObjectKey) {
        // The answer to a running fetch may be older than the deletion.
        if self.entries.get(key).is_some_and(|entry| entry.fetched.is_some() || entry.work == Work::Running) {
            self.enqueue(key);
        }
    }

    /// A list of this kind in this namespace begins.
    pub fn list_started(&mut self, kind: Kind, namespace: Option<String>) {
        self.list = self.list.wrapping_add(1);
        self.lists.insert((kind, namespace), self.list);
    }

    /// The list was read to its end. Fetches what it did not contain, because that may be deleted.
    pub fn list_finished(&mut self, kind: Kind, namespace: Option<String>) {
        let all_namespaces = namespace.is_none();
        let Some(began) = self.lists.get(&(kind, namespace.clone())).copied() else { return };
        let in_scope = |key: &ObjectKey| key.kind == kind && (all_namespaces || key.namespace == namespace);
        let unseen = self.entries.iter().filter(|(key, entry)| {
            entry.fetched.is_some() && entry.list.wrapping_sub(began) > u32::MAX / 2 && in_scope(key)
        });
        let unseen: Vec<Arc<ObjectKey>> = unseen.map(|(key, _)| key.clone()).collect();
        unseen.iter().for_each(|key| self.enqueue(key));
    }

    /// Queues a fetch, unless one is queued already.
    fn enqueue(&mut self, key: &ObjectKey) {
        let Some((key, _)) = self.entries.get_key_value(key) else { return };
        let key = key.clone();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match entry.work {
            Work::None | Work::Resting => {
                entry.work = Work::Queued;
                self.push(key);
            }
            Work::Running => entry.work = Work::RunningAgain,
            Work::Queued | Work::RunningAgain => {}
        }
    }

    /// Takes the next key to fetch.
    pub fn next(&mut self) -> Option<Arc<ObjectKey>> {
        while let Some(key) = self.queue.pop() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.work == Work::Queued => {
                    entry.work = Work::Running;
                    return Some(key);
                }
                _ => {}
            }
        }
        None
    }

    /// Records that it was fetched. Returns true if the version is another than before.
    pub fn fetched(&mut self, key: &ObjectKey, version: u64) -> bool {
        let list = self.list;
        self.finish(key, |entry| {
            entry.list = list;
            entry.fetched.replace(version) != Some(version)
        })
    }

    /// Records that it does not exist. Returns true if it was fetched before.
    pub fn missing(&mut self, key: &ObjectKey) -> bool {
        self.finish(key, |entry| entry.fetched.take().is_some())
    }

    /// Records that it cannot be read; its last version stays. Returns true if something still refers to it.
    pub fn unreadable(&mut self, key: &ObjectKey) -> bool {
        self.finish(key, |_| true)
    }

    fn finish(&mut self, key: &ObjectKey, record: impl FnOnce(&mut Entry) -> bool) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let again = entry.work == Work::RunningAgain;
        if !again && entry.work != Work::Running {
            return false; // forgotten and referenced again while it was fetched
        }
        entry.count(&mut self.tally, usize::saturating_sub);
        let changed = record(entry);
        (entry.settled, entry.tries, entry.work) = (true, 0, Work::None);
        entry.count(&mut self.tally, usize::saturating_add);
        if again {
            self.enqueue(key);
        }
        changed
    }

    /// Records that the fetch of a key failed for a reason of the object. The key is retried after a pause.
    pub fn failed(&mut self, key: &Arc<ObjectKey>) {
        if let Some(tries) = self.retry(key, Work::Resting) {
            self.resting.insert((Instant::now() + BACKOFF.pause_after(tries.into()), key.clone()));
        }
    }

    /// Records that the fetch of a key failed because of the API server. The key is the next to be fetched.
    pub fn postponed(&mut self, key: &Arc<ObjectKey>) {
        if self.retry(key, Work::Queued).is_some() {
            self.queue.push_first(key.namespace.as_deref(), key.clone());
        }
    }

    fn retry(&mut self, key: &ObjectKey, work: Work) -> Option<u8> {
        let entry = self.entries.get_mut(key)?;
        if !matches!(entry.work, Work::Running | Work::RunningAgain) {
            return None;
        }
        entry.count(&mut self.tally, usize::saturating_sub);
        (entry.work, entry.tries) = (work, entry.tries.saturating_add(1));
        entry.count(&mut self.tally, usize::saturating_add);
        Some(entry.tries)
    }

    /// When the next pause ends.
    pub fn next_retry(&self) -> Option<Instant> {
        self.resting.first().map(|(time, _)| *time)
    }

    /// Queues those whose pause is over.
    pub fn queue_retries(&mut self, now: Instant) {
        while self.next_retry().is_some_and(|due| due <= now)
            && let Some((_, key)) = self.resting.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&key)
                && entry.work == Work::Resting
            {
                entry.work = Work::Queued;
                self.push(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Arc<ObjectKey> {
        Arc::new(ObjectKey { kind: Kind::Secret, namespace: Some("a".into()), name: name.into() })
    }

    fn fetched(names: &[&str]) -> SecretFetchQueue {
        let mut queue = SecretFetchQueue::default();
        for name in names {
            queue.add_ref(key(name));
            assert_eq!(queue.next(), Some(key(name)));
            assert!(queue.fetched(&key(name), 1));
        }
        assert_eq!(queue.tally(), Tally::default());
        queue
    }

    #[test]
    fn a_referenced_secret_is_fetched_once_and_after_each_change() {
        let mut queue = fetched(&["x"]);
        queue.add_ref(key("x"));
        queue.observed(&key("x"), 1);
        assert_eq!(queue.next(), None);
        queue.observed(&key("x"), 2);
        assert_eq!(queue.next(), Some(key("x")));
        queue.observed(&key("x"), 3); // while it is fetched
        assert!(queue.fetched(&key("x"), 2));
        assert_eq!(queue.next(), Some(key("x")));
        assert!(queue.fetched(&key("x"), 3));
        assert!(!queue.drop_ref(&key("x")));
        assert!(queue.drop_ref(&key("x")));
        queue.observed(&key("x"), 4);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_secret_missing_in_a_list_is_fetched_before_it_counts_as_deleted() {
        let mut queue = fetched(&["x", "y", "z"]);
        queue.list_started(Kind::ConfigMap, None);
        queue.list_finished(Kind::ConfigMap, None);
        queue.list_started(Kind::Secret, Some("b".into()));
        queue.list_finished(Kind::Secret, Some("b".into()));
        assert_eq!(queue.next(), None);
        queue.list_started(Kind::Secret, None);
        queue.observed(&key("y"), 1);
        queue.add_ref(key("new"));
        assert_eq!(queue.next(), Some(key("new")));
        queue.fetched(&key("new"), 1); // after the list was made
        queue.list_finished(Kind::Secret, None);
        let mut asked = [queue.next().unwrap(), queue.next().unwrap()];
        asked.sort_unstable();
        assert_eq!((asked, queue.next()), ([key("x"), key("z")], None));
        assert!(queue.missing(&key("x")));
        assert!(!queue.fetched(&key("z"), 1));
        queue.deleted(&key("x"));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_failed_fetch_pauses_and_keeps_the_previous_secret() {
        let mut queue = fetched(&["x"]);
        queue.observed(&key("x"), 2);
        queue.next().unwrap();
        queue.failed(&key("x"));
        assert_eq!(queue.tally(), Tally { unsettled: 0, fresh: 0, failing: 1 });
        assert_eq!(queue.next(), None);
        let due = queue.next_retry().unwrap();
        queue.queue_retries(due);
        assert_eq!(queue.next(), Some(key("x")));
        queue.postponed(&key("x"));
        assert_eq!(queue.next(), Some(key("x")));
        assert!(queue.fetched(&key("x"), 2));
        queue.add_ref(key("new"));
        assert_eq!(queue.tally(), Tally { unsettled: 1, fresh: 1, failing: 0 });
        queue.next().unwrap();
        queue.failed(&key("new"));
        assert_eq!(queue.tally(), Tally { unsettled: 1, fresh: 0, failing: 1 });
        assert!(!queue.drop_ref(&key("new")));
        assert_eq!(queue.tally(), Tally::default());
    }

    #[test]
    fn a_secret_deleted_during_its_fetch_is_fetched_again() {
        let mut queue = SecretFetchQueue::default();
        queue.add_ref(key("x"));
        queue.next().unwrap();
        queue.deleted(&key("x"));
        assert!(queue.fetched(&key("x"), 1));
        assert_eq!(queue.next(), Some(key("x")));
        assert!(queue.missing(&key("x")));
    }

    #[test]
    fn an_answer_for_an_unreferenced_secret_is_ignored() {
        let mut queue = fetched(&["x"]);
        queue.observed(&key("x"), 2);
        queue.next().unwrap();
        assert!(queue.drop_ref(&key("x")));
        queue.add_ref(key("x"));
        assert!(!queue.fetched(&key("x"), 2));
        assert_eq!(queue.next(), Some(key("x")));
        assert!(queue.fetched(&key("x"), 2));
        assert_eq!(queue.next(), None);
    }
}
