//! Helpers of the tests that the benchmarks use; some parts of them are unused here.

#[allow(dead_code)]
#[path = "../freeswitch/esl.rs"]
pub mod esl;
#[allow(dead_code)]
#[path = "../freeswitch/process.rs"]
pub mod process;
#[allow(dead_code)]
#[path = "../freeswitch/switch.rs"]
pub mod switch;

#[allow(dead_code)]
#[path = "../wait.rs"]
pub mod wait;

#[allow(dead_code)]
#[path = "../cluster/writes.rs"]
mod writes;

pub use process::{Process, free_port};
pub use wait::until;
pub use writes::Writes;
