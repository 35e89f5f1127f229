//! Whose a call record is: by the variable that our own dialplan signed, and by nothing else. A
//! domain, a user, an account code may be what a caller sent.

use uuid::Uuid;

use super::document::{Document, DocumentError, TOKEN};
use super::record::Incomplete;
use crate::route::token::{Caller, verify_call};
use crate::secrets::signing_key::SigningKey;

/// Why a record is put into quarantine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuarantineReason {
    /// The body is no call record.
    #[error(transparent)]
    Unreadable(#[from] DocumentError),
    /// It lacks what makes it one.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// Our dialplan never had this call: an attack, or one that ended before it was routed.
    #[error("it has no {TOKEN}: our dialplan never routed this call")]
    NoToken,
    /// The signature is not ours.
    #[error("its {TOKEN} is forged, or signed with another key")]
    Forged,
    /// Two different signed variables.
    #[error("it has more than one {TOKEN}")]
    Ambiguous,
    /// There is no such tenant any more.
    #[error("the tenant is not there any more")]
    TenantGone,
    /// Postgres cannot keep a value of it.
    #[error("Postgres refuses it: {0}")]
    Refused(String),
}

impl QuarantineReason {
    /// The reason in one word, stable: for metrics, and the column `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Incomplete(_) => "incomplete",
            Self::NoToken => "no_token",
            Self::Forged => "forged_token",
            Self::Ambiguous => "ambiguous_token",
            Self::TenantGone => "tenant_gone",
            Self::Refused(_) => "refused",
        }
    }
}

/// Whose a record is, and on whose behalf the call ran.
///
/// # Errors
/// Why nobody can tell.
pub fn place(key: &SigningKey, document: &Document<'_>) -> Result<(Uuid, Caller), QuarantineReason> {
    let mut tokens = document.tokens.iter();
    let token = match (tokens.next(), tokens.next()) {
        (None, _) => return Err(QuarantineReason::NoToken),
        (Some(token), None) => token,
        (Some(_), Some(_)) => return Err(QuarantineReason::Ambiguous),
    };
    // The leg it was signed for need not be named here: a transferred leg outlives the one it came from.
    verify_call(key, token).ok_or(QuarantineReason::Forged)
}
