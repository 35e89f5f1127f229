//! Leader election.

mod api;
mod cluster;
mod election;
mod frozen;

use std::time::Duration;

use centrex::operator::lease::LeaseOptions;

/// Options of an elector; all electors compete for one Lease.
fn options(name: &str, duration: Duration) -> LeaseOptions {
    LeaseOptions {
        namespace: "here".to_owned(),
        name: "centrex-operator".to_owned(),
        identity: name.to_owned(),
        duration,
    }
}
