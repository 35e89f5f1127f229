//! Tests of the whole: real Postgres, real HTTP, real FreeSWITCH where one is installed.

mod check;
mod crds;
mod folder;
mod freeswitch;
mod golden;
mod inert;
mod plans;
mod postgres;
mod properties;
mod recorded;
mod routing;
mod skip;
mod store;
mod validate;
mod xml;
