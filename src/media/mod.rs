//! Files of tenants: their directories, and recordings.

pub mod directory;
pub mod recordings;
