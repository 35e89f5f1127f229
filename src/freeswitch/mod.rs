//! Beside one FreeSWITCH: the replica in memory, and what answers from it.

pub mod esl;
pub mod http;
pub mod metrics;
pub mod sync;
pub mod xml;
