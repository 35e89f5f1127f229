//! Leader election.

mod api;
mod cluster;
mod election;
mod frozen;
