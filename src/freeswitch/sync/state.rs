//! What a FreeSWITCH has, or should have, as far as it can be changed while it runs. What it should
//! have is made of the same values that our answers are made of; what it has is read from it
//! (`read`). A value that FreeSWITCH does not tell is `None` there, and differs from nothing.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::freeswitch::xml::configuration::{CallCenter, Gateway as Served, gateways_of};
use crate::plan::{PlatformPlan, SipProfileRow};
use crate::resources::sip_profile::{Role, UpdatePolicy};
use crate::route::media::MediaRoot;
use crate::route::{TenantView, names};
use crate::secrets::signing_key::SigningKey;

/// The state of a switch, or a part of one: the platform's, or one tenant's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Sofia profiles, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Names that the phones' profile goes by: the tenants' domains.
    pub domains: BTreeSet<String>,
    /// Gateways, by name.
    pub gateways: BTreeMap<String, Gateway>,
    /// Where carriers' calls come from; FreeSWITCH does not tell.
    pub networks: Option<BTreeSet<IpNet>>,
    /// Queues, by name.
    pub queues: BTreeMap<String, Queue>,
    /// Agents, by name.
    pub agents: BTreeMap<String, Agent>,
    /// Agents' places in queues, by queue and agent.
    pub tiers: BTreeMap<(String, String), Tier>,
    /// Directories of hold music, by name of their stream.
    pub streams: BTreeMap<String, String>,
}

/// A profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Address it binds to; FreeSWITCH's own choice where none is wanted.
    pub address: Option<String>,
    /// UDP and TCP port.
    pub sip_port: i32,
    /// TLS port.
    pub tls_port: Option<i32>,
    /// Whether it takes WebSockets from other hosts. It never should: mod_sofia's reader of their frames
    /// trusts whoever sends them.
    pub web_socket: bool,
    /// Address it tells peers.
    pub external: Option<String>,
    /// Context of its calls, by which phones' and carriers' profiles differ.
    pub context: String,
    /// Codecs with commas between.
    pub codecs: String,
    /// When it may be started anew; of no meaning for what a switch has.
    pub policy: UpdatePolicy,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its profile.
    pub profile: String,
    /// `host:port` of the carrier.
    pub proxy: String,
    /// Digest realm.
    pub realm: String,
    /// How SIP is carried.
    pub transport: String,
    /// User name it registers with; none when it does not register.
    pub username: Option<String>,
    /// Fingerprint of the password; FreeSWITCH does not tell.
    pub password: Option<[u8; 32]>,
    /// Life of a registration in seconds.
    pub expiry: Option<i32>,
    /// Seconds between pings; 0 where it is not pinged.
    pub ping: i32,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Which agent is called first, in mod_callcenter's words.
    pub strategy: String,
    /// What callers hear; empty: their channel's own.
    pub music: String,
    /// Longest wait in seconds.
    pub max_wait: i32,
    /// Whether later levels wait for their turn.
    pub tiered: bool,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What is dialled.
    pub contact: String,
    /// Seconds of rest after a call.
    pub wrap_up: i32,
}

/// An agent's place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Lower is called first.
    pub level: i32,
    /// Order in the level.
    pub position: i32,
}

impl State {
    /// What the platform's rows want.
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

    /// What a tenant wants: nothing while it is suspended.
    pub fn of_tenant(tenant: &TenantView, media: &MediaRoot) -> Self {
        let mut state = Self::default();
        let row = &tenant.plan.tenant;
        if row.suspended {
            return state;
        }
        state.domains.extend(row.domains.iter().cloned());
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
                tiered: queue.tiered,
            };
            state.queues.insert(queue.name, value);
        }
        for agent in served.agents {
            state.agents.insert(agent.name, Agent { contact: agent.contact, wrap_up: agent.wrap_up });
        }
        for tier in served.tiers {
            // An agent that cannot be called has no place either.
            if state.agents.contains_key(&tier.agent) {
                let value = Tier { level: tier.level, position: tier.position };
                state.tiers.insert((tier.queue, tier.agent), value);
            }
        }
        state
    }

    /// The profile that tenants' domains are names of: the first for phones, as in our answers.
    pub fn main_profile(&self) -> Option<&str> {
        self.phones_profiles().next()
    }

    /// The profiles that phones register at.
    pub fn phones_profiles(&self) -> impl Iterator<Item = &str> {
        let phones = self.profiles.iter().filter(|(_, row)| row.context == names::UNROUTED_CONTEXT);
        phones.map(|(name, _)| name.as_str())
    }

    /// Takes in another part.
    pub fn add(&mut self, part: Self) {
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
            web_socket: false,
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

    /// The row that this would be of, in place of another: everything else is as in that one.
    pub fn row(self, other: &SipProfileRow) -> SipProfileRow {
        SipProfileRow {
            role: if self.context == names::UNROUTED_CONTEXT { Role::Phones } else { Role::Trunks },
            bind_address: self.address,
            external_address: self.external,
            sip_port: self.sip_port,
            tls_port: self.tls_port,
            ..other.clone()
        }
    }
}

impl Gateway {
    fn of(profile: &str, served: &Served<'_>) -> Self {
        let registers = !served.username.is_empty();
        Self {
            profile: profile.to_owned(),
            proxy: served.proxy.clone(),
            realm: served.realm.to_owned(),
            transport: served.transport.to_owned(),
            username: registers.then(|| served.username.to_owned()),
            password: registers.then(|| Sha256::digest(served.password).into()),
            expiry: registers.then_some(served.expiry),
            ping: served.ping.unwrap_or(0),
        }
    }
}

/// The tenant that a queue, an agent or a stream belongs to, by its name.
pub(super) fn tenant_of(name: &str) -> Option<Uuid> {
    names::parse_queue(name).map(|(_, tenant)| tenant).or_else(|| Uuid::try_parse(name).ok())
}
