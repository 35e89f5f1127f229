//! Whose a call record is: by the variable that our own dialplan signed, and by nothing else. A
//! domain, a user, an account code may be what a caller sent.

use uuid::Uuid;

use super::document::{Document, DocumentError, TOKEN};
use super::record::Incomplete;
use crate::route::SigningKey;
use crate::route::token::{Caller, verify_call};

/// Why a record is put into quarantine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
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
    /// Signed for a call that this one has nothing to do with.
    #[error("its {TOKEN} was signed for another call")]
    OtherCall,
    /// There is no such tenant any more.
    #[error("the tenant is not there any more")]
    TenantGone,
    /// Postgres cannot keep a value of it.
    #[error("Postgres refuses it: {0}")]
    Refused(String),
}

impl Misplaced {
    /// The reason in one word, stable: for metrics, and the column `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Incomplete(_) => "incomplete",
            Self::NoToken => "no_token",
            Self::Forged => "forged_token",
            Self::Ambiguous => "ambiguous_token",
            Self::OtherCall => "other_call",
            Self::TenantGone => "tenant_gone",
            Self::Refused(_) => "refused",
        }
    }
}

/// Variables in which FreeSWITCH names the legs that belong to a call (contract §7.2).
const LEGS: [&str; 9] = [
    "uuid",
    "call_uuid",
    "originating_leg_uuid",
    "originator",
    "bridge_uuid",
    "signal_bond",
    "last_bridge_to",
    "other_loopback_leg_uuid",
    "cc_member_session_uuid",
];

/// Whose a record is, and on whose behalf the call ran.
///
/// # Errors
/// Why nobody can tell.
pub fn place(key: &SigningKey, document: &Document) -> Result<(Uuid, Caller), Misplaced> {
    let mut tokens = document.tokens.iter();
    let token = match (tokens.next(), tokens.next()) {
        (None, _) => return Err(Misplaced::NoToken),
        (Some(token), None) => token,
        (Some(_), Some(_)) => return Err(Misplaced::Ambiguous),
    };
    let placed = verify_call(key, token).ok_or(Misplaced::Forged)?;
    // The third part is the leg it was signed for (route/token.rs); verified just now.
    let leg = token.split('/').nth(2).unwrap_or_default();
    let related = document.legs.contains(leg) || LEGS.iter().any(|name| document.variable(name) == Some(leg));
    if related { Ok(placed) } else { Err(Misplaced::OtherCall) }
}
