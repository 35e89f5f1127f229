//! Snapshot in, plan and problems out. Pure: no I/O, no clock, no Kubernetes client.
//!
//! All rules that need more than one resource live here. What one field may hold is in the CRDs.

pub mod problem;

pub use problem::{Effect, Problem, Reason};

/// What a compile gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled<T> {
    /// What is right, ready to be stored.
    pub plan: T,
    /// What is wrong or missing, in order of the resources.
    pub problems: Vec<Problem>,
}
