//! Call records: read as mod_xml_cdr posts them, given to the tenant that a signed variable names,
//! and acknowledged once they are on a disk, Postgres' or our own (contract §7).

pub mod delivery;
pub mod document;
pub mod intake;
mod known;
pub mod leftovers;
pub mod metrics;
pub mod names;
pub mod place;
pub mod record;
mod row;
pub mod spool;
mod tags;
