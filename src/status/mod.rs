//! Computes the conditions of a resource from its problems, the store and the switches' reports. Pure: the
//! writing loop publishes them.

pub mod acks;
pub mod conditions;
pub mod emergency;
pub mod reason;
pub mod summary;
pub mod switch;
pub mod trunk;
pub mod vulnerabilities;

pub use acks::AckTable;
pub use conditions::{Facts, LastGood, Live, Programmed, conditions};
