//! Metrics of call records. Labels are few and fixed.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, &'static str)>;

/// Metrics of the intake. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct CdrMetrics {
    records: Family<Labels, Counter>,
    quarantined: Family<Labels, Counter>,
    /// Bytes of records that wait for Postgres.
    pub(super) spool_bytes: Gauge<i64>,
    /// Records that wait for Postgres.
    pub(super) spool_records: Gauge<i64>,
    /// Arrival of the oldest waiting record in Unix seconds; 0 without one.
    pub(super) spool_oldest: Gauge<f64, AtomicU64>,
}

impl CdrMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("cdrs", "Call records, by result", self.records.clone());
        registry.register(
            "cdrs_quarantined",
            "Call records in quarantine, by reason",
            self.quarantined.clone(),
        );
        registry.register(
            "cdr_spool_bytes",
            "Bytes of call records that wait for Postgres",
            self.spool_bytes.clone(),
        );
        registry.register(
            "cdr_spool_records",
            "Call records that wait for Postgres",
            self.spool_records.clone(),
        );
        registry.register(
            "cdr_spool_oldest_timestamp_seconds",
            "Arrival of the oldest call record that waits for Postgres; 0 without one",
            self.spool_oldest.clone(),
        );
    }

    /// Counts records with a result: `stored`, `repeated`, `spooled` or `refused`.
    pub fn count(&self, result: &'static str, records: u64) {
        self.records.get_or_create(&vec![("result", result)]).inc_by(records);
    }

    pub(super) fn count_quarantined(&self, reason: &'static str) {
        self.quarantined.get_or_create(&vec![("reason", reason)]).inc();
    }
}
