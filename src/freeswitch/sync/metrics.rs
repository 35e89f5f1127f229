//! Metrics of the running switch. Labels are few and fixed.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::change::Changes;
use crate::freeswitch::esl::EslError;

type Labelled = Family<Vec<(&'static str, &'static str)>, Counter>;

/// All metrics of the running switch. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    connected: Gauge,
    errors: Labelled,
    lost: Counter,
    changes: Labelled,
    compared: Counter,
    drift: Gauge,
    not_compared: Gauge,
    calls: Gauge,
    registrations: Family<Vec<(&'static str, String)>, Gauge>,
    delay: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let connected = self.connected.clone();
        registry.register("esl_connected", "Whether the event socket is connected", connected);
        let errors = self.errors.clone();
        registry.register("esl_errors", "Sessions and commands that failed, by category", errors);
        let lost = self.lost.clone();
        registry.register(
            "esl_events_lost",
            "Events lost because they arrived faster than they were processed",
            lost,
        );
        let changes = self.changes.clone();
        registry.register(
            "switch_changes",
            "Changes made on the running switch, by kind and reason",
            changes,
        );
        let compared = self.compared.clone();
        registry.register("switch_comparisons", "Comparisons of the switch with its desired state", compared);
        let drift = self.drift.clone();
        registry.register("switch_drift", "Differences that were not repaired", drift);
        let not_compared = self.not_compared.clone();
        registry.register(
            "switch_not_compared",
            "Kinds of things that are too many to be compared",
            not_compared,
        );
        registry.register("switch_legs", "Call legs that are up", self.calls.clone());
        registry.register(
            "switch_registrations",
            "Registrations of phones, by SIP profile",
            self.registrations.clone(),
        );
        let delay = self.delay.clone();
        registry.register(
            "switch_last_apply_seconds",
            "Seconds until the last revision was on the switch",
            delay,
        );
    }

    pub(super) fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
    }

    pub(super) fn failed(&self, error: &EslError) {
        self.errors.get_or_create(&vec![("category", error.category())]).inc();
    }

    pub(super) fn lost(&self, events: u64) {
        self.lost.inc_by(events);
    }

    pub(super) fn changed(&self, changes: &Changes, reason: &'static str) {
        for change in changes {
            self.changes.get_or_create(&vec![("kind", change.kind()), ("reason", reason)]).inc();
        }
    }

    pub(super) fn compared(&self) {
        self.compared.inc();
    }

    pub(super) fn drift(&self, differences: usize) {
        self.drift.set(i64::try_from(differences).unwrap_or(i64::MAX));
    }

    pub(super) fn not_compared(&self, kinds: usize) {
        self.not_compared.set(i64::try_from(kinds).unwrap_or(i64::MAX));
    }

    pub(super) fn legs(&self, legs: u32) {
        self.calls.set(legs.into());
    }

    /// Counts by profile. Profiles are few: an administrator of the platform makes them.
    pub(super) fn registrations(&self, counts: Vec<(String, usize)>) {
        for (profile, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.registrations.get_or_create(&vec![("profile", profile)]).set(count);
        }
    }

    pub(super) fn took(&self, seconds: f64) {
        self.delay.set(seconds);
    }
}
