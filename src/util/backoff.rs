//! Growing pauses with jitter, so that what failed together is not tried again together.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The pauses of one thing that is tried again.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses that double from the first to the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause, mostly by chance: of many that fail together, some are tried again soon.
    pub fn pause(&mut self) -> Duration {
        let pause = jitter(self.next / 8, self.next);
        self.next = (self.next * 2).min(self.longest);
        pause
    }

    /// What was tried worked.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A time between two, by chance.
pub fn jitter(least: Duration, most: Duration) -> Duration {
    // Every RandomState hashes differently: chance enough for pauses, without a generator to seed.
    let chance = RandomState::new().build_hasher().finish() % 1024;
    least + most.saturating_sub(least).mul_f64(chance as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_start_anew() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, longest);
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            assert!((expected / 8..=expected).contains(&pause), "{pause} of {expected}");
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
        let chances: std::collections::BTreeSet<_> = (0..50).map(|_| jitter(first, longest)).collect();
        assert!(chances.len() > 20, "{chances:?}");
    }
}
