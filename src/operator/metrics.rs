//! Metrics of the operator. Labels are few and fixed: no names, no error texts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::compile::Reason;
use crate::reconcile;

/// The label of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The reason of the condition, in PascalCase.
    pub reason: String,
}

/// The label of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// The watched kind, such as `Extension`.
    pub kind: String,
}

/// The operator's metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    leader: Gauge,
    pending: Gauge,
    problems: Family<ReasonLabel, Gauge>,
    watches: Family<KindLabel, Gauge<f64, AtomicU64>>,
    status_writes: Counter,
    /// Metrics of the reconcile loop.
    pub reconcile: reconcile::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("centrex_operator");
        let leader = Gauge::default();
        registry.register("leader", "Whether this replica writes", leader.clone());
        let pending = Gauge::default();
        registry.register("tenants_pending", "Tenants to be compiled and written", pending.clone());
        let problems = Family::default();
        registry.register("problems", "Problems of resources by reason", problems.clone());
        let watches = Family::<KindLabel, Gauge<f64, AtomicU64>>::default();
        let help = "Seconds since the API server was last heard on a watch";
        registry.register("watch_last_seen_seconds", help, watches.clone());
        let status_writes = Counter::default();
        registry.register("status_writes", "Statuses written to the API server", status_writes.clone());
        let reconcile = reconcile::Metrics::default();
        reconcile.register(&mut registry);
        Self { registry: Arc::new(registry), leader, pending, problems, watches, status_writes, reconcile }
    }
}

impl Metrics {
    /// Counts a status that was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// Sets the gauges of the loop; `problems` counts them by reason.
    pub fn set_loop(&self, leading: bool, pending: usize, problems: BTreeMap<Reason, i64>) {
        self.leader.set(i64::from(leading));
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.problems.clear();
        for (reason, count) in problems {
            self.problems.get_or_create(&ReasonLabel { reason: reason.to_string() }).set(count);
        }
    }

    /// Sets the seconds since the last message of the API server on the watch of a kind.
    pub fn set_watch(&self, kind: &str, seconds: f64) {
        self.watches.get_or_create(&KindLabel { kind: kind.to_owned() }).set(seconds);
    }

    /// The registry that a scrape encodes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
