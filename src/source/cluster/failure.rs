//! Why a request to the API server failed.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;

use super::wire::WireError;

/// Why a list, a watch or a fetch failed. Whatever the reason, what was read before stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API server refused.
    #[error("{code} {reason}: {message}{}", hint(*code))]
    Refused {
        /// HTTP status code.
        code: u16,
        /// Reason of the `Status`, such as `Forbidden`.
        reason: String,
        /// Message of the `Status`.
        message: String,
    },
    /// The API server could not be reached, or the connection broke.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// The API server did not answer in time.
    #[error("the API server did not answer in {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A watch ended as soon as it began.
    #[error("the API server ended the watch at once")]
    ClosedImmediately,
    /// The answer is not what the protocol allows.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
}

fn hint(code: u16) -> &'static str {
    if code == 404 { "; is the CRD installed?" } else { "" }
}

impl Failure {
    fn from_innermost(error: &(dyn Error + 'static)) -> Self {
        match error.downcast_ref() {
            Some(WireError::TimedOut(time)) => Self::TimedOut(*time),
            Some(WireError::ClosedImmediately) => Self::ClosedImmediately,
            None => Self::Unreachable(error.to_string()),
        }
    }

    /// Stable word for logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "silent",
            Self::ClosedImmediately => "brief",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whether a watch cannot continue from its last version, and needs a new list.
    pub fn relists(&self) -> bool {
        match self {
            Self::Refused { code, .. } => !busy(*code),
            Self::Unreadable(_) => true,
            Self::Unreachable(_) | Self::TimedOut(_) | Self::ClosedImmediately => false,
        }
    }

    /// The API server no longer has the version to continue from. Normal after a long gap.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }

    /// The object or the kind does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// The API server gave an answer.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unreadable(_))
    }

    /// The API server could not be reached, or did not answer.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut(_))
    }

    /// Requests for other objects would fail too.
    pub fn concerns_all_objects(&self) -> bool {
        match self {
            Self::Refused { code, .. } => busy(*code),
            Self::Unreachable(_) | Self::TimedOut(_) | Self::ClosedImmediately => true,
            Self::Unreadable(_) => false,
        }
    }
}

/// Too many requests, or temporarily unavailable.
fn busy(code: u16) -> bool {
    matches!(code, 429 | 503)
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused { code: status.code, reason: status.reason, message: status.message }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => (*status).into(),
            kube::Error::SerdeError(error) => Self::Unreadable(error),
            error => Self::from_innermost(innermost(&error)),
        }
    }
}

impl From<watcher::Error> for Failure {
    fn from(error: watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(cause)
            | watcher::Error::WatchStartFailed(cause)
            | watcher::Error::WatchFailed(cause) => cause.into(),
            watcher::Error::WatchError(status) => (*status).into(),
            watcher::Error::NoResourceVersion => {
                Self::Unreadable(serde::de::Error::missing_field("resourceVersion"))
            }
        }
    }
}

/// The innermost of nested errors: the outer ones only say which library it passed through.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}
