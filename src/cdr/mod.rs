//! Call records: read as mod_xml_cdr posts them, given to the tenant that a signed variable names,
//! and acknowledged once they are on a disk, Postgres' or our own (contract §7).

pub mod attribution;
pub mod delivery;
pub mod document;
pub mod err_log_dir;
pub mod intake;
pub mod metrics;
pub mod record;
pub mod resource_names;
pub mod spool;
