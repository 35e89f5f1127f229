//! Where a thread runs. Two that wake each other are put on one processor now and on two then, as the
//! kernel sees fit, and what is measured differs by a third.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One of the processors that this process may use.
#[derive(Clone, Copy)]
pub enum Processor {
    /// The first.
    First,
    /// The last: another one, where there are two.
    Last,
}

impl Processor {
    /// Has the calling thread stay there.
    pub fn keep_this_thread(self) {
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
