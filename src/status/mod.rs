//! What is true of a resource: problems, the store and the switches' reports become conditions.
//! Pure: whoever runs the loop writes them where they belong.

pub mod acks;
pub mod conditions;
pub mod emergency;
pub mod reason;
pub mod summary;
pub mod switch;
pub mod trunk;
pub mod version;

pub use acks::AckTable;
pub use conditions::{Facts, Live, Programmed, conditions};
