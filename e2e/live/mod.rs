//! A running FreeSWITCH: changed by revisions during a call that must not be affected; compared and repaired;
//! restarted; drained. And hostile servers in place of its event socket.
//!
//! One switch serves all steps of a test, in order. Skipped where FreeSWITCH or sipp is missing.

mod changes;
mod damaged;
mod emergency;
mod ending;
mod fleet;
mod fuzz;
mod hostile;
pub mod lab;
mod menus;
mod phones;
mod repair;
