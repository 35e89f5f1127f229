//! The store against a real Postgres.

mod follow;
mod isolation;
mod keys;
mod migrations;
mod own_postgres;
mod removal;
mod writing;
