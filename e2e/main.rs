//! Tests of the whole: real Postgres, real HTTP, real FreeSWITCH where one is installed.

mod bad_input;
mod cases;
mod chart;
mod check;
mod cluster;
mod cluster_source;
mod crds;
mod docs;
mod folder;
mod freeswitch;
mod go;
mod golden;
mod inert;
mod lease;
mod plans;
mod postgres;
mod program;
mod properties;
mod reconcile;
mod recorded;
mod routing;
mod skip;
mod standalone;
mod store;
mod validate;
mod xml;
