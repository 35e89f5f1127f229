//! One running FreeSWITCH: what it is answered, and what is applied to it.

pub mod emergency_calls;
pub mod esl;
pub mod listener;
pub mod sync;
pub mod xml;
