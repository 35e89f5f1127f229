//! Centrex: a Kubernetes operator for multi-tenant FreeSWITCH.
//!
//! The tree is the path of the data: `source` gives snapshots of `resources`, `compile` makes a
//! `plan` of them, `store` keeps it in Postgres, `switch` holds it in memory and answers
//! FreeSWITCH, deciding calls with `route`.

pub mod plan;
pub mod resources;
