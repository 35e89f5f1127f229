//! Beside one FreeSWITCH: the replica in memory, and what answers from it.

pub mod cache;
pub mod esl;
pub mod field;
pub mod findings;
pub mod follow;
pub mod form;
pub mod http;
mod keep;
pub mod live;
pub mod metrics;
pub mod replica;
pub mod xml;
