//! Beside one FreeSWITCH: the replica in memory, and what answers from it.

pub mod form;
pub mod http;
pub mod metrics;
pub mod replica;
pub mod xml;
