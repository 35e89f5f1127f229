//! Which Secrets and ConfigMaps are wanted, what is held of them, and which to fetch next.
//!
//! Metadata only says that one may be another now; what is there is what the API server answers
//! when asked for that one. So a watch that lags behind takes nothing away.

use crate::resources::Kind;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::source::ObjectKey;
use crate::util::backoff::Backoff;
use crate::util::turns::Turns;

/// First and longest pause before one that could not be fetched is fetched again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));

/// All that is wanted.
#[derive(Debug, Default)]
pub(super) struct SecretFetchQueue {
    wants: HashMap<Arc<ObjectKey>, Want>,
    /// In the order of their wanting, one namespace after the other. One that was given up meanwhile is
    /// passed over.
    queue: Turns<Arc<ObjectKey>>,
    resting: BTreeSet<(Instant, Arc<ObjectKey>)>,
    /// Counts lists, and which was the last of each watch.
    round: u32,
    rounds: HashMap<(Kind, Option<String>), u32>,
    tally: Tally,
}

/// How many wants are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Neither fetched nor found absent yet.
    pub unsettled: usize,
    /// Of these, those on their first try.
    pub fresh: usize,
    /// Those whose last try failed.
    pub failing: usize,
}

#[derive(Debug)]
struct Want {
    /// How many objects refer to it.
    referrers: u32,
    /// The version that was fetched.
    held: Option<u64>,
    settled: bool,
    work: Work,
    tries: u8,
    /// The list that could have shown it last.
    round: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// Nothing to do.
    None,
    /// It waits for its turn.
    Queued,
    /// It is being fetched.
    Running,
    /// It is being fetched, and changed after it was asked for.
    RunningAgain,
    /// It failed, and waits to be tried again.
    Resting,
}

impl Want {
    fn count(&self, tally: &mut Tally, add: fn(usize, usize) -> usize) {
        tally.unsettled = add(tally.unsettled, usize::from(!self.settled));
        tally.fresh = add(tally.fresh, usize::from(!self.settled && self.tries == 0));
        tally.failing = add(tally.failing, usize::from(self.tries > 0));
    }
}

impl SecretFetchQueue {
    /// How many are in which state.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// One more object refers to it.
    pub fn gain(&mut self, key: Arc<ObjectKey>) {
        if let Some(want) = self.wants.get_mut(&key) {
            want.referrers += 1;
            return;
        }
        let (held, work, round) = (None, Work::Queued, self.round);
        let want = Want { referrers: 1, held, settled: false, work, tries: 0, round };
        want.count(&mut self.tally, usize::saturating_add);
        self.wants.insert(key.clone(), want);
        self.line_up(key);
    }

    fn line_up(&mut self, key: Arc<ObjectKey>) {
        let namespace = key.namespace.clone();
        self.queue.push(namespace.as_deref(), key);
    }

    /// One object less refers to it. Whether it was held and is wanted no more.
    pub fn lose(&mut self, key: &ObjectKey) -> bool {
        let Some(want) = self.wants.get_mut(key) else { return false };
        want.referrers = want.referrers.saturating_sub(1);
        if want.referrers > 0 {
            return false;
        }
        let Some(want) = self.wants.remove(key) else { return false };
        want.count(&mut self.tally, usize::saturating_sub);
        want.held.is_some()
    }

    /// Its metadata was shown at a version.
    pub fn shown(&mut self, key: &ObjectKey, version: u64) {
        let round = self.round;
        let Some(want) = self.wants.get_mut(key) else { return };
        want.round = round;
        if want.held != Some(version) {
            self.look(key);
        }
    }

    /// Its metadata was shown to be gone.
    pub fn hidden(&mut self, key: &ObjectKey) {
        // What is being fetched may be answered as it was before.
        if self.wants.get(key).is_some_and(|want| want.held.is_some() || want.work == Work::Running) {
            self.look(key);
        }
    }

    /// A list of this kind in this namespace begins.
    pub fn listing(&mut self, kind: Kind, namespace: Option<String>) {
        self.round = self.round.wrapping_add(1);
        self.rounds.insert((kind, namespace), self.round);
    }

