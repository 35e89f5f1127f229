//! The plan: what compile makes of a snapshot, what store keeps, what a replica answers from.
//!
//! It is data only. Every reference in it is resolved, every value checked. The same types are
//! written to Postgres as rows and read back from them, so that a replica sees what was compiled.

pub mod device;
pub mod heartbeat;
pub mod in_force;
pub mod platform;
pub mod report;
pub mod row;
pub mod schedule;
pub mod tenant;

pub use device::*;
pub use in_force::{InForce, Origin};
pub use platform::*;
pub use row::{DigestAlgorithm, Row, Rows, SecretName, Secrets, has_rows};
pub(crate) use row::{platform_rows, tenant_rows};
pub use schedule::*;
pub use tenant::*;
