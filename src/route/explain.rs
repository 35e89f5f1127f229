//! Why a call goes where it goes: rules tell it while they decide, when somebody listens.
//!
//! Calls on a switch have no listener: what would be told is a closure that is never called.

use crate::resources::Kind;
use std::cell::RefCell;

use serde::Serialize;

use super::app::Cause;
use crate::plan::Target;
use crate::resources::common::DestinationKind;
use crate::resources::routing_test::EndKind;
use crate::source::ObjectKey;

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The resource whose rule it is.
    pub resource: ObjectKey,
    /// Whether it decided something about the call.
    pub matched: bool,
    /// What it decided, or why it was passed by.
    pub why: String,
}

/// Where a call ends, as far as our dialplan decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Kind of the end.
    pub kind: EndKind,
    /// Name of the resource: `namespace/name` of a Trunk, the first that is tried; FreeSWITCH's name
    /// of the cause when the call is rejected.
    pub name: String,
}

impl End {
    /// The call is refused.
    pub fn rejected(cause: Cause) -> Self {
        Self { kind: EndKind::Rejected, name: cause.name().to_owned() }
    }

    /// A destination that takes the call itself; none for those that only lead on.
    fn of(target: &Target) -> Option<Self> {
        let kind = match target.kind {
            DestinationKind::Extension => EndKind::Extension,
            DestinationKind::RingGroup => EndKind::RingGroup,
            DestinationKind::Queue => EndKind::Queue,
            DestinationKind::IvrMenu => EndKind::IvrMenu,
            DestinationKind::Conference => EndKind::Conference,
            DestinationKind::Voicemail => EndKind::Voicemail,
            DestinationKind::Schedule | DestinationKind::ExternalNumber => return None,
        };
        Some(Self { kind, name: target.name.clone() })
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// What names a trunk, from its name in plans.
pub(super) fn trunk_key(name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    ObjectKey { kind: Kind::Trunk, namespace: Some(namespace.to_owned()), name: name.to_owned() }
}

/// What was told about a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The rules looked at, in order.
    pub steps: Vec<Step>,
    /// Where the call ends.
    pub end: Option<End>,
}

/// Who listens, if anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracer<'a>(Option<&'a RefCell<Explanation>>);

impl<'a> Tracer<'a> {
    /// Nobody does.
    pub const NOBODY: Self = Self(None);

    /// What is told is written down here.
    pub fn new(notes: &'a RefCell<Explanation>) -> Self {
        Self(Some(notes))
    }

    /// Tells of a rule.
    pub(super) fn hears(self, step: impl FnOnce() -> Step) {
        if let Some(notes) = self.0 {
            let step = step();
            notes.borrow_mut().steps.push(step);
        }
    }

    /// Tells where the call ends; what is told last holds.
    pub(super) fn ends(self, end: impl FnOnce() -> End) {
        if let Some(notes) = self.0 {
            notes.borrow_mut().end = Some(end());
        }
    }

    /// Tells of the destination that the call goes to.
    pub(super) fn reaches(self, target: &Target) {
        if let Some(notes) = self.0
            && let Some(end) = End::of(target)
        {
            notes.borrow_mut().end = Some(end);
        }
    }
}
