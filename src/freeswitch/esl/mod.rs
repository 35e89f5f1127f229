//! The event socket of one FreeSWITCH: commands as values, events as values, and a session that is
//! made again for ever (contract §5).
//!
//! Framing is the crate's (`freeswitch-esl-tokio`); what it leaves open is closed here. Commands go
//! through one queue to one task, because a command whose caller went away would shift all later
//! answers. Two connections a session: a command runs in its connection's own thread on the switch,
//! and events would wait for it.

mod address;
mod client;
mod command;
mod event;
mod session;

pub use address::{Address, AddressError};
pub use client::Client;
pub use command::{AgentNumber, Api, Contact};
pub use event::Event;
pub use session::{Events, Session, open};

/// A password, which no debug print shows.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The password, if the event socket can be told it: without line ends, and not empty.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a session is not there, or a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum EslError {
    /// Nobody answers at the address, or not as an event socket does.
    #[error("{address}: {reason}")]
    Unreachable {
        /// Where.
        address: Address,
        /// What was wrong.
        reason: String,
    },
    /// The password is wrong, or the switch's access list refuses us.
    #[error("{address} refuses the login: {reason}")]
    Refused {
        /// Where.
        address: Address,
        /// In FreeSWITCH's words.
        reason: String,
    },
    /// The session has ended.
    #[error("the event socket was closed")]
    Closed,
    /// FreeSWITCH did not answer in time; the session ends with it.
    #[error("no answer to `{command}` in time")]
    TimedOut {
        /// The command.
        command: String,
    },
    /// FreeSWITCH refused a command, which is no reason to end a session.
    #[error("`{command}`: {reply}")]
    Failed {
        /// The command.
        command: String,
        /// FreeSWITCH's answer, cut to a line.
        reply: String,
    },
    /// An answer that makes no sense.
    #[error("the answer to `{command}` is not understood: {reason}")]
    Unreadable {
        /// The command.
        command: String,
        /// What is missing or wrong.
        reason: String,
    },
}

impl EslError {
    /// What kind of error it is, for logs and metrics.
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

    /// Whether the session is of no use any more.
    pub fn ends_session(&self) -> bool {
        !matches!(self, EslError::Failed { .. } | EslError::Unreadable { .. })
    }
}
