//! Problems that compile finds: which resource, which field, why, and what would be allowed.

use serde::Serialize;

use crate::resources::Kind;
use crate::source::ObjectKey;

/// Something that is wrong with a resource, or that the resource waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The resource that has the problem.
    pub resource: ObjectKey,
    /// Path of the field, such as `spec.members[2].extensionRef.name`.
    pub field: String,
    /// The reason of the condition, and the label of the metric.
    pub reason: Reason,
    /// What the problem does to the resource.
    pub effect: Effect,
    /// Why, for people, with what would be allowed. Every reader of the resource sees the message,
    /// so it names nothing of tenants in other namespaces.
    pub message: String,
    /// For a `Conflict`: the object that holds what the resource claims. The platform's log names it, and a
    /// change of it compiles the resource again.
    #[serde(skip)]
    pub holder: Option<ObjectKey>,
    /// For a problem with a reference: what is missing or refused.
    #[serde(skip)]
    pub about: Option<About>,
}

/// What a problem with a reference is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// One object.
    Object(ObjectKey),
    /// Any object of a kind in the resource's tenant: none of the existing ones fits.
    AnyOf(Kind),
}

/// Why a reference, or a part of a resource, cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct RefError {
    /// The reason of the condition.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// The object that is missing or refused, if the error is about one.
    pub about: Option<About>,
}

impl RefError {
    /// An error about one object.
    pub fn of_object(reason: Reason, object: ObjectKey, message: String) -> Self {
        Self { reason, message, about: Some(About::Object(object)) }
    }
}

impl From<(Reason, String)> for RefError {
    fn from((reason, message): (Reason, String)) -> Self {
        Self { reason, message, about: None }
    }
}

/// What a problem does to its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Effect {
    /// The resource is not in the plan.
    Refused,
    /// The part named by the field is left out; the rest of the resource is in the plan.
    Degraded,
    /// The resource is valid, but something that it needs does not exist yet.
    Waiting,
    /// The resource is in the plan as its spec says; a person should know of something.
    Noted,
}

impl Effect {
    /// Whether the resource is not in the plan.
    pub fn is_kept_out(self) -> bool {
        matches!(self, Self::Refused | Self::Waiting)
    }

    /// Whether it is a mistake, and not only something to wait for or to know.
    pub fn is_mistake(self) -> bool {
        matches!(self, Self::Refused | Self::Degraded)
    }
}

/// Why a resource, or a part of it, is not in the plan, or needs a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// An older resource holds the domain, number, code or source address.
    Conflict,
    /// The resource referred to does not exist.
    RefNotFound,
    /// The resource referred to exists but is refused.
    RefRefused,
    /// The owner of the resource referred to does not allow it.
    RefNotPermitted,
    /// The Tenant's or its profile's limit is reached.
    LimitExceeded,
    /// Calls would go round in a circle.
    Loop,
    /// The number or pattern matches an emergency number.
    EmergencyShadowed,
    /// Calls of the tenant leave, and it does not list the emergency numbers of its country.
    EmergencyNotListed,
    /// The value is well-formed but has no meaning, such as an unknown time zone.
    InvalidValue,
    /// The tenant's profile does not allow the feature, or the Tenant not the number.
    NotAllowed,
    /// The Secret with the credentials does not exist yet.
    CredentialsPending,
    /// The Secret exists, but its value cannot be used.
    InvalidSecret,
    /// The call of a RoutingTest ends elsewhere than expected.
    TestFailed,
}

impl Reason {
    /// Every reason, in order of declaration.
    pub const ALL: [Self; 13] = [
        Self::Conflict,
        Self::RefNotFound,
        Self::RefRefused,
        Self::RefNotPermitted,
        Self::LimitExceeded,
        Self::Loop,
        Self::EmergencyShadowed,
        Self::EmergencyNotListed,
        Self::InvalidValue,
        Self::NotAllowed,
        Self::CredentialsPending,
        Self::InvalidSecret,
        Self::TestFailed,
    ];

    /// The reason as conditions, metrics and `check` write it: part of the API, whatever the variant is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "Conflict",
            Self::RefNotFound => "RefNotFound",
            Self::RefRefused => "RefRefused",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::LimitExceeded => "LimitExceeded",
            Self::Loop => "Loop",
            Self::EmergencyShadowed => "EmergencyShadowed",
            Self::EmergencyNotListed => "EmergencyNotListed",
            Self::InvalidValue => "InvalidValue",
            Self::NotAllowed => "NotAllowed",
            Self::CredentialsPending => "CredentialsPending",
            Self::InvalidSecret => "InvalidSecret",
            Self::TestFailed => "TestFailed",
        }
    }

    /// The meaning of the reason, for the table in the documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Conflict => "An older resource holds the domain, number, code or source address.",
            Self::RefNotFound => "The resource referred to does not exist (yet).",
            Self::RefRefused => "The resource referred to exists but is not accepted itself.",
            Self::RefNotPermitted => "The owner of the resource referred to does not allow it.",
            Self::LimitExceeded => "The limit of the tenant's profile is reached; the oldest stay.",
            Self::Loop => "Calls would go round in a circle.",
            Self::EmergencyShadowed => "A number or pattern matches an emergency number.",
            Self::EmergencyNotListed => {
                "Calls of the Tenant leave, and it does not list the emergency numbers of its country."
            }
            Self::InvalidValue => {
                "The value is well-formed but has no meaning, such as a time zone nobody knows."
            }
            Self::NotAllowed => {
                "The tenant's profile does not have the feature, or the Tenant not the number."
            }
            Self::CredentialsPending => "The Secret with the credentials is not there yet.",
            Self::InvalidSecret => "The Secret is there, but what is in it cannot be used.",
            Self::TestFailed => {
                "The call of a RoutingTest ends elsewhere than expected; nothing is kept back."
            }
        }
    }
}

