//! Exponential backoff with jitter: how long to pause before a failed operation is retried.

use std::time::Duration;

/// Pauses between the attempts of one operation. The pause doubles with every failure, up to a
/// longest one; each is shortened at random by up to half, so that clients that fail together do
/// not retry together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff from `first` to `longest`, before any failure.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Counts a failure, and returns the pause before the next attempt.
    pub fn pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.pause_after(self.failures)
    }

    /// Forgets all failures: the next pause is the first again. Call it after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after this many failures, for callers that count them themselves.
    pub fn pause_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let pause = self.first.saturating_mul(1 << doublings).min(self.longest);
        jitter(pause / 2, pause)
    }
}

/// A random duration between two, both included.
pub fn jitter(shortest: Duration, longest: Duration) -> Duration {
    rand::random_range(shortest.min(longest)..=longest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest_until_a_reset() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            assert!((expected / 2..=expected).contains(&pause), "{pause} of {expected}");
        }
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
        assert!(backoff.pause() >= FIRST, "twice as long as the first, or half of that");
    }

    #[test]
    fn counted_failures_give_the_same_pauses() {
        let backoff = Backoff::new(FIRST, LONGEST);
        assert!(backoff.pause_after(0) <= FIRST && backoff.pause_after(1) <= FIRST);
        for failures in [5, 6, 40, u32::MAX] {
            let pause = backoff.pause_after(failures);
            assert!(pause >= LONGEST / 2 && pause <= LONGEST, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn pauses_are_random() {
        let pauses: BTreeSet<_> = (0..50).map(|_| Backoff::new(FIRST, LONGEST).pause()).collect();
        assert!(pauses.len() > 40, "{pauses:?}");
        assert_eq!(jitter(LONGEST, LONGEST), LONGEST);
        assert_eq!(jitter(LONGEST, FIRST), FIRST, "never longer than the longest");
    }
}
