//! The changes that lead from one state to another. Pure; used between two revisions, and between what a
//! switch has and what it should have.

use std::collections::BTreeMap;

use super::change::{Change, Changes};
use super::state::{Gateway, Profile, State};
use crate::plan::Service;
use crate::route::TenantView;

/// The changes that make `want` of `have`.
pub fn changes(have: &State, want: &State) -> Changes {
    let mut changes = Changes::new();
    profiles(have, want, &mut changes);
    gateways(have, want, &mut changes);
    if have.networks.is_some() && want.networks.is_some() && have.networks != want.networks {
        changes.insert(Change::ReloadAcl);
    }
    let missing = |name: &String| !want.queues.contains_key(name);
    for_each_difference(&have.queues, &want.queues, |queue, known| {
        changes.insert(match (known, missing(queue)) {
            (_, true) => Change::UnloadQueue { queue: queue.clone() },
            (true, false) => Change::ReloadQueue { queue: queue.clone() },
            (false, false) => Change::LoadQueue { queue: queue.clone() },
        });
    });
    for_each_difference(&have.agents, &want.agents, |agent, _| {
        changes.insert(match want.agents.contains_key(agent) {
            true => Change::SetAgent { agent: agent.clone() },
            false => Change::RemoveAgent { agent: agent.clone() },
        });
    });
    for_each_difference(&have.tiers, &want.tiers, |place, _| {
        let (queue, agent) = place.clone();
        changes.insert(match want.tiers.contains_key(place) {
            true => Change::SetTier { queue, agent },
            false => Change::RemoveTier { queue, agent },
        });
    });
    for_each_difference(&have.streams, &want.streams, |stream, known| {
        let stream = stream.clone();
        changes.insert(match (known, want.streams.contains_key(&stream)) {
            (_, false) => Change::StopStream { stream },
            (true, true) => Change::MoveStream { stream },
            (false, true) => Change::StartStream { stream },
        });
    });
    changes
}

