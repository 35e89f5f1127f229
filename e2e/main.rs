//! Tests of the whole system: real Postgres, real HTTP, a real FreeSWITCH if one is installed.

// A test ends at the first `unwrap` that fails, and helpers of tests are not marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod browser;
#[path = "../tests/cases/mod.rs"]
mod cases;
mod cdr;
mod chart;
mod cluster;
mod cluster_source;
mod docs;
mod folder;
mod freeswitch;
mod go;
mod hardened;
mod lease;
mod live;
mod node;
mod operator;
mod plans;
mod postgres;
mod program;
mod provision;
mod readme;
mod reconcile;
mod recorded;
mod skip;
mod standalone;
mod store;
mod switch;
mod trace;
mod wait;
mod xml;
