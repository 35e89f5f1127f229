//! The state of a FreeSWITCH, actual or desired, as far as it can be changed while it runs. The desired
//! state is made of the same values as our XML answers; the actual one is read from the switch (`read`).
//! A value that FreeSWITCH does not disclose is `None` there, and equals every desired value.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::freeswitch::xml::configuration::{CallCenter, Gateway as Served, gateways_of};
use crate::plan::{PlatformPlan, Service, SipProfileRow};
use crate::resources::sip_profile::{Role, UpdatePolicy};
use crate::route::media::MediaRoot;
use crate::route::{TenantView, names};
use crate::secrets::signing_key::SigningKey;

/// The state of a switch, or the platform's or one tenant's part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Sofia profiles, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Domain names of the profile for phones.
    pub domains: BTreeSet<String>,
    /// Gateways, by name.
    pub gateways: BTreeMap<String, Gateway>,
    /// Networks that carriers' calls come from; FreeSWITCH does not disclose them.
    pub networks: Option<BTreeSet<IpNet>>,
    /// Queues, by name.
    pub queues: BTreeMap<String, Queue>,
    /// Agents, by name.
    pub agents: BTreeMap<String, Agent>,
    /// Agents' levels and positions in queues, by queue and agent.
    pub tiers: BTreeMap<(String, String), Tier>,
    /// Directories of hold music, by name of their stream.
    pub streams: BTreeMap<String, String>,
}

/// A profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Address that it binds to; `None` leaves the choice to FreeSWITCH.
    pub address: Option<String>,
    /// UDP and TCP port.
    pub sip_port: i32,
    /// TLS port.
    pub tls_port: Option<i32>,
    /// Port of SIP over WebSocket on loopback, which the relay uses.
    pub ws_port: Option<i32>,
    /// Whether the profile accepts WebSockets from other hosts, or over TLS. No profile should: mod_sofia's parser of
    /// their frames trusts the sender.
    pub exposed_web_socket: bool,
    /// Address that it announces to peers.
    pub external: Option<String>,
    /// Context of its calls. Profiles for phones and for carriers differ in it.
    pub context: String,
    /// Codecs, separated by commas.
    pub codecs: String,
    /// When it may be restarted; without meaning in an actual state.
    pub policy: UpdatePolicy,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its profile.
    pub profile: String,
    /// Host in URIs to the carrier, and port if there is one.
    pub proxy: String,
    /// Host in From.
    pub domain: String,
    /// Digest realm.
    pub realm: String,
    /// Transport of SIP, such as `udp`.
    pub transport: String,
    /// User name for registration; `None` if the gateway does not register.
    pub username: Option<String>,
    /// SHA-256 of what FreeSWITCH does not disclose: the password, the user name for challenges, where packets
    /// go, who is in From.
    pub undisclosed: Option<[u8; 32]>,
    /// Life of a registration in seconds.
    pub expiry: Option<i32>,
    /// Seconds between pings; 0 for none.
    pub ping: i32,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Strategy that selects the next agent, by mod_callcenter's name.
    pub strategy: String,
    /// What callers hear; empty for their channel's own hold music.
    pub music: String,
    /// Longest wait in seconds.
    pub max_wait: i32,
    /// Seconds for which the queue must have had no agent before a caller leaves it; 0 for never.
    pub no_agent_wait: i32,
    /// Seconds that a caller must have waited beyond these.
    pub no_agent_grace: i32,
    /// Whether agents of later levels are called later.
    pub tiered: bool,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The dial string of the agent.
    pub contact: String,
    /// Seconds without calls after a call.
    pub wrap_up: i32,
}

/// An agent's place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Lower is called first.
    pub level: i32,
    /// Order within the level.
    pub position: i32,
}

impl State {
    /// The desired state of the platform.
    pub fn of_platform(platform: &PlatformPlan, key: &SigningKey) -> Self {
        let mut state = Self {
            networks: Some(
                platform.trunks.values().flat_map(|trunk| trunk.source_addresses.iter().copied()).collect(),
            ),
            ..Self::default()
        };
        for (name, row) in &platform.sip_profiles {
            state.profiles.insert(name.clone(), Profile::of(row));
            for served in gateways_of(platform, name, None, key) {
                state.gateways.insert(served.name.clone(), Gateway::of(name, &served));
            }
        }
        state
    }

