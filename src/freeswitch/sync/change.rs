//! Changes to a running FreeSWITCH, in the order in which they are made: the least harmful first.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter, Result};

use uuid::Uuid;

use super::state::tenant_of;

/// A change. The order of the variants is the order in which changes are made: additions, replacements,
/// removals, and last what ends calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Start a stream of hold music.
    StartStream {
        /// The stream.
        stream: String,
    },
    /// Start a profile that does not run.
    StartProfile {
        /// The profile.
        profile: String,
    },
    /// Make a profile read its settings and add domain names. Its calls continue.
    Rescan {
        /// The profile.
        profile: String,
    },
    /// Reload the access lists.
    ReloadAcl,
    /// Add a gateway.
    AddGateway {
        /// Its profile.
        profile: String,
        /// The gateway.
        gateway: String,
    },
    /// Load a queue with its agents.
    LoadQueue {
        /// The queue.
        queue: String,
    },
    /// Add an agent, or change its contact or wrap-up time.
    SetAgent {
        /// The agent.
        agent: String,
    },
    /// Add an agent to a queue, or change its level or position there.
    SetTier {
        /// The queue.
        queue: String,
        /// The agent.
        agent: String,
    },
    /// Reload a queue's settings. Its callers keep waiting.
    ReloadQueue {
        /// The queue.
        queue: String,
    },
    /// Restart a stream of hold music with another directory.
    MoveStream {
        /// The stream.
        stream: String,
    },
    /// Remove a gateway and add it with other settings.
    ChangeGateway {
        /// Its profile.
        profile: String,
        /// The gateway.
        gateway: String,
    },
    /// Flush all registrations of a domain that is no longer served.
    FlushDomain {
        /// The tenant that had the domain.
        tenant: Uuid,
        /// The domain.
        domain: String,
    },
    /// Flush the registrations of one user, so that its phones must register again.
    FlushRegistration {
        /// The tenant; `None` for a user of no known tenant.
        tenant: Option<Uuid>,
        /// The user.
        user: String,
        /// The domain.
        domain: String,
    },
    /// Remove an agent from a queue.
    RemoveTier {
        /// The queue.
        queue: String,
        /// The agent.
        agent: String,
    },
    /// Remove an agent.
    RemoveAgent {
        /// The agent.
        agent: String,
    },
    /// Unload a queue.
    UnloadQueue {
        /// The queue.
        queue: String,
    },
    /// Stop a stream of hold music.
    StopStream {
        /// The stream.
        stream: String,
    },
    /// Remove a gateway.
    RemoveGateway {
        /// Its profile.
        profile: String,
        /// The gateway.
        gateway: String,
    },
    /// End the calls of a tenant that is no longer served.
    EndCalls {
        /// The tenant.
        tenant: Uuid,
        /// Whether emergency calls go on.
        but_emergency: bool,
    },
    /// Restart a profile, because it must listen elsewhere. Its calls end.
    RestartProfile {
        /// The profile.
        profile: String,
    },
    /// Stop a profile. Its calls end.
    StopProfile {
        /// The profile.
        profile: String,
    },
}

/// A set of changes, in the order in which they are made.
pub type Changes = BTreeSet<Change>;

impl Change {
    /// The tenant that the change is for; `None` for the platform or several tenants.
    pub fn tenant(&self) -> Option<Uuid> {
        match self {
            Self::FlushRegistration { tenant, .. } => *tenant,
            Self::FlushDomain { tenant, .. } | Self::EndCalls { tenant, .. } => Some(*tenant),
            Self::StartStream { stream } | Self::MoveStream { stream } | Self::StopStream { stream } => {
                tenant_of(stream)
            }
            Self::LoadQueue { queue }
            | Self::ReloadQueue { queue }
            | Self::UnloadQueue { queue }
            | Self::SetTier { queue, .. }
            | Self::RemoveTier { queue, .. } => tenant_of(queue),
            Self::SetAgent { agent } | Self::RemoveAgent { agent } => tenant_of(agent),
            _ => None,
        }
    }

    /// The gateway that the change is about.
    pub fn gateway(&self) -> Option<&str> {
        match self {
            Self::AddGateway { gateway, .. }
            | Self::ChangeGateway { gateway, .. }
            | Self::RemoveGateway { gateway, .. } => Some(gateway),
            _ => None,
        }
    }

