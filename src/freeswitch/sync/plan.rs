//! What a synchronisation has to change, and its outcome. Pure: computed from two snapshots of the replica
//! and from what was read on the switch.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::apply::ApplyReport;
use super::change::{Change, Changes};
use super::difference::{changes, phone_changes, unknown_registrations};
use super::read::Observed;
use super::state::State;
use crate::plan::report::{Applied, GatewayState, NotApplied};
use crate::plan::{Service, TrunkRow};
use crate::replica::tenants::Snapshot;
use crate::route::media::MediaRoot;
use crate::secrets::signing_key::SigningKey;
use crate::util::domain::canonical;

/// Most differences that a report describes.
const MAX_DRIFT_MESSAGES: usize = 20;

/// The state that the switch should have.
pub fn desired_state(now: &Snapshot, key: &SigningKey, media: &MediaRoot) -> State {
    let mut state = State::of_platform(&now.platform, key);
    for held in now.tenants.values() {
        state.merge(State::of_tenant(&held.view, media));
    }
    state
}

/// The changes from one snapshot of the replica to another.
pub fn changes_between(before: &Snapshot, now: &Snapshot, key: &SigningKey, media: &MediaRoot) -> Changes {
    let mut have = State::of_platform(&before.platform, key);
    let mut want = State::of_platform(&now.platform, key);
    let mut all = Changes::new();
    let ids: BTreeSet<Uuid> = before.tenants.keys().chain(now.tenants.keys()).copied().collect();
    for id in ids {
        let (old, new) = (before.tenants.get(&id), now.tenants.get(&id));
        if old.map(|held| held.revision) == new.map(|held| held.revision) {
            continue;
        }
        if let Some(old) = old {
            have.merge(State::of_tenant(&old.view, media));
            all.extend(phone_changes(&old.view, new.map(|held| &*held.view)));
        }
        if let Some(new) = new {
            want.merge(State::of_tenant(&new.view, media));
        }
    }
    all.extend(changes(&have, &want));
    all
}

/// The changes that would make the desired state of what the switch has.
pub fn differences(found: &Observed, want: &State, now: &Snapshot) -> Changes {
    let mut all = changes(&found.state, want);
    let by_domain: BTreeMap<&str, _> = now
        .tenants
        .values()
        .filter(|held| held.view.plan.tenant.service() != Service::None)
        .flat_map(|held| held.view.plan.tenant.domains.iter().map(|domain| (domain.as_str(), &held.view)))
        .collect();
    let known = |user: &str, host: &str| {
        let Some(domain) = canonical(host) else { return false };
        by_domain.get(&*domain).is_some_and(|view| view.a1_hash(user, &domain).is_some())
    };
    all.extend(unknown_registrations(found.registered.iter(), known));
    // FreeSWITCH's default stream, and streams that were started by hand, are harmless.
    all.retain(|change| !matches!(change, Change::StopStream { .. }) || change.tenant().is_some());
    all
}

/// The outcome of a synchronisation.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Descriptions of the remaining differences, at most [`MAX_DRIFT_MESSAGES`].
    pub drift: Vec<String>,
    /// One description for each tenant that has a difference.
    pub problems: BTreeMap<Uuid, String>,
    /// Differences of the platform's resources, by `Kind/name`.
    pub not_applied: BTreeMap<String, NotApplied>,
    /// Whether nothing else of the platform differs.
    pub platform: bool,
}

impl Outcome {
    /// The outcome, from the remaining differences and the report of the changes against them.
    pub fn new(
        left: &Changes,
        done: &ApplyReport,
        found: Option<&Observed>,
        now: &Snapshot,
        key: &SigningKey,
    ) -> Self {
        let mut outcome = Self { platform: true, ..Self::default() };
        for change in left.iter().chain(done.refused.keys().filter(|change| !left.contains(*change))) {
            let refused = done.refused.get(change).map(String::as_str);
            let waits = refused.is_none() && done.waiting.contains_key(change);
            let text = match refused.or(done.waiting.get(change).copied()) {
                Some(reason) => format!("{change}: {reason}"),
                None => change.to_string(),
            };
            match change.tenant() {
                Some(tenant) => {
                    outcome.problems.entry(tenant).or_insert_with(|| text.clone());
                }
                None => match platform_resources(change, now, key) {
                    Some(resources) => {
                        let held = NotApplied { waits, why: text.clone() };
                        outcome.not_applied.extend(resources.into_iter().map(|name| (name, held.clone())));
                    }
                    None => outcome.platform &= matches!(change, Change::FlushRegistration { .. }),
                },
            }
            if outcome.drift.len() < MAX_DRIFT_MESSAGES {
                outcome.drift.push(text);
            }
        }
        let Some(found) = found else { return outcome };
        for (id, held) in
            now.tenants.iter().filter(|(_, held)| held.view.plan.tenant.service() != Service::None)
        {
            let missing = |domain: &&String| !found.state.domains.contains(*domain);
            if let Some(domain) = held.view.plan.tenant.domains.iter().find(missing) {
                let text = format!("the SIP profile for phones does not have domain {domain} yet");
                outcome.problems.entry(*id).or_insert(text);
            }
        }
        outcome
    }

    /// The revisions that are applied now. A tenant with a problem stays at its previous revision.
    pub fn applied(&self, before: Option<&Applied>, now: &Snapshot) -> Applied {
        let before_platform = before.map_or(0, |before| before.platform);
        let revision = |id: &Uuid, revision: i64| match self.problems.contains_key(id) {
            false => Some((*id, revision)),
            true => before?.tenants.get(id).map(|revision| (*id, *revision)),
        };
        Applied {
            platform: if self.platform { now.platform_revision } else { before_platform },
            tenants: now.tenants.iter().filter_map(|(id, held)| revision(id, held.revision)).collect(),
        }
    }
}

/// The platform's resources that a change is for; `None` if it is for all. The list is empty for the
/// removal of something whose resource is gone.
fn platform_resources(change: &Change, now: &Snapshot, key: &SigningKey) -> Option<Vec<String>> {
    let trunk = |name: &String| format!("Trunk/{name}");
    if let Some(gateway) = change.gateway() {
        let has = |row: &TrunkRow| key.gateway_names(row).any(|name| name == gateway);
        let trunks = now.platform.trunks.iter().filter(|(_, row)| has(row));
        return Some(trunks.map(|(name, _)| trunk(name)).collect());
    }
    let profile = change.profile()?;
    let there = now.platform.sip_profiles.contains_key(profile);
    let mut resources: Vec<_> = there.then(|| format!("SipProfile/{profile}")).into_iter().collect();
    if matches!(change, Change::StartProfile { .. }) {
        // Its gateways do not run either.
        let theirs = now.platform.trunks.iter().filter(|(_, row)| row.sip_profile == profile);
        resources.extend(theirs.map(|(name, _)| trunk(name)));
    }
    Some(resources)
}

/// The states of each trunk's gateways, in the trunk's order. A gateway that the switch does not have is
/// `MISSING`, a word that FreeSWITCH itself does not use.
pub fn trunk_gateways(
    now: &Snapshot,
    key: &SigningKey,
    states: &BTreeMap<String, GatewayState>,
) -> BTreeMap<String, Vec<GatewayState>> {
    let missing = || GatewayState { state: "MISSING".to_owned(), up: false };
    let state = |gateway: String| states.get(&gateway).cloned().unwrap_or_else(missing);
    let of = |row: &TrunkRow| key.gateway_names(row).map(state).collect();
    now.platform.trunks.iter().map(|(name, row)| (name.clone(), of(row))).collect()
}