    /// The list was read to its end: what is held and was not shown may be gone.
    pub fn listed(&mut self, kind: Kind, namespace: Option<String>) {
        let everywhere = namespace.is_none();
        let Some(began) = self.rounds.get(&(kind, namespace.clone())).copied() else { return };
        let here = |key: &ObjectKey| key.kind == kind && (everywhere || key.namespace == namespace);
        let unseen = self.wants.iter().filter(|(key, want)| {
            want.held.is_some() && want.round.wrapping_sub(began) > u32::MAX / 2 && here(key)
        });
        let unseen: Vec<Arc<ObjectKey>> = unseen.map(|(key, _)| key.clone()).collect();
        unseen.iter().for_each(|key| self.look(key));
    }

    /// Has it fetched, soon.
    fn look(&mut self, key: &ObjectKey) {
        let Some((key, _)) = self.wants.get_key_value(key) else { return };
        let key = key.clone();
        let Some(want) = self.wants.get_mut(&key) else { return };
        match want.work {
            Work::None | Work::Resting => {
                want.work = Work::Queued;
                self.line_up(key);
            }
            Work::Running => want.work = Work::RunningAgain,
            Work::Queued | Work::RunningAgain => {}
        }
    }

    /// The next to fetch.
    pub fn next(&mut self) -> Option<Arc<ObjectKey>> {
        while let Some(key) = self.queue.take() {
            match self.wants.get_mut(&key) {
                Some(want) if want.work == Work::Queued => {
                    want.work = Work::Running;
                    return Some(key);
                }
                _ => {}
            }
        }
        None
    }

    /// It was fetched. Whether that is news.
    pub fn found(&mut self, key: &ObjectKey, version: u64) -> bool {
        let round = self.round;
        self.settle(key, |want| {
            want.round = round;
            want.held.replace(version) != Some(version)
        })
    }

    /// It is not there. Whether that is news.
    pub fn absent(&mut self, key: &ObjectKey) -> bool {
        self.settle(key, |want| want.held.take().is_some())
    }

    /// It is there and cannot be read: what was held of it stays. Whether anybody wants to know.
    pub fn unreadable(&mut self, key: &ObjectKey) -> bool {
        self.settle(key, |_| true)
    }

    fn settle(&mut self, key: &ObjectKey, note: impl FnOnce(&mut Want) -> bool) -> bool {
        let Some(want) = self.wants.get_mut(key) else { return false };
        let again = want.work == Work::RunningAgain;
        if !again && want.work != Work::Running {
            return false; // given up and wanted anew while it was fetched
        }
        want.count(&mut self.tally, usize::saturating_sub);
        let news = note(want);
        (want.settled, want.tries, want.work) = (true, 0, Work::None);
        want.count(&mut self.tally, usize::saturating_add);
        if again {
            self.look(key);
        }
        news
    }

    /// It could not be fetched, for a reason of its own: it rests before it is tried again.
    pub fn failed(&mut self, key: &Arc<ObjectKey>) {
        if let Some(tries) = self.try_again(key, Work::Resting) {
            let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
            let pause = (0..tries).fold(Duration::ZERO, |_, _| backoff.pause());
            self.resting.insert((Instant::now() + pause, key.clone()));
        }
    }

    /// It could not be fetched, for a reason that is not its own: it is the next again.
    pub fn postponed(&mut self, key: &Arc<ObjectKey>) {
        if self.try_again(key, Work::Queued).is_some() {
            self.queue.push_first(key.namespace.as_deref(), key.clone());
        }
    }

    fn try_again(&mut self, key: &ObjectKey, work: Work) -> Option<u8> {
        let want = self.wants.get_mut(key)?;
        if !matches!(want.work, Work::Running | Work::RunningAgain) {
            return None;
        }
        want.count(&mut self.tally, usize::saturating_sub);
        (want.work, want.tries) = (work, want.tries.saturating_add(1));
        want.count(&mut self.tally, usize::saturating_add);
        Some(want.tries)
    }

    /// When one has rested enough.
    pub fn due(&self) -> Option<Instant> {
        self.resting.first().map(|(time, _)| *time)
    }

