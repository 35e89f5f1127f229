//! What a round has to do and what came of it: pure, from two moments of the replica and what was
//! found on the switch.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::apply::ApplyReport;
use super::change::{Change, Changes};
use super::difference::{changes, phones, strangers};
use super::read::Observed;
use super::state::State;
use crate::plan::TrunkRow;
use crate::plan::report::{Applied, GatewayState, NotApplied};
use crate::replica::tenants::Snapshot;
use crate::route::media::MediaRoot;
use crate::secrets::signing_key::SigningKey;

/// Most differences that are told in words.
const TOLD: usize = 20;

/// Everything the switch should have.
pub fn wanted(now: &Snapshot, key: &SigningKey, media: &MediaRoot) -> State {
    let mut state = State::of_platform(&now.platform, key);
    for held in now.tenants.values() {
        state.add(State::of_tenant(&held.view, media));
    }
    state
}

/// What changed from one moment to another.
pub fn revised(before: &Snapshot, now: &Snapshot, key: &SigningKey, media: &MediaRoot) -> Changes {
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
            have.add(State::of_tenant(&old.view, media));
            all.extend(phones(&old.view, new.map(|held| &*held.view)));
        }
        if let Some(new) = new {
            want.add(State::of_tenant(&new.view, media));
        }
    }
    all.extend(changes(&have, &want));
    all
}

/// What the switch has and should not, or should have and has not.
pub fn differences(found: &Observed, want: &State, now: &Snapshot) -> Changes {
    let mut all = changes(&found.state, want);
    let by_domain: BTreeMap<&str, _> = now
        .tenants
        .values()
        .filter(|held| !held.view.plan.tenant.suspended)
        .flat_map(|held| held.view.plan.tenant.domains.iter().map(|domain| (domain.as_str(), &held.view)))
        .collect();
    let known = |user: &str, domain: &str| {
        let row = by_domain.get(domain).and_then(|view| view.extension(user));
        row.is_some_and(|(_, row)| row.secrets.a1_hash(domain).is_some())
    };
    all.extend(strangers(found.registered.iter(), known));
    // The stream that belongs to nobody, and those that somebody started by hand, harm nobody.
    all.retain(|change| !matches!(change, Change::StopStream { .. }) || change.tenant().is_some());
    all
}

/// What came of a round.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is not as it should be, in words, one a difference.
    pub drift: Vec<String>,
    /// The same for each tenant.
    pub problems: BTreeMap<Uuid, String>,
    /// What is not as it should be of the platform, by its resource.
    pub held: BTreeMap<String, NotApplied>,
    /// Whether all that belongs to no tenant and to no resource of the platform is as it should be.
    pub platform: bool,
}

impl Outcome {
    /// From what is still different, and what was tried against it.
    pub fn of(
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
                None => match resources(change, now, key) {
                    Some(resources) => {
                        let held = NotApplied { waits, why: text.clone() };
                        outcome.held.extend(resources.into_iter().map(|name| (name, held.clone())));
                    }
                    None => outcome.platform &= matches!(change, Change::DropRegistration { .. }),
                },
            }
            if outcome.drift.len() < TOLD {
                outcome.drift.push(text);
            }
        }
        let Some(found) = found else { return outcome };
        for (id, held) in now.tenants.iter().filter(|(_, held)| !held.view.plan.tenant.suspended) {
            let missing = |domain: &&String| !found.state.domains.contains(*domain);
            if let Some(domain) = held.view.plan.tenant.domains.iter().find(missing) {
                let text = format!("domain {domain} is no name of the phones' SIP profile yet");
                outcome.problems.entry(*id).or_insert(text);
            }
        }
        outcome
    }

    /// How far the switch is now, from how far it was.
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

/// The resources of the platform that a change is for: none where it is for all of them. What is to
/// go is nobody's any more.
fn resources(change: &Change, now: &Snapshot, key: &SigningKey) -> Option<Vec<String>> {
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
        // Its gateways are not there either.
        let theirs = now.platform.trunks.iter().filter(|(_, row)| row.sip_profile == profile);
        resources.extend(theirs.map(|(name, _)| trunk(name)));
    }
    Some(resources)
}

/// The states of each trunk's gateways, in the trunk's order. One that is not there is `MISSING`,
/// which is not FreeSWITCH's word.
pub fn trunks(
    now: &Snapshot,
    key: &SigningKey,
    states: &BTreeMap<String, GatewayState>,
) -> BTreeMap<String, Vec<GatewayState>> {
    let missing = || GatewayState { state: "MISSING".to_owned(), up: false };
    let state = |gateway: String| states.get(&gateway).cloned().unwrap_or_else(missing);
    let of = |row: &TrunkRow| key.gateway_names(row).map(state).collect();
    now.platform.trunks.iter().map(|(name, row)| (name.clone(), of(row))).collect()
}
