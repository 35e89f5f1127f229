//! Where resources come from: every resource of the platform and of each tenant, as snapshots.
//!
//! Nothing after this stage knows whether a snapshot came from a cluster or from a folder.

pub mod cluster;
pub mod folder;
pub mod index;
pub mod manifest;
pub mod object;
mod origins;
pub mod references;
pub mod validate;

pub use index::{Change, PlatformSnapshot, ResourceIndex, TenantKey, TenantSnapshot, Unreadable};
pub use object::{Object, ObjectKey};
