//! Several FreeSWITCHes at one address each, every one with its sidecar, beside an operator on a real
//! API server: what a status says of them is read there, as a user reads it.

mod all;
mod away;
mod crash;
mod profiles;
mod site;