impl Reason {
    /// What callers get when a resource that was in force gets a problem of this reason, for the table in
    /// the documentation.
    pub fn consequence(self) -> &'static str {
        match self {
            Self::Conflict => {
                "what was before, while nobody else has the number or code of that; of a Number that is another's, nothing"
            }
            Self::RefNotFound | Self::RefRefused => {
                "what was before, while everything is there that it leads to: what led to something that is deleted goes with it"
            }
            Self::RefNotPermitted => "nothing: the right to it was taken away",
            Self::LimitExceeded => "nothing: the right to so many was taken away",
            Self::Loop => "what was before, where that closes no circle",
            Self::EmergencyShadowed => "what was before, where that holds no emergency number",
            Self::EmergencyNotListed => {
                "what the spec says; the emergency numbers of the country leave as dialled, by the tenant's trunks"
            }
            Self::InvalidValue => "what was before",
            Self::NotAllowed => "what is left without it: the right to it was taken away",
            Self::CredentialsPending => {
                "nobody registers or enters: who deletes or empties a Secret withdraws the password; what leads to a resource that waits stays as it was"
            }
            Self::InvalidSecret => {
                "the password or PIN from before goes on to hold: a new one that is too short is a mistake"
            }
            Self::TestFailed => "what the rules say: a test holds nothing back",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {} ({})", self.resource, self.field, self.message, self.reason)
    }
}

/// A resource that has a problem, and whose previous row, or a part of it, stays in force in place of what
/// its spec says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastGoodRow {
    /// The resource that has the problem.
    pub resource: ObjectKey,
    /// The part that stays.
    pub part: KeptPart,
}

/// The part of a resource's previous row that stays in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptPart {
    /// The whole row, with the generation of the spec that it was compiled from; `None` for objects from a
    /// folder.
    Whole(Option<i64>),
    /// The values of these fields; the rest of the row follows the present spec.
    Fields(Vec<String>),
}

impl Problem {
    /// A problem that keeps the whole resource out of the plan.
    pub fn refused(
        resource: ObjectKey,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        let (field, message) = (field.into(), message.into());
        Self { resource, field, reason, effect: Effect::Refused, message, holder: None, about: None }
    }

    /// Whether the previous row may stay in force: the problem is a mistake, and does not withdraw a right.
    pub fn keeps_last_row(&self) -> bool {
        match self.reason {
            _ if self.effect == Effect::Noted => false,
            Reason::RefNotPermitted | Reason::LimitExceeded | Reason::NotAllowed | Reason::TestFailed => {
                false
            }
            // Withdrawing the resource's own Secret withdraws its row; a reference to a resource that waits
            // for a Secret does not.
            Reason::CredentialsPending => !self.field.to_ascii_lowercase().ends_with("secretref"),
            Reason::Conflict
            | Reason::RefNotFound
            | Reason::RefRefused
            | Reason::Loop
            | Reason::EmergencyShadowed
            | Reason::EmergencyNotListed
            | Reason::InvalidValue
            | Reason::InvalidSecret => true,
        }
    }

    /// A problem that keeps a part of the resource out of the plan.
    pub fn degraded(
        resource: ObjectKey,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { effect: Effect::Degraded, ..Self::refused(resource, field, reason, message) }
    }

    /// Something that a person should know of a resource that is in the plan as its spec says.
    pub fn noted(
        resource: ObjectKey,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { effect: Effect::Noted, ..Self::refused(resource, field, reason, message) }
    }

    /// Something that a resource waits for.
    pub fn waiting(
        resource: ObjectKey,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { effect: Effect::Waiting, ..Self::refused(resource, field, reason, message) }
    }

    /// The holder of what the resource claims, if it is in another namespace and the message therefore does
    /// not name it. For the operator of the platform.
    pub fn unnamed_holder(&self) -> Option<&ObjectKey> {
        let elsewhere =
            |holder: &&ObjectKey| holder.namespace.is_some() && holder.namespace != self.resource.namespace;
        self.holder.as_ref().filter(elsewhere)
    }

    /// Sets the object that is missing or refused.
    #[must_use]
    pub fn about(self, object: ObjectKey) -> Self {
        Self { about: Some(About::Object(object)), ..self }
    }

    /// Sets the object that holds what the resource claims.
    #[must_use]
    pub fn held_by(self, holder: ObjectKey) -> Self {
        Self { holder: Some(holder), ..self }
    }
}
