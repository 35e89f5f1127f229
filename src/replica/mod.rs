//! All tenants in memory, followed from Postgres, and cached on disk.

pub mod cache;
mod cache_writer;
pub mod follow;
pub mod tenants;
