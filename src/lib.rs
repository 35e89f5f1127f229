//! Centrex: a Kubernetes operator for multi-tenant FreeSWITCH.
//!
//! The tree is the path of the data: `source` gives snapshots of `resources`, `compile` makes a
//! `plan` of them, `store` keeps it in Postgres, `switch` holds it in memory and answers
//! FreeSWITCH, deciding calls with `route`.

#![deny(missing_docs)]

pub mod cdr;
pub mod check;
pub mod compile;
pub mod crds;
pub mod format;
pub mod host;
pub mod lease;
mod lookup;
pub mod migrate;
pub mod operator;
pub mod pipe;
pub mod plan;
pub mod reconcile;
pub mod resources;
pub mod route;
pub mod sidecar;
pub mod signals;
pub mod source;
pub mod standalone;
pub mod status;
pub mod store;
pub mod switch;
pub mod trace;
mod turns;
