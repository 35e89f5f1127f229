//! Metrics of the server of phones' files. Labels are few and fixed: no name, no address, no MAC address.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::outcome::Outcome;
use crate::resources::device::Vendor;

type Labels = Vec<(&'static str, &'static str)>;

/// Metrics. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests: Family<Labels, Counter>,
    unrecorded: Counter,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "provision_requests",
            "Requests of phones, by maker of the Device that has the MAC address, and by outcome",
            self.requests.clone(),
        );
        registry.register(
            "provision_fetches_unrecorded",
            "Fetches of phones that were not recorded: too many waited for Postgres",
            self.unrecorded.clone(),
        );
    }

    /// Counts a request.
    pub(super) fn count(&self, vendor: Option<Vendor>, outcome: Outcome) {
        let vendor = vendor.map_or("unknown", name);
        self.requests.get_or_create(&vec![("vendor", vendor), ("outcome", outcome.name())]).inc();
    }

    /// Counts fetches that are not recorded.
    pub(super) fn count_unrecorded(&self, fetches: usize) {
        self.unrecorded.inc_by(fetches as u64);
    }
}

fn name(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Yealink => "yealink",
        Vendor::Poly => "poly",
        Vendor::Grandstream => "grandstream",
        Vendor::Snom => "snom",
        Vendor::Cisco => "cisco",
        Vendor::Fanvil => "fanvil",
        Vendor::Linphone => "linphone",
        Vendor::Acrobits => "acrobits",
        Vendor::MicroSip => "microsip",
    }
}
