//! All tenants in memory, followed from Postgres, and cached on disk.

pub mod cache;
mod cache_writer;
pub mod follow;
pub mod spellings;
pub mod tenants;
