//! One folder or file for each subcommand: its options, and how its parts are put together.

pub mod api;
pub mod check;
pub mod crds;
pub mod migrate;
pub mod operator;
pub mod phone;
pub mod standalone;
pub mod switch;
pub mod trace;
