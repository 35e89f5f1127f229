//! Media files of tenants: their directories, and the retention of recordings.

pub mod directory;
pub mod recordings;
