//! Attributes a call record to a tenant, only by the variable that our own dialplan signed: a domain, a
//! user or an account code may come from the caller.

use uuid::Uuid;

use super::document::{Document, DocumentError, TOKEN};
use super::record::Incomplete;
use crate::route::token::{Caller, verify_call};
use crate::secrets::signing_key::SigningKey;

/// Why a record is put into quarantine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuarantineReason {
    /// The body is not a call record.
    #[error(transparent)]
    Unreadable(#[from] DocumentError),
    /// The record lacks a mandatory field.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// The record has no signed variable: an attack, or a call that ended before it was routed.
    #[error("it has no {TOKEN}: our dialplan never routed this call")]
    NoToken,
    /// The signature is invalid.
    #[error("its {TOKEN} is forged, or signed with another key")]
    Forged,
    /// The record has different signed variables.
    #[error("it has more than one {TOKEN}")]
    Ambiguous,
    /// The tenant was removed.
    #[error("the tenant does not exist any more")]
    TenantGone,
    /// Postgres refuses a value of the record.
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

/// The tenant of a record, and the caller on whose behalf the call ran.
///
/// # Errors
/// The record has no signed variable, several, or one with an invalid signature.
pub fn attribute(key: &SigningKey, document: &Document<'_>) -> Result<(Uuid, Caller), QuarantineReason> {
    let mut tokens = document.tokens.iter();
    let token = match (tokens.next(), tokens.next()) {
        (None, _) => return Err(QuarantineReason::NoToken),
        (Some(token), None) => token,
        (Some(_), Some(_)) => return Err(QuarantineReason::Ambiguous),
    };
    // The record may be of another leg than the signed one: a transferred leg outlives its origin.
    verify_call(key, token).ok_or(QuarantineReason::Forged)
}
