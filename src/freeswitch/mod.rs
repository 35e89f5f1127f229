//! One running FreeSWITCH: the answers to its lookups, and the changes that are applied to it.

pub mod emergency_calls;
pub mod esl;
pub mod listener;
pub mod sync;
pub mod xml;