    /// The desired state of a tenant; while it is suspended, the domains of phones that may make emergency calls.
    pub fn of_tenant(tenant: &TenantView, media: &MediaRoot) -> Self {
        let mut state = Self::default();
        let row = &tenant.plan.tenant;
        if row.service() == Service::None {
            return state;
        }
        state.domains.extend(row.domains.iter().cloned());
        if row.service() == Service::EmergencyOnly {
            return state;
        }
        if let Some(path) = row.music_on_hold.as_ref().and_then(|file| media.directory_of(row.id, file)) {
            state.streams.insert(names::music_stream(row.id), path);
        }
        let mut served = CallCenter::default();
        served.add(tenant, media, |_| true);
        for queue in served.queues {
            let value = Queue {
                strategy: queue.strategy.to_owned(),
                music: queue.music,
                max_wait: queue.max_wait,
                no_agent_wait: queue.no_agent_wait,
                no_agent_grace: queue.no_agent_grace,
                tiered: queue.tiered,
            };
            state.queues.insert(queue.name, value);
        }
        for agent in served.agents {
            state.agents.insert(agent.name, Agent { contact: agent.contact, wrap_up: agent.wrap_up });
        }
        for tier in served.tiers {
            // An agent without a contact has no tiers either.
            if state.agents.contains_key(&tier.agent) {
                let value = Tier { level: tier.level, position: tier.position };
                state.tiers.insert((tier.queue, tier.agent), value);
            }
        }
        state
    }

    /// The profile that has the tenants' domains, as in our answers ([`PlatformPlan::main_profile`]).
    pub fn main_profile(&self) -> Option<&str> {
        let is_for_browsers = |name: &&str| self.profiles.get(*name).is_some_and(|row| row.ws_port.is_some());
        self.phones_profiles().min_by_key(|name| (is_for_browsers(name), *name))
    }

    /// The profiles that phones register at.
    pub fn phones_profiles(&self) -> impl Iterator<Item = &str> {
        let phones = self.profiles.iter().filter(|(_, row)| row.context == names::UNROUTED_CONTEXT);
        phones.map(|(name, _)| name.as_str())
    }

    /// Merges another part into this one.
    pub fn merge(&mut self, part: Self) {
        self.profiles.extend(part.profiles);
        self.domains.extend(part.domains);
        self.gateways.extend(part.gateways);
        self.networks = self.networks.take().or(part.networks);
        self.queues.extend(part.queues);
        self.agents.extend(part.agents);
        self.tiers.extend(part.tiers);
        self.streams.extend(part.streams);
    }
}

impl Profile {
    fn of(row: &SipProfileRow) -> Self {
        Self {
            address: row.bind_address.clone(),
            sip_port: row.sip_port,
            tls_port: row.tls_port,
            ws_port: row.ws_port,
            exposed_web_socket: false,
            external: row.external_address.clone(),
            context: match row.role {
                Role::Phones => names::UNROUTED_CONTEXT,
                Role::Trunks => names::INBOUND_CONTEXT,
            }
            .to_owned(),
            codecs: row.codecs.join(","),
            policy: row.update_policy,
        }
    }

    /// A copy of a row with what this profile has in place of what a restart would change.
    pub fn row(self, other: &SipProfileRow) -> SipProfileRow {
        SipProfileRow {
            role: if self.context == names::UNROUTED_CONTEXT { Role::Phones } else { Role::Trunks },
            bind_address: self.address,
            external_address: self.external,
            sip_port: self.sip_port,
            tls_port: self.tls_port,
            ws_port: self.ws_port,
            ..other.clone()
        }
    }
}

impl Gateway {
    fn of(profile: &str, served: &Served<'_>) -> Self {
        let registers = served.register;
        Self {
            profile: profile.to_owned(),
            proxy: served.proxy.clone(),
            domain: served.from_domain.to_owned(),
            realm: served.realm.to_owned(),
            transport: served.transport.to_owned(),
            username: registers.then(|| served.username.clone()),
            undisclosed: Some(undisclosed(served)),
            expiry: registers.then_some(served.expiry),
            ping: served.ping.unwrap_or(0),
        }
    }
}

fn undisclosed(served: &Served<'_>) -> [u8; 32] {
    let route = served.next_hop.as_ref().map_or("", |hop| &hop.route);
    let from = if served.caller_in_from { "caller" } else { "username" };
    let contact_user = served.contact_user.unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [served.password, &served.username, served.auth_username, route, from, contact_user] {
        // A zero byte is in none of them.
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().into()
}

/// The tenant of a queue, an agent or a stream, by its name.
pub(super) fn tenant_of(name: &str) -> Option<Uuid> {
    names::parse_queue(name).map(|(_, tenant)| tenant).or_else(|| Uuid::try_parse(name).ok())
}
