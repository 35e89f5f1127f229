//! Centrex: a Kubernetes operator for multi-tenant FreeSWITCH.
//!
//! `docs/architecture.md` has the path of the data and what each folder is for. A folder uses those below it
//! in that table, never those above.

#![deny(missing_docs)]

pub mod cdr;
pub mod commands;
pub mod compile;
pub mod freeswitch;
pub mod http;
pub mod local_postgres;
pub mod media;
pub mod numbers;
pub mod operator;
pub mod phones;
pub mod plan;
pub mod provision;
pub mod reconcile;
pub mod replica;
pub mod resources;
pub mod route;
pub mod secrets;
pub mod sip_websocket;
pub mod source;
pub mod status;
pub mod store;
pub mod util;
