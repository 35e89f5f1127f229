//! Where resources come from: every resource of the platform and of each tenant, as snapshots.
//!
//! Nothing after this stage knows whether a snapshot came from a cluster or from a folder.

pub mod cluster;
pub mod folder;
pub mod manifest;
pub mod object;
mod origins;
mod password;
pub mod references;
pub mod validate;
pub mod world;

pub use object::{Object, ObjectKey};
pub use password::password;
pub use world::{Change, PlatformSnapshot, TenantKey, TenantSnapshot, Unreadable, World};
