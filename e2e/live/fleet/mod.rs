//! Several FreeSWITCHes, each at its own address with its own sidecar, and an operator on a real API server,
//! where the tests read the statuses as a user does.

mod all;
mod away;
mod crash;
mod profiles;
mod site;
