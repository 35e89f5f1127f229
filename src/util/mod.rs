//! Helpers that several stages use and none of them owns.

pub mod atomic_file;
pub mod backoff;
pub mod domain;
pub mod format;
pub mod hostname;
pub mod pipe;
pub mod signals;
pub mod turns;
