//! Summary of a tenant's resources for the Tenant's status: counts against limits, and the first that fail.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reason::{ACCEPTED, READY, find};
use crate::resources::Kind;
use crate::resources::status::ResourceCount;
use crate::resources::tenant_profile::TenantProfileSpec;
use crate::source::ObjectKey;

/// Most failing resources that are named.
const MAX_NAMED: usize = 10;

/// Collects the summary.
#[derive(Debug, Default)]
pub struct Summary {
    counts: BTreeMap<Kind, ResourceCount>,
    /// The first resources with a problem.
    pub failing: Vec<String>,
}

impl Summary {
    /// Counts a resource by its conditions.
    pub fn count(&mut self, key: &ObjectKey, conditions: &[Condition]) {
        let is = |type_, status| find(conditions, type_).is_some_and(|condition| condition.status == status);
        let count = self.counts.entry(key.kind).or_default();
        count.total += 1;
        count.ready += i32::from(is(READY, "True"));
        let refused = is(ACCEPTED, "False");
        count.refused += i32::from(refused);
        if refused && self.failing.len() < MAX_NAMED {
            let reason = find(conditions, ACCEPTED).map_or("", |condition| &condition.reason);
            self.failing.push(format!("{} {}: {reason}", key.kind, key.name));
        }
    }

    /// The counts, with the limits of the tenant's profile.
    pub fn resources(self, profile: Option<&TenantProfileSpec>) -> Vec<ResourceCount> {
        let limit = |kind: Kind| {
            let profile = profile?;
            match kind {
                Kind::Extension => profile.max_extensions,
                Kind::Device => profile.max_devices,
                Kind::Queue => profile.max_queues,
                Kind::Conference => profile.max_conferences,
                Kind::RingGroup => profile.max_ring_groups,
                Kind::IvrMenu => profile.max_ivr_menus,
                Kind::Number => profile.max_numbers,
                _ => None,
            }
        };
        self.counts
            .into_iter()
            .map(|(kind, count)| ResourceCount { kind: kind.to_string(), limit: limit(kind), ..count })
            .collect()
    }
}
