//! Beside one FreeSWITCH: the replica in memory, and what answers from it.

pub mod cache;
pub mod follow;
mod keep;
pub mod replica;
