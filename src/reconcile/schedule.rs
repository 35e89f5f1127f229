//! Scheduled work: due at once, at a later time, or after a pause that grows with each failure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::util::backoff::Backoff;

/// First pause before a retry, and the longest.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    failures: u32,
}

/// Work by key. Each key has its own pause: a failing key delays no other.
#[derive(Debug)]
pub struct Schedule<K> {
    due: BTreeMap<K, Due>,
}

impl<K: Ord + Clone> Default for Schedule<K> {
    fn default() -> Self {
        Self { due: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Schedule<K> {
    /// Schedules work at once, and forgets its failures: their cause may be gone.
    pub fn now(&mut self, key: K) {
        self.due.insert(key, Due { at: Instant::now(), failures: 0 });
    }

    /// Schedules a retry of work that failed `failures` times, unless it is already scheduled.
    pub fn retry(&mut self, key: K, failures: u32) {
        let at = Instant::now() + BACKOFF.pause_after(failures);
        self.due.entry(key).or_insert(Due { at, failures });
    }

    /// Schedules work for a later time, unless it is already scheduled.
    pub fn at(&mut self, key: K, at: Instant) {
        self.due.entry(key).or_insert(Due { at, failures: 0 });
    }

    /// Removes the first work that is due and allowed; returns it with its number of failures.
    pub fn pop_due(&mut self, allowed: impl Fn(&K) -> bool) -> Option<(K, u32)> {
        let now = Instant::now();
        let ready = self.due.iter().filter(|(key, due)| due.at <= now && allowed(key));
        let key = ready.min_by_key(|(_, due)| due.at)?.0.clone();
        let due = self.due.remove(&key)?;
        Some((key, due.failures))
    }

    /// When the first allowed work is due.
    pub fn next_due(&self, allowed: impl Fn(&K) -> bool) -> Option<Instant> {
        self.due.iter().filter(|(key, _)| allowed(key)).map(|(_, due)| due.at).min()
    }

    /// True when no work is scheduled.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Number of scheduled keys.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Removes all work.
    pub fn clear(&mut self) {
        self.due.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_waits_longer_and_delays_nothing_else() {
        let mut schedule = Schedule::default();
        schedule.retry("bad", 1);
        schedule.now("good");
        assert_eq!(schedule.pop_due(|_| true), Some(("good", 0)));
        assert_eq!(schedule.pop_due(|_| true), None);
        tokio::time::advance(FIRST_RETRY).await;
        assert_eq!(schedule.pop_due(|key| *key != "bad"), None);
        assert_eq!(schedule.pop_due(|_| true), Some(("bad", 1)));
        schedule.retry("bad", 5);
        tokio::time::advance(FIRST_RETRY * 7).await;
        assert_eq!(schedule.pop_due(|_| true), None, "the fifth pause is 8 to 16 times the first");
        tokio::time::advance(FIRST_RETRY * 9).await;
        assert_eq!(schedule.pop_due(|_| true), Some(("bad", 5)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_meanwhile_is_not_put_off() {
        let mut schedule = Schedule::default();
        schedule.now("tenant");
        schedule.retry("tenant", 7);
        assert_eq!(schedule.pop_due(|_| true), Some(("tenant", 0)));
        assert!(schedule.is_empty());
    }
}
