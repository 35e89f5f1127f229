//! The store against a real Postgres.

mod follow;
mod isolation;
mod keys;
mod lead;
mod migrations;
mod own_postgres;
mod registrations;
mod removal;
mod restore;
mod set_back;
mod size;
mod writing;