    /// The profile that the change is about, if it is about a whole profile.
    pub fn profile(&self) -> Option<&str> {
        match self {
            Self::StartProfile { profile }
            | Self::Rescan { profile }
            | Self::RestartProfile { profile }
            | Self::StopProfile { profile } => Some(profile),
            _ => None,
        }
    }

    /// The profile whose calls the change ends.
    pub fn ends_calls_of(&self) -> Option<&str> {
        match self {
            Self::RestartProfile { profile } | Self::StopProfile { profile } => Some(profile),
            _ => None,
        }
    }

    /// Whether the change removes nothing, even if the change is wrong.
    pub fn only_adds(&self) -> bool {
        matches!(
            self,
            Self::StartStream { .. }
                | Self::StartProfile { .. }
                | Self::Rescan { .. }
                | Self::ReloadAcl
                | Self::AddGateway { .. }
                | Self::LoadQueue { .. }
                | Self::SetAgent { .. }
                | Self::SetTier { .. }
        )
    }

    /// Whether users notice the change. Such a change is not repeated where it has no effect.
    pub fn harms(&self) -> bool {
        matches!(
            self,
            Self::ReloadQueue { .. }
                | Self::MoveStream { .. }
                | Self::ChangeGateway { .. }
                | Self::RestartProfile { .. }
        )
    }

    /// The kind of change, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::StartStream { .. } | Self::MoveStream { .. } | Self::StopStream { .. } => "stream",
            Self::StartProfile { .. } | Self::RestartProfile { .. } | Self::StopProfile { .. } => "profile",
            Self::Rescan { .. } => "rescan",
            Self::ReloadAcl => "acl",
            Self::AddGateway { .. } | Self::ChangeGateway { .. } | Self::RemoveGateway { .. } => "gateway",
            Self::LoadQueue { .. } | Self::ReloadQueue { .. } | Self::UnloadQueue { .. } => "queue",
            Self::SetAgent { .. } | Self::RemoveAgent { .. } => "agent",
            Self::SetTier { .. } | Self::RemoveTier { .. } => "tier",
            Self::FlushRegistration { .. } | Self::FlushDomain { .. } => "registration",
            Self::EndCalls { .. } => "calls",
        }
    }
}

/// The difference that the change would remove, as statuses show it.
impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::StartStream { stream } => write!(f, "hold music {stream} does not play"),
            Self::MoveStream { stream } => write!(f, "hold music {stream} plays from another directory"),
            Self::StopStream { stream } => write!(f, "hold music {stream} should not play"),
            Self::StartProfile { profile } => write!(f, "SIP profile {profile} does not run"),
            Self::RestartProfile { profile } => write!(f, "SIP profile {profile} must be restarted"),
            Self::StopProfile { profile } => write!(f, "SIP profile {profile} should not run"),
            Self::Rescan { profile } => write!(f, "SIP profile {profile} has other settings or domains"),
            Self::ReloadAcl => f.write_str("the carriers' addresses were not reloaded"),
            Self::AddGateway { gateway, .. } => write!(f, "gateway {gateway} is missing"),
            Self::ChangeGateway { gateway, .. } => write!(f, "gateway {gateway} has other settings"),
            Self::RemoveGateway { gateway, .. } => write!(f, "gateway {gateway} should not exist"),
            Self::LoadQueue { queue } => write!(f, "queue {queue} is missing"),
            Self::ReloadQueue { queue } => write!(f, "queue {queue} has other settings"),
            Self::UnloadQueue { queue } => write!(f, "queue {queue} should not exist"),
            Self::SetAgent { agent } => {
                write!(f, "agent {agent} is missing or has another contact or wrap-up time")
            }
            Self::RemoveAgent { agent } => write!(f, "agent {agent} should not exist"),
            Self::SetTier { queue, agent } => {
                write!(f, "agent {agent} has another level or position in queue {queue}")
            }
            Self::RemoveTier { queue, agent } => write!(f, "agent {agent} should not serve queue {queue}"),
            Self::FlushRegistration { user, domain, .. } => {
                write!(f, "{user}@{domain} is registered but should not be")
            }
            Self::FlushDomain { domain, .. } => {
                write!(f, "phones of {domain} are registered but should not be")
            }
            Self::EndCalls { tenant, .. } => write!(f, "calls of tenant {tenant} are up but should not be"),
        }
    }
}
