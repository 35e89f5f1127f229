//! How long a connection is waited for. One timer a connection, which is looked at when it runs
//! out: timers set and taken back for every head and every body would cost a tenth of an answer.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// What a connection is waited for, and since when.
#[derive(Debug)]
pub struct ConnectionDeadline {
    longest: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// For the head of a request.
    Head(Instant),
    /// For the body of one.
    Body(Instant),
    /// Not any more for the body.
    Late(Instant),
}

impl ConnectionDeadline {
    /// With a connection that was just opened: it may stay so long without a request, and the head
    /// and the body of one may each take so long.
    pub fn new(longest: Duration) -> Self {
        Self { longest, waiting: Mutex::new(Waiting::Head(Instant::now())) }
    }

    /// The timer of the connection.
    pub fn timer(&self) -> Sleep {
        sleep(self.longest)
    }

    /// A head has come.
    pub fn head_came(&self, now: Instant) {
        self.set(Waiting::Body(now));
    }

    /// A request is answered; the next head is waited for.
    pub fn answered(&self) {
        self.set(Waiting::Head(Instant::now()));
    }

    /// Whether the body took too long. Whoever waits for it runs in the task of the connection, and
    /// so is woken with it.
    pub fn is_late(&self) -> bool {
        matches!(self.get(), Waiting::Late(_))
    }

    /// Runs the timer of a connection: ready when it waited long enough for a head.
    pub fn poll_ended(&self, timer: &mut Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        while timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let waiting = self.get();
            let (Waiting::Head(since) | Waiting::Body(since) | Waiting::Late(since)) = waiting;
            let end = since + self.longest;
            match waiting {
                Waiting::Head(_) if end <= now => return Poll::Ready(()),
                Waiting::Body(_) if end <= now => self.set(Waiting::Late(now)),
                _ => {}
            }
            timer.as_mut().reset(if end <= now { now + self.longest } else { end });
        }
        Poll::Pending
    }

    fn get(&self) -> Waiting {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, waiting: Waiting) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(100);

    async fn ended(patience: &ConnectionDeadline) -> Duration {
        let (start, mut timer) = (Instant::now(), std::pin::pin!(patience.timer()));
        poll_fn(|context| patience.poll_ended(&mut timer, context)).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn a_head_is_waited_for_from_the_answer_before() {
        let patience = ConnectionDeadline::new(LONGEST);
        let other = async {
            patience.head_came(Instant::now());
            assert!(!patience.is_late());
            sleep(LONGEST / 2).await;
            patience.answered();
        };
        let (ended, ()) = tokio::join!(ended(&patience), other);
        assert!(ended >= LONGEST + LONGEST / 2, "{ended:?}");
    }

    #[tokio::test]
    async fn a_body_that_is_late_is_told_before_the_connection_ends() {
        let patience = ConnectionDeadline::new(LONGEST);
        let other = async {
            patience.head_came(Instant::now());
            sleep(LONGEST * 3 / 2).await;
            assert!(patience.is_late());
            patience.answered();
            assert!(!patience.is_late());
        };
        let (ended, ()) = tokio::join!(ended(&patience), other);
        assert!(ended >= LONGEST * 5 / 2, "{ended:?}");
    }
}
