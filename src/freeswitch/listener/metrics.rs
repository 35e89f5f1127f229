//! Metrics of the sidecar. Labels are few and fixed: no names, no error texts.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Probe;
use crate::freeswitch::xml::Section;
use crate::replica::tenants::Replica;

/// The result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A document.
    Found,
    /// FreeSWITCH's "not found".
    NotFound,
    /// Wrong or missing credentials.
    Unauthorized,
    /// A request that was refused: wrong method or type, too large, incomplete, too slow.
    BadRequest,
    /// The replica, or the tenant in question, is not loaded yet.
    NotReady,
    /// A template failed, or rendering panicked.
    Error,
}

impl Outcome {
    const ALL: [Outcome; 6] = [
        Outcome::Found,
        Outcome::NotFound,
        Outcome::Unauthorized,
        Outcome::BadRequest,
        Outcome::NotReady,
        Outcome::Error,
    ];

    /// The outcome of a request that was refused with a status before it was looked up.
    pub fn of_refusal(status: StatusCode) -> Self {
        if status == StatusCode::UNAUTHORIZED { Outcome::Unauthorized } else { Outcome::BadRequest }
    }

    fn name(self) -> &'static str {
        match self {
            Outcome::Found => "found",
            Outcome::NotFound => "not_found",
            Outcome::Unauthorized => "unauthorized",
            Outcome::BadRequest => "bad_request",
            Outcome::NotReady => "not_ready",
            Outcome::Error => "error",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestLabels {
    section: &'static str,
    result: &'static str,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("section", self.section), ("result", self.result)].encode(encoder)
    }
}

/// The metrics of one section, resolved once: looking a label set up costs more than counting.
#[derive(Debug)]
struct SectionMetrics {
    requests: [Counter; Outcome::ALL.len()],
    seconds: Histogram,
}

/// All metrics of a sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sections: [SectionMetrics; Section::ALL.len()],
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new(replica: Arc<Replica>, probe: Arc<dyn Probe>) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let buckets = [25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 50e-3, 250e-3, 1.0];
        let seconds =
            Family::<Vec<(&'static str, &'static str)>, Histogram, _>::new_with_constructor(move || {
                Histogram::new(buckets)
            });
        let sections = Section::ALL.map(|section| SectionMetrics {
            requests: Outcome::ALL.map(|outcome| {
                let labels = RequestLabels { section: section.name(), result: outcome.name() };
                requests.get_or_create_owned(&labels)
            }),
            seconds: seconds.get_or_create_owned(&vec![("section", section.name())]),
        });
        let mut registry = Registry::with_prefix("centrex");
        registry.register("xml_requests", "Lookups of FreeSWITCH, by section and result", requests);
        registry.register_with_unit(
            "xml_request_duration",
            "Time from the head of a lookup to its answer",
            Unit::Seconds,
            seconds,
        );
        registry.register_collector(Box::new(ReplicaMetrics { replica, probe }));
        Self { registry, sections }
    }

    /// The registry that [`scrape`](crate::http::metrics::scrape) encodes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry, for metrics of other parts of the process.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Records a lookup and its duration.
    pub fn observe(&self, section: Section, outcome: Outcome, took: Duration) {
        let Some(metrics) = self.sections.get(section as usize) else { return };
        if let Some(requests) = metrics.requests.get(outcome as usize) {
            requests.inc();
        }
        metrics.seconds.observe(took.as_secs_f64());
    }
}

/// Gauges of the replica, read at each scrape.
#[derive(Debug)]
struct ReplicaMetrics {
    replica: Arc<Replica>,
    probe: Arc<dyn Probe>,
}

impl Collector for ReplicaMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let revisions = self.replica.revisions();
        let newest = revisions.values().copied().max().unwrap_or(0);
        let tenants = i64::try_from(revisions.len()).unwrap_or(i64::MAX);
        let mut gauge = |name, help, value: i64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("replica_tenants", "Tenants held", tenants)?;
        gauge("replica_newest_tenant_revision", "Highest revision of a tenant held", newest)?;
        gauge(
            "replica_platform_revision",
            "Revision of the platform's rows",
            self.replica.platform_revision(),
        )?;
        gauge(
            "replica_held_back",
            "Tenants, and the platform, held at a higher revision than in the store, which was set back",
            i64::try_from(self.probe.held_back()).unwrap_or(i64::MAX),
        )?;
        let Some(age) = self.probe.replica_age() else { return Ok(()) };
        let gauge = ConstGauge::new(age.as_secs_f64());
        gauge.encode(encoder.encode_descriptor(
            "replica_age",
            "Time since the replica was last known to be equal to the store",
            Some(&Unit::Seconds),
            gauge.metric_type(),
        )?)
    }
}
