//! Tests of the whole: real Postgres, real HTTP, real FreeSWITCH where one is installed.

mod recorded;
mod skip;
mod xml;