    /// Queues those that have rested enough.
    pub fn wake(&mut self, now: Instant) {
        while self.due().is_some_and(|due| due <= now)
            && let Some((_, key)) = self.resting.pop_first()
        {
            if let Some(want) = self.wants.get_mut(&key)
                && want.work == Work::Resting
            {
                want.work = Work::Queued;
                self.line_up(key);
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

    fn held(names: &[&str]) -> SecretFetchQueue {
        let mut wants = SecretFetchQueue::default();
        for name in names {
            wants.gain(key(name));
            assert_eq!(wants.next(), Some(key(name)));
            assert!(wants.found(&key(name), 1));
        }
        assert_eq!(wants.tally(), Tally::default());
        wants
    }

    #[test]
    fn what_is_wanted_is_fetched_once_and_again_when_it_changes() {
        let mut wants = held(&["x"]);
        wants.gain(key("x"));
        wants.shown(&key("x"), 1);
        assert_eq!(wants.next(), None);
        wants.shown(&key("x"), 2);
        assert_eq!(wants.next(), Some(key("x")));
        wants.shown(&key("x"), 3); // while it is fetched
        assert!(wants.found(&key("x"), 2));
        assert_eq!(wants.next(), Some(key("x")));
        assert!(wants.found(&key("x"), 3));
        assert!(!wants.lose(&key("x")));
        assert!(wants.lose(&key("x")));
        wants.shown(&key("x"), 4);
        assert_eq!(wants.next(), None);
    }

    #[test]
    fn what_a_list_does_not_show_is_asked_for_before_it_is_gone() {
        let mut wants = held(&["x", "y", "z"]);
        wants.listing(Kind::ConfigMap, None);
        wants.listed(Kind::ConfigMap, None);
        wants.listing(Kind::Secret, Some("b".into()));
        wants.listed(Kind::Secret, Some("b".into()));
        assert_eq!(wants.next(), None);
        wants.listing(Kind::Secret, None);
        wants.shown(&key("y"), 1);
        wants.gain(key("new"));
        assert_eq!(wants.next(), Some(key("new")));
        wants.found(&key("new"), 1); // after the list was made
        wants.listed(Kind::Secret, None);
        let mut asked = [wants.next().unwrap(), wants.next().unwrap()];
        asked.sort_unstable();
        assert_eq!((asked, wants.next()), ([key("x"), key("z")], None));
        assert!(wants.absent(&key("x")));
        assert!(!wants.found(&key("z"), 1));
        wants.hidden(&key("x"));
        assert_eq!(wants.next(), None);
    }

    #[test]
    fn failures_rest_and_keep_what_is_held() {
        let mut wants = held(&["x"]);
        wants.shown(&key("x"), 2);
        wants.next().unwrap();
        wants.failed(&key("x"));
        assert_eq!(wants.tally(), Tally { unsettled: 0, fresh: 0, failing: 1 });
        assert_eq!(wants.next(), None);
        let due = wants.due().unwrap();
        wants.wake(due);
        assert_eq!(wants.next(), Some(key("x")));
        wants.postponed(&key("x"));
        assert_eq!(wants.next(), Some(key("x")));
        assert!(wants.found(&key("x"), 2));
        wants.gain(key("new"));
        assert_eq!(wants.tally(), Tally { unsettled: 1, fresh: 1, failing: 0 });
        wants.next().unwrap();
        wants.failed(&key("new"));
        assert_eq!(wants.tally(), Tally { unsettled: 1, fresh: 0, failing: 1 });
        assert!(!wants.lose(&key("new")));
        assert_eq!(wants.tally(), Tally::default());
    }

    #[test]
    fn what_is_deleted_while_it_is_fetched_is_asked_for_again() {
        let mut wants = SecretFetchQueue::default();
        wants.gain(key("x"));
        wants.next().unwrap();
        wants.hidden(&key("x"));
        assert!(wants.found(&key("x"), 1));
        assert_eq!(wants.next(), Some(key("x")));
        assert!(wants.absent(&key("x")));
    }

    #[test]
    fn an_answer_for_what_was_given_up_is_passed_over() {
        let mut wants = held(&["x"]);
        wants.shown(&key("x"), 2);
        wants.next().unwrap();
        assert!(wants.lose(&key("x")));
        wants.gain(key("x"));
        assert!(!wants.found(&key("x"), 2));
        assert_eq!(wants.next(), Some(key("x")));
        assert!(wants.found(&key("x"), 2));
        assert_eq!(wants.next(), None);
    }
}
