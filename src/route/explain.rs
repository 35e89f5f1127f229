//! The trace of a call: which rules were tried, and why the call goes where it goes.
//!
//! Calls on a switch use [`Tracer::OFF`], under which the closures that build steps never run.

use std::cell::RefCell;

use serde::Serialize;

use super::app::Cause;
use crate::plan::Target;
use crate::resources::Kind;
use crate::resources::common::DestinationKind;
use crate::resources::routing_test::EndKind;
use crate::source::ObjectKey;

/// One rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The resource that the rule belongs to.
    pub resource: ObjectKey,
    /// Whether the rule decided something about the call.
    pub matched: bool,
    /// What the rule decided, or why it did not apply.
    pub why: String,
}

/// Where a call ends, as far as the dialplan decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Kind of the destination.
    pub kind: EndKind,
    /// Name of the resource; `namespace/name` of the first Trunk that is tried; FreeSWITCH's cause for a
    /// rejected call.
    pub name: String,
}

impl End {
    /// A rejected call.
    pub fn rejected(cause: Cause) -> Self {
        Self { kind: EndKind::Rejected, name: cause.name().to_owned() }
    }

    /// The end at a target; `None` for targets that only lead to others.
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

/// The key of a trunk, from its name in plans (`namespace/name`).
pub(super) fn trunk_key(name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    ObjectKey { kind: Kind::Trunk, namespace: Some(namespace.to_owned()), name: name.to_owned() }
}

/// The recorded trace of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The rules that were tried, in order.
    pub steps: Vec<Step>,
    /// Where the call ends.
    pub end: Option<End>,
}

/// Records an [`Explanation`], or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracer<'a>(Option<&'a RefCell<Explanation>>);

impl<'a> Tracer<'a> {
    /// Records nothing.
    pub const OFF: Self = Self(None);

    /// Records into an explanation.
    pub fn new(notes: &'a RefCell<Explanation>) -> Self {
        Self(Some(notes))
    }

    /// Records a rule that was tried.
    pub(super) fn record(self, step: impl FnOnce() -> Step) {
        if let Some(notes) = self.0 {
            let step = step();
            notes.borrow_mut().steps.push(step);
        }
    }

    /// Records where the call ends; the last record counts.
    pub(super) fn record_end(self, end: impl FnOnce() -> End) {
        if let Some(notes) = self.0 {
            notes.borrow_mut().end = Some(end());
        }
    }

    /// Records the target that the call goes to, if the call ends there.
    pub(super) fn record_target(self, target: &Target) {
        if let Some(notes) = self.0
            && let Some(end) = End::of(target)
        {
            notes.borrow_mut().end = Some(end);
        }
    }
}
