//! Metrics of the writing loop. Labels are few and fixed.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::recordings::RecordingMetrics;

/// Metrics of the writing loop. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Metrics of removed recordings.
    pub(super) recordings: RecordingMetrics,
    errors: Family<Vec<(&'static str, &'static str)>, Counter>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Work that failed and is tried again, by category of the error";
        registry.register("errors", help, self.errors.clone());
        self.recordings.register(registry);
    }

    /// Counts work that failed, by category of the error.
    pub fn failed(&self, category: &'static str) {
        self.errors.get_or_create(&vec![("category", category)]).inc();
    }
}
