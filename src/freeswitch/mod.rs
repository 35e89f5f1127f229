//! One running FreeSWITCH: the answers to its lookups, and the changes that are applied to it.

pub mod emergency_calls;
pub mod esl;
pub mod listener;
pub mod notify;
pub mod registrations;
pub mod sync;
pub mod xml;

use crate::store::Reader;

/// Where a switch writes what it finds: Postgres, and its own name.
pub type Destination = (Reader, String);