/// Calls `on_difference` with every key whose values differ, and whether `have` has the key.
fn for_each_difference<K: Ord, V: PartialEq>(
    have: &BTreeMap<K, V>,
    want: &BTreeMap<K, V>,
    mut on_difference: impl FnMut(&K, bool),
) {
    for (key, value) in have {
        if want.get(key) != Some(value) {
            on_difference(key, true);
        }
    }
    for key in want.keys().filter(|key| !have.contains_key(*key)) {
        on_difference(key, false);
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
    // A rescan of the profile that has all domain names adds missing ones. FreeSWITCH never removes one;
    // a name that is left over leads nowhere.
    if !want.domains.is_subset(&have.domains)
        && let Some(profile) = want.main_profile().or_else(|| have.main_profile())
    {
        changes.insert(Change::Rescan { profile: profile.to_owned() });
    }
}

/// Whether a profile needs no restart: sockets, TLS (contract §4.2), context and the address that it
/// announces to peers are as wanted.
fn listens_as(held: &Profile, wanted: &Profile) -> bool {
    (wanted.address.is_none() || held.address == wanted.address)
        && held.sip_port == wanted.sip_port
        && held.tls_port == wanted.tls_port
        && held.ws_port == wanted.ws_port
        && held.exposed_web_socket == wanted.exposed_web_socket
        && held.external == wanted.external
        && held.context == wanted.context
}

fn gateways(have: &State, want: &State, changes: &mut Changes) {
    for (name, held) in &have.gateways {
        let (profile, gateway) = (held.profile.clone(), name.clone());
        match want.gateways.get(name) {
            None => changes.insert(Change::RemoveGateway { profile, gateway }),
            Some(wanted) if !is_same_gateway(held, wanted) => {
                changes.insert(Change::ChangeGateway { profile, gateway })
            }
            Some(_) => false,
        };
    }
    for (name, wanted) in want.gateways.iter().filter(|(name, _)| !have.gateways.contains_key(*name)) {
        // A profile that is going to start loads its gateways itself.
        if have.profiles.contains_key(&wanted.profile) || !want.profiles.contains_key(&wanted.profile) {
            changes.insert(Change::AddGateway { profile: wanted.profile.clone(), gateway: name.clone() });
        }
    }
}

fn is_same_gateway(held: &Gateway, wanted: &Gateway) -> bool {
    let undisclosed = held.undisclosed.or(wanted.undisclosed);
    Gateway { undisclosed, ..held.clone() } == *wanted
}

/// Flushes registrations of users that are no longer served or have another password. If the tenant is
/// no longer served, flushes its domains and ends its calls; if it is served emergency calls only, ends the others.
pub fn phone_changes(before: &TenantView, after: Option<&TenantView>) -> Changes {
    let mut changes = Changes::new();
    let tenant = before.plan.tenant.id;
    let service = after.map_or(Service::None, |after| after.plan.tenant.service());
    match (before.plan.tenant.service(), service) {
        (Service::None, _) => return changes,
        (_, Service::Full) | (Service::EmergencyOnly, Service::EmergencyOnly) => {}
        (_, now) => {
            changes.insert(Change::EndCalls { tenant, but_emergency: now == Service::EmergencyOnly });
        }
    }
    let after = after.filter(|_| service != Service::None);
    let left = |domain: &String| !after.is_some_and(|after| after.plan.tenant.domains.contains(domain));
    for domain in before.plan.tenant.domains.iter().filter(|domain| left(domain)) {
        changes.insert(Change::FlushDomain { tenant, domain: domain.clone() });
    }
    for user in before.sip_users() {
        let Some(after) = after else { continue };
        for domain in before.plan.tenant.domains.iter().filter(|domain| !left(domain)) {
            let hash = after.a1_hash(user, domain);
            if hash.is_some() && hash == before.a1_hash(user, domain) {
                continue;
            }
            let (tenant, user, domain) = (Some(tenant), user.to_owned(), domain.clone());
            changes.insert(Change::FlushRegistration { tenant, user, domain });
        }
    }
    changes
}

/// Flushes registrations of unknown users; `known` is asked by user and domain.
pub fn unknown_registrations<'a>(
    registered: impl Iterator<Item = &'a (String, String)>,
    known: impl Fn(&str, &str) -> bool,
) -> Changes {
    registered
        .filter(|(user, domain)| !known(user, domain))
        .map(|(user, domain)| Change::FlushRegistration {
            tenant: None,
            user: user.clone(),
            domain: domain.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freeswitch::sync::state::{Agent, Queue, Tier};
    use crate::resources::sip_profile::UpdatePolicy;
    use crate::route::names::{INBOUND_CONTEXT, UNROUTED_CONTEXT};

    fn profile(context: &str, sip_port: i32) -> Profile {
        Profile {
            address: Some("192.0.2.1".into()),
            sip_port,
            tls_port: None,
            ws_port: None,
            exposed_web_socket: false,
            external: None,
            context: context.into(),
            codecs: "PCMA".into(),
            policy: UpdatePolicy::WhenIdle,
        }
    }

    fn gateway(proxy: &str) -> Gateway {
        Gateway {
            profile: "external".into(),
            proxy: proxy.into(),
            domain: "carrier.example".into(),
            realm: "carrier.example".into(),
            transport: "udp".into(),
            username: Some("us".into()),
            undisclosed: Some([7; 32]),
            expiry: Some(600),
            ping: 0,
        }
    }

    fn sample_state() -> State {
        let mut state = State::default();
        state.profiles.insert("internal".into(), profile(UNROUTED_CONTEXT, 5060));
        state.profiles.insert("external".into(), profile(INBOUND_CONTEXT, 5080));
        state.domains.insert("acme.example".into());
        state.networks = Some(["198.51.100.0/24".parse().unwrap()].into());
        state.gateways.insert("gw-1".into(), gateway("a:5060"));
        state.gateways.insert("gw-2".into(), gateway("b:5060"));
        let queue = Queue {
            strategy: "ring-all".into(),
            music: String::new(),
            max_wait: 60,
            no_agent_wait: 1,
            no_agent_grace: 0,
            tiered: false,
        };
        state.queues.insert("q@t".into(), queue);
        state.agents.insert("1@t".into(), Agent { contact: "user/1@acme.example".into(), wrap_up: 0 });
        state.tiers.insert(("q@t".into(), "1@t".into()), Tier { level: 1, position: 1 });
        state.streams.insert("t".into(), "/srv/a".into());
        state
    }

    /// The changes that a change of the sample state needs, in the order in which they are applied.
    fn after(change: impl FnOnce(&mut State)) -> Vec<Change> {
        let mut want = sample_state();
        change(&mut want);
        changes(&sample_state(), &want).into_iter().collect()
    }

    #[test]
    fn equal_states_need_no_change() {
        assert_eq!(after(|_| {}), []);
    }

    #[test]
    fn a_value_that_freeswitch_does_not_report_is_no_difference() {
        let mut have = sample_state();
        have.networks = None;
        for gateway in have.gateways.values_mut() {
            gateway.undisclosed = None;
        }
        let mut want = sample_state();
        want.profiles.get_mut("internal").unwrap().address = None;
        assert_eq!(changes(&have, &want), Changes::new());
    }

    #[test]
    fn only_the_gateway_that_differs_is_changed() {
        let changed = Change::ChangeGateway { profile: "external".into(), gateway: "gw-1".into() };
        let edits: [fn(&mut Gateway); 7] = [
            |gateway| gateway.proxy = "c:5060".into(),
            |gateway| gateway.domain = "other.example".into(),
            |gateway| gateway.undisclosed = Some([8; 32]),
            |gateway| gateway.username = None,
            |gateway| gateway.realm = "other".into(),
            |gateway| gateway.ping = 30,
            |gateway| gateway.transport = "tls".into(),
        ];
        for edit in edits {
            assert_eq!(
                after(|want| edit(want.gateways.get_mut("gw-1").unwrap())),
                std::slice::from_ref(&changed)
            );
        }
    }

    #[test]
    fn a_profile_restarts_only_for_what_a_rescan_cannot_change() {
        let restart = [Change::RestartProfile { profile: "internal".into() }];
        let rescan = [Change::Rescan { profile: "internal".into() }];
        let edits: [fn(&mut Profile); 5] = [
            |profile| profile.ws_port = Some(5066),
            |profile| profile.sip_port = 5062,
            |profile| profile.tls_port = Some(5061),
            |profile| profile.address = Some("192.0.2.2".into()),
            |profile| profile.external = Some("203.0.113.1".into()),
        ];
        for edit in edits {
            assert_eq!(after(|want| edit(want.profiles.get_mut("internal").unwrap())), restart);
        }
        // A profile of an older configuration restarts to close its WebSocket port.
        let mut open = sample_state();
        open.profiles.get_mut("internal").unwrap().exposed_web_socket = true;
        assert_eq!(Vec::from_iter(changes(&open, &sample_state())), restart);
        assert_eq!(after(|want| want.profiles.get_mut("internal").unwrap().codecs = "OPUS".into()), rescan);
        assert_eq!(after(|want| want.domains.extend(["b.example".into()])), rescan);
        assert_eq!(
            after(|want| want.profiles.get_mut("internal").unwrap().policy = UpdatePolicy::Manual),
            []
        );
        // A domain that is no longer needed is harmless, and Sofia cannot remove it.
        assert_eq!(after(|want| want.domains.clear()), []);
    }

    #[test]
    fn additions_come_before_removals() {
        let done = after(|want| {
            want.queues = [("r@t".to_owned(), want.queues["q@t"].clone())].into();
            want.tiers = [(("r@t".to_owned(), "1@t".to_owned()), Tier { level: 1, position: 1 })].into();
            want.gateways.remove("gw-2");
            want.gateways.insert("gw-3".into(), gateway("d:5060"));
            want.streams.insert("t".into(), "/srv/b".into());
            want.networks = Some([].into());
            want.profiles.get_mut("external").unwrap().sip_port = 5090;
        });
        let kinds: Vec<&str> = done.iter().map(Change::kind).collect();
        assert_eq!(
            kinds,
            ["acl", "gateway", "queue", "tier", "stream", "tier", "queue", "gateway", "profile"],
            "{done:?}"
        );
        assert_eq!(done.last(), Some(&Change::RestartProfile { profile: "external".into() }));
    }

    #[test]
    fn a_profile_start_includes_its_gateways() {
        let mut have = sample_state();
        have.profiles.remove("external");
        have.gateways.clear();
        let started = Changes::from([Change::StartProfile { profile: "external".into() }]);
        assert_eq!(changes(&have, &sample_state()), started);
    }

    #[test]
    fn only_registrations_of_unknown_users_are_flushed() {
        let registered = [("1".to_owned(), "a".to_owned()), ("2".to_owned(), "a".to_owned())];
        let dropped = unknown_registrations(registered.iter(), |user, _| user == "1");
        let expected =
            Change::FlushRegistration { tenant: None, user: "2".to_owned(), domain: "a".to_owned() };
        assert_eq!(dropped, Changes::from([expected]));
    }
}
