//! API commands as values. `Display` is the only place that makes their text; every argument is of a
//! type that cannot hold a space, a quote or a line end, so that one command stays one command
//! (contract §10.4).

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use uuid::Uuid;

use crate::route::legal::Word;

/// A command of FreeSWITCH's API (contract §5.4, §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// The version, such as `1.11.2-release`.
    Version,
    /// What a process of FreeSWITCH is known by: a new one after each start.
    CoreUuid,
    /// How many legs are up.
    CountChannels,
    /// The legs that are up.
    Channels,
    /// A variable of a leg; `_undef_` where it has none.
    LegVariable {
        /// The leg.
        leg: Uuid,
        /// Name of the variable.
        variable: &'static str,
    },
    /// The registrations of a profile.
    Registrations(Word),
    /// Profiles, and the names they also go by.
    Profiles,
    /// One profile with what it listens on.
    Profile(Word),
    /// All gateways, with their settings and states.
    Gateways,
    /// One gateway; `Invalid Gateway!` when there is none.
    Gateway(Word),
    /// Queues with their settings.
    Queues,
    /// Agents of all queues.
    Agents,
    /// Which agent serves which queue.
    Tiers,
    /// Streams of hold music, and their directories.
    Streams,

    /// Access lists are read again.
    ReloadAcl,
    /// A profile reads its settings, and takes up new gateways and names.
    Rescan(Word),
    /// A profile starts.
    StartProfile(Word),
    /// A profile ends and starts: its calls end.
    RestartProfile(Word),
    /// A profile ends, with its calls.
    StopProfile(Word),
    /// A profile takes up one gateway.
    StartGateway {
        /// The profile.
        profile: Word,
        /// The gateway.
        gateway: Word,
    },
    /// A gateway unregisters and goes.
    KillGateway {
        /// The profile.
        profile: Word,
        /// The gateway.
        gateway: Word,
    },
    /// The registrations of a user are forgotten.
    FlushRegistration {
        /// The profile.
        profile: Word,
        /// The user.
        user: Word,
        /// The domain.
        domain: Word,
    },
    /// The registrations of all users of a domain are forgotten.
    FlushDomain {
        /// The profile.
        profile: Word,
        /// The domain.
        domain: Word,
    },
    /// A queue is read, and takes calls.
    LoadQueue(Word),
    /// A queue is read again.
    ReloadQueue(Word),
    /// A queue goes.
    UnloadQueue(Word),
    /// An agent who is called back comes.
    AddAgent(Word),
    /// What is dialled for an agent.
    SetAgentContact {
        /// The agent.
        agent: Word,
        /// What is dialled.
        contact: Contact,
    },
    /// Whether an agent is called at all.
    SetAgentAvailable(Word),
    /// A number of an agent's: seconds, or a count.
    SetAgentNumber {
        /// The agent.
        agent: Word,
        /// Which.
        key: AgentNumber,
        /// Its value.
        value: i32,
    },
    /// An agent goes.
    RemoveAgent(Word),
    /// An agent serves a queue.
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
    /// An agent's level in a queue.
    SetTierLevel {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
        /// Lower is called first.
        level: i32,
    },
    /// An agent's position in its level.
    SetTierPosition {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
        /// Order in the level.
        position: i32,
    },
    /// An agent serves a queue no more.
    RemoveTier {
        /// The queue.
        queue: Word,
        /// The agent.
        agent: Word,
    },
    /// A stream of hold music starts.
    StartStream(Word),
    /// A stream of hold music ends.
    StopStream(Word),
    /// All legs end that have a variable of this value.
    EndLegsWith {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        value: Word,
    },
    /// One leg ends.
    EndLeg(Uuid),
    /// Whether every module was loaded.
    Ready,
    /// Whether new calls from outside are refused.
    Paused,
    /// New calls from outside are refused with 503.
    PauseInbound,
    /// New calls are taken again.
    Resume,
}

/// What is dialled for an agent: a dial string in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// The text, if it is a dial string as we write them: mod_commands cuts arguments at spaces, and
    /// takes quotes and backslashes for its own.
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

/// A setting of an agent that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentNumber {
    /// Seconds of rest after a call.
    WrapUpTime,
    /// Seconds of rest after a call was refused.
    RejectDelayTime,
    /// Seconds of rest after the phone was busy.
    BusyDelayTime,
    /// Seconds of rest after nobody answered.
    NoAnswerDelayTime,
    /// How often it may not answer before it is no longer called; 0 for ever.
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
    /// How long FreeSWITCH may take: what asks our own answers for a configuration takes longer, and
    /// a profile that starts binds ports.
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
