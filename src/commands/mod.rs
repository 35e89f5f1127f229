//! One folder or file a subcommand: its options, and what it is made of.

pub mod check;
pub mod crds;
pub mod migrate;
pub mod operator;
pub mod standalone;
pub mod switch;
pub mod trace;
