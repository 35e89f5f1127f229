//! A running FreeSWITCH, changed by revisions while a call is up that must not notice; compared and
//! repaired; started anew; drained. And hostile peers in the place of its event socket.
//!
//! One switch serves all steps of a test, in order. Skipped where FreeSWITCH or sipp is missing.

mod changes;
mod damaged;
mod emergency;
mod ending;
mod fleet;
mod fuzz;
mod hostile;
mod lab;
mod menus;
mod repair;
