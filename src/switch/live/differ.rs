//! The changes that lead from one state to another. Pure: the same for two revisions, and for what a
//! switch has and what it should have.

use std::collections::BTreeMap;

use super::change::{Change, Changes};
use super::state::{Gateway, Profile, State};
use crate::plan::ExtensionRow;
use crate::route::TenantView;

/// What has to be done so that `have` becomes `want`.
pub fn changes(have: &State, want: &State) -> Changes {
    let mut changes = Changes::new();
    profiles(have, want, &mut changes);
    gateways(have, want, &mut changes);
    if have.networks.is_some() && want.networks.is_some() && have.networks != want.networks {
        changes.insert(Change::ReloadAcl);
    }
    let missing = |name: &String| !want.queues.contains_key(name);
    each(&have.queues, &want.queues, |queue, known| {
        changes.insert(match (known, missing(queue)) {
            (_, true) => Change::UnloadQueue { queue: queue.clone() },
            (true, false) => Change::ReloadQueue { queue: queue.clone() },
            (false, false) => Change::LoadQueue { queue: queue.clone() },
        });
    });
    each(&have.agents, &want.agents, |agent, _| {
        changes.insert(match want.agents.contains_key(agent) {
            true => Change::SetAgent { agent: agent.clone() },
            false => Change::RemoveAgent { agent: agent.clone() },
        });
    });
    each(&have.tiers, &want.tiers, |place, _| {
        let (queue, agent) = place.clone();
        changes.insert(match want.tiers.contains_key(place) {
            true => Change::SetTier { queue, agent },
            false => Change::RemoveTier { queue, agent },
        });
    });
    each(&have.streams, &want.streams, |stream, known| {
        let stream = stream.clone();
        changes.insert(match (known, want.streams.contains_key(&stream)) {
            (_, false) => Change::StopStream { stream },
            (true, true) => Change::MoveStream { stream },
            (false, true) => Change::StartStream { stream },
        });
    });
    changes
}

/// Calls back with every key whose value is not the same in both, and whether the first has one.
fn each<K: Ord, V: PartialEq>(have: &BTreeMap<K, V>, want: &BTreeMap<K, V>, mut tell: impl FnMut(&K, bool)) {
    for (key, value) in have {
        if want.get(key) != Some(value) {
            tell(key, true);
        }
    }
    for key in want.keys().filter(|key| !have.contains_key(*key)) {
        tell(key, false);
    }
}

fn profiles(have: &State, want: &State, changes: &mut Changes) {
    for profile in have.profiles.keys().filter(|name| !want.profiles.contains_key(*name)) {
        changes.insert(Change::StopProfile { profile: profile.clone() });
    }
    for (name, wanted) in &want.profiles {
        let profile = name.clone();
        match have.profiles.get(name) {
            None => changes.insert(Change::StartProfile { profile }),
            Some(held) if !listens_as(held, wanted) => changes.insert(Change::RestartProfile { profile }),
            Some(held) if held.codecs != wanted.codecs => changes.insert(Change::Rescan { profile }),
            Some(_) => false,
        };
    }
    // A name comes by a rescan of the profile that has them all; none is ever taken away, and none
    // leads anywhere by itself.
    if !want.domains.is_subset(&have.domains)
        && let Some(profile) = want.main_profile().or_else(|| have.main_profile())
    {
        changes.insert(Change::Rescan { profile: profile.to_owned() });
    }
}

/// Whether nothing differs that only a new start changes (contract §4.2: sockets and TLS; and the
/// address that peers are told, which is part of what it binds).
fn listens_as(held: &Profile, wanted: &Profile) -> bool {
    (wanted.address.is_none() || held.address == wanted.address)
        && held.sip_port == wanted.sip_port
        && held.tls_port == wanted.tls_port
        && held.wss_port == wanted.wss_port
        && held.external == wanted.external
        && held.context == wanted.context
}

fn gateways(have: &State, want: &State, changes: &mut Changes) {
    for (name, held) in &have.gateways {
        let (profile, gateway) = (held.profile.clone(), name.clone());
        match want.gateways.get(name) {
            None => changes.insert(Change::RemoveGateway { profile, gateway }),
            Some(wanted) if !fits(held, wanted) => changes.insert(Change::ChangeGateway { profile, gateway }),
            Some(_) => false,
        };
    }
    for (name, wanted) in want.gateways.iter().filter(|(name, _)| !have.gateways.contains_key(*name)) {
        // A profile that starts brings its own.
        if have.profiles.contains_key(&wanted.profile) || !want.profiles.contains_key(&wanted.profile) {
            changes.insert(Change::AddGateway { profile: wanted.profile.clone(), gateway: name.clone() });
        }
    }
}

fn fits(held: &Gateway, wanted: &Gateway) -> bool {
    let unknown = held.password.is_none() && held.username.is_some() && wanted.username.is_some();
    let held = Gateway { password: if unknown { wanted.password } else { held.password }, ..held.clone() };
    held == *wanted
}

/// What one tenant's phones have to be told: who is no longer served, or has another password, has
/// to register again. All of them, and their calls, when the tenant is served no more.
pub fn phones(before: &TenantView, after: Option<&TenantView>) -> Changes {
    let mut changes = Changes::new();
    let tenant = before.plan.tenant.id;
    if before.plan.tenant.suspended {
        return changes;
    }
    let after = after.filter(|after| !after.plan.tenant.suspended);
    if after.is_none() {
        changes.insert(Change::EndCalls { tenant });
    }
    let left = |domain: &String| !after.is_some_and(|after| after.plan.tenant.domains.contains(domain));
    for domain in before.plan.tenant.domains.iter().filter(|domain| left(domain)) {
        changes.insert(Change::DropDomain { tenant, domain: domain.clone() });
    }
    for held in before.plan.extensions.values() {
        let same =
            |(_, row): (&str, &ExtensionRow)| row.secrets.get("password") == held.secrets.get("password");
        if after.is_none_or(|after| after.extension(&held.number).is_some_and(same)) {
            continue;
        }
        for domain in before.plan.tenant.domains.iter().filter(|domain| !left(domain)) {
            let (tenant, user, domain) = (Some(tenant), held.number.clone(), domain.clone());
            changes.insert(Change::DropRegistration { tenant, user, domain });
        }
    }
    changes
}

/// Registrations of users that nobody is: who may be registered is asked by user and domain.
pub fn strangers<'a>(
    registered: impl Iterator<Item = &'a (String, String)>,
    known: impl Fn(&str, &str) -> bool,
) -> Changes {
    registered
        .filter(|(user, domain)| !known(user, domain))
        .map(|(user, domain)| Change::DropRegistration {
            tenant: None,
            user: user.clone(),
            domain: domain.clone(),
        })
        .collect()
}
