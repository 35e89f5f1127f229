//! Leader election.

mod api;
mod cluster;
mod election;
mod frozen;

use std::time::Duration;

use centrex::operator::lease::LeaseOptions;

/// One Lease that electors of these names want.
fn options(name: &str, duration: Duration) -> LeaseOptions {
    LeaseOptions {
        namespace: "here".to_owned(),
        name: "centrex-operator".to_owned(),
        identity: name.to_owned(),
        duration,
    }
}
