//! Call records: parsed as mod_xml_cdr posts them, stored for the tenant that a signed variable names, and
//! acknowledged once they are on disk, in Postgres or in the spool (contract §7).

pub mod attribution;
pub mod delivery;
pub mod document;
pub mod err_log_dir;
pub mod intake;
pub mod metrics;
pub mod record;
pub mod resource_names;
pub mod spool;
