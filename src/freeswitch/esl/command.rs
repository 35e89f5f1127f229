//! API commands as values. Only `Display` writes their text. The types of arguments cannot contain spaces,
//! quotes or line ends, so that one command stays one command (contract §10.4).

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use uuid::Uuid;

use crate::route::legal::Word;

/// A command of FreeSWITCH's API (contract §5.4, §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// The version, such as `1.11.2-release`.
    Version,
    /// Identity of the FreeSWITCH process; another one after each start.
    CoreUuid,
    /// The number of legs that are up.
    CountChannels,
    /// The legs that are up.
    Channels,
    /// A variable of a leg; `_undef_` if it is not set.
    LegVariable {
        /// The leg.
        leg: Uuid,
        /// Name of the variable.
        variable: &'static str,
    },
    /// The registrations of a profile.
    Registrations(Word),
    /// Running profiles and their aliases.
    Profiles,
    /// One profile with its settings and addresses.
    Profile(Word),
    /// All gateways, with their settings and states.
    Gateways,
    /// One gateway; `Invalid Gateway!` if it does not exist.
    Gateway(Word),
    /// Queues with their settings.
    Queues,
    /// Agents of all queues.
    Agents,
    /// The tiers: which agent serves which queue.
    Tiers,
    /// Streams of hold music with their directories.
    Streams,

    /// Reload the access lists.
    ReloadAcl,
    /// Make a profile read its settings and add new gateways and aliases.
    Rescan(Word),
    /// Start a profile.
    StartProfile(Word),
    /// Restart a profile. Its calls end.
    RestartProfile(Word),
    /// Stop a profile. Its calls end.
    StopProfile(Word),
    /// Add one gateway to a profile.
    StartGateway {
        /// The profile.
        profile: Word,
        /// The gateway.
        gateway: Word,
    },
    /// Unregister and remove a gateway.
    KillGateway {
        /// The profile.
        profile: Word,
        /// The gateway.
        gateway: Word,
    },
    /// Flush the registrations of a user.
    FlushRegistration {
        /// The profile.
        profile: Word,
        /// The user.
        user: Word,
        /// The domain.
        domain: Word,
    },
    /// Flush the registrations of all users of a domain.
    FlushDomain {
        /// The profile.
        profile: Word,
        /// The domain.
        domain: Word,
    },
    /// Load a queue.
    LoadQueue(Word),
    /// Reload a queue's settings.
    ReloadQueue(Word),
    /// Unload a queue.
    UnloadQueue(Word),
    /// Add an agent of the type `callback`.
    AddAgent(Word),
    /// Set the dial string of an agent.
    SetAgentContact {
        /// The agent.
        agent: Word,
        /// The dial string.
        contact: Contact,
    },
    /// Set an agent's status to `Available`.
    SetAgentAvailable(Word),
    /// Set a numeric setting of an agent.
    SetAgentNumber {
        /// The agent.
        agent: Word,
        /// The setting.
        key: AgentNumber,
        /// Its value.
        value: i32,
    },
    /// Remove an agent.
    RemoveAgent(Word),
    /// Add an agent to a queue.
    AddTier {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
        /// Lower is called first.
        level: i32,
        /// Order in the level.
        position: i32,
    },
    /// Set an agent's level in a queue.
    SetTierLevel {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
        /// Lower is called first.
        level: i32,
    },
    /// Set an agent's position within its level.
    SetTierPosition {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
        /// Order in the level.
        position: i32,
    },
    /// Remove an agent from a queue.
    RemoveTier {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
    },
    /// Start a stream of hold music.
    StartStream(Word),
    /// Stop a stream of hold music.
    StopStream(Word),
    /// End all legs on which a variable has a value.
    EndLegsWith {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        value: Word,
    },
    /// End one leg.
    EndLeg(Uuid),
    /// Whether all modules are loaded.
    Ready,
    /// Whether new calls from outside are refused.
    Paused,
    /// Refuse new calls from outside with 503.
    PauseInbound,
    /// Accept new calls again.
    Resume,
}

/// The dial string of an agent, without spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// The text, if it has only characters of the dial strings that we write. mod_commands splits arguments
    /// at spaces and interprets quotes and backslashes.
    pub fn new(text: &str) -> Option<Self> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "[]{}^;=/@.,|_-+*#%".contains(c);
        (!text.is_empty() && text.chars().all(legal)).then(|| Self(text.to_owned()))
    }
}

impl Display for Contact {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.0)
    }
}

/// A numeric setting of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentNumber {
    /// Seconds without calls after a call.
    WrapUpTime,
    /// Seconds without calls after a refused call.
    RejectDelayTime,
    /// Seconds without calls after the phone was busy.
    BusyDelayTime,
    /// Seconds without calls after an unanswered call.
    NoAnswerDelayTime,
    /// Unanswered calls after which the agent gets no more calls; 0 for no limit.
    MaxNoAnswer,
}

impl AgentNumber {
    fn name(self) -> &'static str {
        match self {
            Self::WrapUpTime => "wrap_up_time",
            Self::RejectDelayTime => "reject_delay_time",
            Self::BusyDelayTime => "busy_delay_time",
            Self::NoAnswerDelayTime => "no_answer_delay_time",
            Self::MaxNoAnswer => "max_no_answer",
        }
    }
}

