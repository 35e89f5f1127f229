//! Pins threads to processors. The kernel puts two threads that wake each other on one processor at one time and on two
//! at another, which changes the results by a third.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One of the processors that this process may use.
#[derive(Clone, Copy)]
pub enum Processor {
    /// The first.
    First,
    /// The last; a machine with one processor has no other.
    Last,
}

impl Processor {
    /// Pins the calling thread to this processor.
    pub fn pin_this_thread(self) {
        let allowed = sched_getaffinity(None).expect("the processors that may be used");
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let cpu = match self {
            Self::First => allowed.next(),
            Self::Last => allowed.next_back(),
        };
        let mut only = CpuSet::new();
        only.set(cpu.expect("a processor"));
        sched_setaffinity(None, &only).expect("a processor that may be used");
    }
}
