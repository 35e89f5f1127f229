//! Beside one FreeSWITCH: the replica in memory, and what answers from it.

pub mod replica;