impl Api {
    /// How long FreeSWITCH may take. Commands on profiles take longer, because they fetch configuration from
    /// us and bind ports.
    pub fn limit(&self) -> Duration {
        match self {
            Self::Rescan(_) | Self::StartProfile(_) | Self::RestartProfile(_) | Self::StopProfile(_) => {
                Duration::from_secs(30)
            }
            _ => Duration::from_secs(10),
        }
    }
}

impl Display for Api {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Version => f.write_str("version short"),
            Self::CoreUuid => f.write_str("global_getvar core_uuid"),
            Self::CountChannels => f.write_str("show channels count"),
            Self::Channels => f.write_str("show channels as json"),
            Self::LegVariable { leg, variable } => write!(f, "uuid_getvar {leg} {variable}"),
            Self::Registrations(profile) => write!(f, "sofia xmlstatus profile {profile} reg"),
            Self::Profiles => f.write_str("sofia xmlstatus"),
            Self::Profile(profile) => write!(f, "sofia xmlstatus profile {profile}"),
            Self::Gateways => f.write_str("sofia xmlstatus gateway"),
            Self::Gateway(gateway) => write!(f, "sofia xmlstatus gateway {gateway}"),
            Self::Queues => f.write_str("callcenter_config queue list"),
            Self::Agents => f.write_str("callcenter_config agent list"),
            Self::Tiers => f.write_str("callcenter_config tier list"),
            Self::Streams => f.write_str("local_stream show"),
            Self::ReloadAcl => f.write_str("reloadacl"),
            Self::Rescan(profile) => write!(f, "sofia profile {profile} rescan"),
            Self::StartProfile(profile) => write!(f, "sofia profile {profile} start"),
            Self::RestartProfile(profile) => write!(f, "sofia profile {profile} restart"),
            Self::StopProfile(profile) => write!(f, "sofia profile {profile} stop"),
            Self::StartGateway { profile, gateway } => write!(f, "sofia profile {profile} startgw {gateway}"),
            Self::KillGateway { profile, gateway } => write!(f, "sofia profile {profile} killgw {gateway}"),
            Self::FlushRegistration { profile, user, domain } => {
                write!(f, "sofia profile {profile} flush_inbound_reg {user}@{domain}")
            }
            Self::FlushDomain { profile, domain } => {
                write!(f, "sofia profile {profile} flush_inbound_reg {domain}")
            }
            Self::LoadQueue(queue) => write!(f, "callcenter_config queue load {queue}"),
            Self::ReloadQueue(queue) => write!(f, "callcenter_config queue reload {queue}"),
            Self::UnloadQueue(queue) => write!(f, "callcenter_config queue unload {queue}"),
            Self::AddAgent(agent) => write!(f, "callcenter_config agent add {agent} callback"),
            Self::SetAgentContact { agent, contact } => {
                write!(f, "callcenter_config agent set contact {agent} {contact}")
            }
            Self::SetAgentAvailable(agent) => {
                write!(f, "callcenter_config agent set status {agent} Available")
            }
            Self::SetAgentNumber { agent, key, value } => {
                write!(f, "callcenter_config agent set {} {agent} {value}", key.name())
            }
            Self::RemoveAgent(agent) => write!(f, "callcenter_config agent del {agent}"),
            Self::AddTier { queue, agent, level, position } => {
                write!(f, "callcenter_config tier add {queue} {agent} {level} {position}")
            }
            Self::SetTierLevel { queue, agent, level } => {
                write!(f, "callcenter_config tier set level {queue} {agent} {level}")
            }
            Self::SetTierPosition { queue, agent, position } => {
                write!(f, "callcenter_config tier set position {queue} {agent} {position}")
            }
            Self::RemoveTier { queue, agent } => write!(f, "callcenter_config tier del {queue} {agent}"),
            Self::StartStream(stream) => write!(f, "local_stream start {stream}"),
            Self::StopStream(stream) => write!(f, "local_stream stop {stream}"),
            Self::EndLegsWith { variable, value } => {
                write!(f, "hupall NORMAL_CLEARING {variable} {value}")
            }
            Self::EndLeg(leg) => write!(f, "uuid_kill {leg} NORMAL_CLEARING"),
            Self::Ready => f.write_str("fsctl ready_check"),
            Self::Paused => f.write_str("fsctl pause_check inbound"),
            Self::PauseInbound => f.write_str("fsctl pause inbound"),
            Self::Resume => f.write_str("fsctl resume"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_becomes_a_second_one() {
        for hostile in ["a b", "a\nb", "a\n\napi status", "'a'", "a\tb", "", "$x", "-x"] {
            assert_eq!(Word::new(hostile), None, "{hostile:?}");
        }
        for hostile in ["user/a b", "user/a\nb", "user/'a'", "user/a\\b", "user/${a}", ""] {
            assert_eq!(Contact::new(hostile), None, "{hostile:?}");
        }
        let contact = "[^^;leg_timeout=20]user/1003@acme.example.com";
        assert_eq!(Contact::new(contact).unwrap().to_string(), contact);
    }

    #[test]
    fn commands_are_written_as_freeswitch_reads_them() {
        let word = |text: &str| Word::new(text).unwrap();
        let drop = Api::FlushRegistration {
            profile: word("internal"),
            user: word("1001"),
            domain: word("acme.example.com"),
        };
        assert_eq!(drop.to_string(), "sofia profile internal flush_inbound_reg 1001@acme.example.com");
        let end = Api::EndLegsWith { variable: "centrex_tenant", value: word("t") };
        assert_eq!(end.to_string(), "hupall NORMAL_CLEARING centrex_tenant t");
    }
}
