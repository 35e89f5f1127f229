//! The event socket of one FreeSWITCH: typed commands, typed events, and sessions (contract §5).
//!
//! The crate `freeswitch-esl-tokio` does the framing. Commands go through one queue to one task, because
//! a command whose caller was cancelled would shift all later replies. A session has two connections: a
//! command blocks its connection's thread on the switch, and events would wait for it.

mod address;
mod client;
mod command;
mod event;
mod notify;
mod session;

pub use address::{Address, AddressError};
pub use client::Client;
pub use command::{AgentNumber, Api, Contact};
pub use event::Event;
pub use notify::{CallId, Notify};
pub use session::{Events, Session, open};

/// A password. Its `Debug` output hides it.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// A password that the protocol can carry: not empty, without control characters.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a session or a command failed.
#[derive(Debug, thiserror::Error)]
pub enum EslError {
    /// No event socket answers at the address.
    #[error("{address}: {reason}")]
    Unreachable {
        /// The address.
        address: Address,
        /// The cause.
        reason: String,
    },
    /// The password is wrong, or the switch's access list excludes us.
    #[error("{address} refuses the login: {reason}")]
    Refused {
        /// The address.
        address: Address,
        /// FreeSWITCH's reason.
        reason: String,
    },
    /// The session has ended.
    #[error("the event socket was closed")]
    Closed,
    /// FreeSWITCH did not answer in time, which ends the session.
    #[error("no answer to `{command}` in time")]
    TimedOut {
        /// The command.
        command: String,
    },
    /// FreeSWITCH refused a command. The session continues.
    #[error("`{command}`: {reply}")]
    Failed {
        /// The command.
        command: String,
        /// The first line of FreeSWITCH's reply.
        reply: String,
    },
    /// An answer cannot be parsed. The session continues.
    #[error("the answer to `{command}` cannot be parsed: {reason}")]
    Unreadable {
        /// The command.
        command: String,
        /// What is missing or wrong.
        reason: String,
    },
}

impl EslError {
    /// The kind of error, for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            EslError::Unreachable { .. } => "unreachable",
            EslError::Refused { .. } => "refused",
            EslError::Closed => "closed",
            EslError::TimedOut { .. } => "timeout",
            EslError::Failed { .. } => "failed",
            EslError::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether the error ends the session.
    pub fn ends_session(&self) -> bool {
        !matches!(self, EslError::Failed { .. } | EslError::Unreadable { .. })
    }
}
