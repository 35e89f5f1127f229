//! Why the API server could not be asked, or did not give what was asked for.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;

/// Why a list, a watch or a fetch failed. What was seen before stays, whatever it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API server refused.
    #[error("{code} {reason}: {message}{}", hint(*code))]
    Refused {
        /// HTTP status code.
        code: u16,
        /// Why, in a word.
        reason: String,
        /// Why, for people.
        message: String,
    },
    /// It could not be reached, or the connection broke.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the API server did not answer in {} s", .0.as_secs())]
    Silent(Duration),
    /// It ended a watch as soon as it began.
    #[error("the API server ended the watch at once")]
    Brief,
    /// Its answer is not what the protocol says.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
}

fn hint(code: u16) -> &'static str {
    if code == 404 { "; is the CRD installed?" } else { "" }
}

impl Failure {
    /// Stable word for logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Silent(_) => "silent",
            Self::Brief => "brief",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whether a watch cannot go on from where it was: everything has to be listed again.
    pub fn relists(&self) -> bool {
        match self {
            Self::Refused { code, .. } => !busy(*code),
            Self::Unreadable(_) => true,
            Self::Unreachable(_) | Self::Silent(_) | Self::Brief => false,
        }
    }

    /// The version a watch was to go on from is too old: part of every long life.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }

    /// What was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// The API server said something, whatever it was.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unreadable(_))
    }

    /// The API server could not be reached, or was silent.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Silent(_))
    }

    /// It would fail for every other object too.
    pub fn is_of_the_server(&self) -> bool {
        match self {
            Self::Refused { code, .. } => busy(*code),
            Self::Unreachable(_) | Self::Silent(_) | Self::Brief => true,
            Self::Unreadable(_) => false,
        }
    }
}

/// Too many requests, or not available for the moment.
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
            error => Self::Unreachable(root(&error)),
        }
    }
}

/// What the innermost of the errors says: the outer ones only say whose it is.
fn root(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
