//! A thread that lives as long as the process.
//!
//! A program that must die with its parent (`PR_SET_PDEATHSIG`) dies with the thread that started it, and the
//! thread of a test ends while other tests still use the program.

use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};

type Work = Box<dyn FnOnce() + Send>;

static THREAD: LazyLock<Mutex<Sender<Work>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Work>();
    std::thread::spawn(move || receiver.into_iter().for_each(|work| work()));
    Mutex::new(sender)
});

/// Runs a function on the long-lived thread, and returns its result.
pub fn lasting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let work = Box::new(move || drop(sender.send(work())));
    THREAD.lock().unwrap().send(work).unwrap();
    receiver.recv().expect("the lasting thread")
}
