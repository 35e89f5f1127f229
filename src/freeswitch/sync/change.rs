//! Changes to a running FreeSWITCH, in the order in which they are made: least harm first.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter, Result};

use uuid::Uuid;

use super::state::tenant_of;

/// A change. The order of the variants is the order of doing: what adds something comes before what
/// replaces something, this before what takes something away, and what ends calls comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A stream of hold music starts.
    StartStream {
        /// The stream.
        stream: String,
    },
    /// A profile starts that does not run.
    StartProfile {
        /// The profile.
        profile: String,
    },
    /// A profile reads its settings and takes up names; its calls go on.
    Rescan {
        /// The profile.
        profile: String,
    },
    /// Access lists are read again.
    ReloadAcl,
    /// A gateway comes.
    AddGateway {
        /// Its profile.
        profile: String,
        /// The gateway.
        gateway: String,
    },
    /// A queue comes, with its agents.
    LoadQueue {
        /// The queue.
        queue: String,
    },
    /// An agent comes, or is called in another way.
    SetAgent {
        /// The agent.
        agent: String,
    },
    /// An agent serves a queue, or in another place.
    SetTier {
        /// The queue.
        queue: String,
        /// The agent.
        agent: String,
    },
    /// A queue's settings are read again; its callers keep waiting.
    ReloadQueue {
        /// The queue.
        queue: String,
    },
    /// A stream of hold music plays from another directory.
    MoveStream {
        /// The stream.
        stream: String,
    },
    /// A gateway goes and comes again, with other settings.
    ChangeGateway {
        /// Its profile.
        profile: String,
        /// The gateway.
        gateway: String,
    },
    /// All phones of a domain that is no longer served are forgotten.
    DropDomain {
        /// The tenant that had it.
        tenant: Uuid,
        /// The domain.
        domain: String,
    },
    /// The phones of one user have to register again, if they still can.
    DropRegistration {
        /// The tenant, where there is one.
        tenant: Option<Uuid>,
        /// The user.
        user: String,
        /// The domain.
        domain: String,
    },
    /// An agent serves a queue no more.
    RemoveTier {
        /// The queue.
        queue: String,
        /// The agent.
        agent: String,
    },
    /// An agent goes.
    RemoveAgent {
        /// The agent.
        agent: String,
    },
    /// A queue goes.
    UnloadQueue {
        /// The queue.
        queue: String,
    },
    /// A stream of hold music ends.
    StopStream {
        /// The stream.
        stream: String,
    },
    /// A gateway goes.
    RemoveGateway {
        /// Its profile.
        profile: String,
        /// The gateway.
        gateway: String,
    },
    /// The calls of a tenant that is no longer served end.
    EndCalls {
        /// The tenant.
        tenant: Uuid,
    },
    /// A profile has to be started anew: it listens elsewhere. Its calls end.
    RestartProfile {
        /// The profile.
        profile: String,
    },
    /// A profile goes, with its calls.
    StopProfile {
        /// The profile.
        profile: String,
    },
}

/// Changes, in the order of doing, each once.
pub type Changes = BTreeSet<Change>;

impl Change {
    /// The tenant it is for; none where it is for the platform, or for many.
    pub fn tenant(&self) -> Option<Uuid> {
        match self {
            Self::DropRegistration { tenant, .. } => *tenant,
            Self::DropDomain { tenant, .. } | Self::EndCalls { tenant } => Some(*tenant),
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

    /// The gateway it is about, if it is about one.
    pub fn gateway(&self) -> Option<&str> {
        match self {
            Self::AddGateway { gateway, .. }
            | Self::ChangeGateway { gateway, .. }
            | Self::RemoveGateway { gateway, .. } => Some(gateway),
            _ => None,
        }
    }

    /// The profile it is about, if it is about a whole one.
    pub fn profile(&self) -> Option<&str> {
        match self {
            Self::StartProfile { profile }
            | Self::Rescan { profile }
            | Self::RestartProfile { profile }
            | Self::StopProfile { profile } => Some(profile),
            _ => None,
        }
    }

    /// The profile whose calls it ends, if it ends those of one.
    pub fn ends_calls_of(&self) -> Option<&str> {
        match self {
            Self::RestartProfile { profile } | Self::StopProfile { profile } => Some(profile),
            _ => None,
        }
    }

    /// Whether nobody can lose anything by it, wrong as it may be.
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

    /// Whether somebody notices when it is made: it is not made again and again where it does not help.
    pub fn harms(&self) -> bool {
        matches!(
            self,
            Self::ReloadQueue { .. }
                | Self::MoveStream { .. }
                | Self::ChangeGateway { .. }
                | Self::RestartProfile { .. }
        )
    }

    /// What kind of change it is, for metrics.
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
            Self::DropRegistration { .. } | Self::DropDomain { .. } => "registration",
            Self::EndCalls { .. } => "calls",
        }
    }
}

/// What stands in the way, in words: as it is told in a status.
impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::StartStream { stream } => write!(f, "hold music {stream} does not play"),
            Self::MoveStream { stream } => write!(f, "hold music {stream} plays from another directory"),
            Self::StopStream { stream } => write!(f, "hold music {stream} should not play"),
            Self::StartProfile { profile } => write!(f, "SIP profile {profile} does not run"),
            Self::RestartProfile { profile } => write!(f, "SIP profile {profile} has to be started anew"),
            Self::StopProfile { profile } => write!(f, "SIP profile {profile} should not run"),
            Self::Rescan { profile } => write!(f, "SIP profile {profile} has other settings or domains"),
            Self::ReloadAcl => f.write_str("the carriers' addresses were not read again"),
            Self::AddGateway { gateway, .. } => write!(f, "gateway {gateway} is missing"),
            Self::ChangeGateway { gateway, .. } => write!(f, "gateway {gateway} has other settings"),
            Self::RemoveGateway { gateway, .. } => write!(f, "gateway {gateway} should not be there"),
            Self::LoadQueue { queue } => write!(f, "queue {queue} is missing"),
            Self::ReloadQueue { queue } => write!(f, "queue {queue} has other settings"),
            Self::UnloadQueue { queue } => write!(f, "queue {queue} should not be there"),
            Self::SetAgent { agent } => write!(f, "agent {agent} is missing, or called in another way"),
            Self::RemoveAgent { agent } => write!(f, "agent {agent} should not be there"),
            Self::SetTier { queue, agent } => write!(f, "agent {agent} has another place in queue {queue}"),
            Self::RemoveTier { queue, agent } => write!(f, "agent {agent} should not serve queue {queue}"),
            Self::DropRegistration { user, domain, .. } => {
                write!(f, "{user}@{domain} is registered, and should not be")
            }
            Self::DropDomain { domain, .. } => {
                write!(f, "phones of {domain} are registered, and should not be")
            }
            Self::EndCalls { tenant } => write!(f, "calls of tenant {tenant} are up, and should not be"),
        }
    }
}
