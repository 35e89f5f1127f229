//! Leader election.

mod api;
mod election;
mod frozen;
