//! Waiting for an expected event: one function, and one deadline.

use std::time::{Duration, Instant};

/// How long a test waits for an expected event. The suite needs a hundredth of this for each wait, so that a
/// machine ten times slower passes, and a test that reaches the deadline found a defect. A test that claims
/// speed has its own limit.
pub const DEADLINE: Duration = Duration::from_secs(300);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Calls a function until it returns a value. Returns `None` after the limit, usually [`DEADLINE`].
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
