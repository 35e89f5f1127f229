//! Waiting for what must come: one way to wait, and one deadline.

use std::time::{Duration, Instant};

/// How long a test waits for what must come. The suite takes a hundredth of this for anything it waits for, so
/// that a machine ten times slower passes: a test that reaches the deadline found something broken. Where a test
/// claims that something is fast, it names its own limit.
pub const DEADLINE: Duration = Duration::from_secs(300);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Asks until there is an answer. Returns `None` when the limit, [`DEADLINE`] for most, has passed.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
