//! What several stages use and none of them owns: each thing once.

pub mod backoff;
pub mod format;
pub mod hostname;
pub mod lossy;
pub mod pipe;
pub mod signals;
pub mod turns;
