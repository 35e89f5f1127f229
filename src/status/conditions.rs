//! The conditions of one resource, from its problems, the store and the switches' reports.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reason::{
    ACCEPTED, DEGRADED, EMERGENCY_TRUNK_USABLE, LAST_GOOD_KEPT, LIVE, PROGRAMMED, READY, REGISTERED, STALLED,
    find, wants_a_person,
};
use crate::compile::{Effect, Problem};

/// Most problems that a message lists; it counts the others.
const MAX_PROBLEMS: usize = 3;
/// Length limit of a message, in bytes.
const MAX_MESSAGE: usize = 1000;

/// State of a resource that its conditions are computed from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Its problems, including those that only make it wait.
    pub problems: &'a [&'a Problem],
    /// Whether it is stored.
    pub programmed: Programmed,
    /// Whether switches have it.
    pub live: Live,
    /// The part that is not accepted, and stays in force in its last good state.
    pub stays: LastGood<'a>,
    /// Why its deletion is blocked.
    pub blocked: Option<&'a str>,
}

/// Whether a resource is in Postgres as its spec says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programmed {
    /// Stored as its spec says.
    Stored,
    /// Not written yet.
    Pending,
    /// Postgres was set back to an older state, and is being compared with the specs.
    SetBack,
    /// The write failed, with this category of error, and is retried.
    Failed(&'static str),
}

/// The part of a resource that stays in force in its last good state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastGood<'a> {
    /// Nothing.
    Nothing,
    /// The whole resource, compiled from this generation of its spec if that is known.
    Whole(Option<i64>),
    /// The parts at these fields.
    Fields(&'a [String]),
    /// The stored rows, whichever they are: nothing is written at present.
    AsBefore,
}

/// Whether switches have a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// Every switch that reports has it.
    Everywhere,
    /// No switch reports.
    NoSwitches,
    /// Some switches lack it. Names them once it takes long.
    Applying(Option<String>),
    /// A switch could not apply it, for this reason.
    Refused(String),
    /// A switch postpones it, for this reason.
    Waits(String),
    /// Unchanged since the previous conditions.
    AsBefore,
}

/// The conditions of a resource; `None` if they equal `before`. A condition whose status is unchanged keeps its
/// transition time.
pub fn conditions(
    facts: &Facts<'_>,
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Option<Vec<Condition>> {
    changed_conditions(condition_values(facts, generation, before), generation, before, now)
}

/// The conditions that every kind has: all but the last one of a Trunk or a Tenant, which only that kind has.
pub fn stages(conditions: &[Condition]) -> &[Condition] {
    match conditions.split_last() {
        Some((last, stages)) if [REGISTERED, EMERGENCY_TRUNK_USABLE].contains(&last.type_.as_str()) => stages,
        _ => conditions,
    }
}

/// Conditions with these values; `None` if they equal `before`. A condition whose status is unchanged keeps its
/// transition time.
pub(super) fn changed_conditions(
    values: Vec<ConditionValue>,
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let after: Vec<Condition> = values
        .into_iter()
        .map(|ConditionValue { type_, status, reason, message }| {
            let old = find(before, type_).filter(|old| old.status == status);
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason,
                message,
                observed_generation: generation,
                last_transition_time: old.map_or(Time(now), |old| old.last_transition_time.clone()),
            }
        })
        .collect();
    (after != before).then_some(after)
}

/// A condition without its transition time and generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionValue {
    /// Its type.
    pub type_: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Reason, one word in CamelCase.
    pub reason: String,
    /// Message for people.
    pub message: String,
}

impl ConditionValue {
    pub(super) fn new(
        type_: &'static str,
        status: &'static str,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason: reason.to_owned(), message: message.into() }
    }

    fn unchanged(type_: &'static str, old: &Condition) -> Self {
        let status = match old.status.as_str() {
            "True" => "True",
            "False" => "False",
            _ => "Unknown",
        };
        Self::new(type_, status, &old.reason, old.message.clone())
    }
}

fn condition_values(facts: &Facts<'_>, generation: Option<i64>, before: &[Condition]) -> Vec<ConditionValue> {
    let (notes, problems): (Vec<&Problem>, Vec<&Problem>) =
        facts.problems.iter().partition(|problem| problem.effect == Effect::Noted);
    let facts = &Facts { problems: &problems, ..facts.clone() };
    let accepted = accepted(facts.problems);
    let is_kept_out = facts.problems.iter().any(|problem| problem.effect.is_kept_out());
    let programmed = match is_kept_out {
        true => programmed_if_not_accepted(facts, &accepted, generation, before),
        false => programmed(facts),
    };
    let live = live(facts, programmed.status, before);
    let ready = ready(facts, &[&accepted, &programmed, &live]);
    let stalled = facts.blocked.is_some()
        || facts
            .problems
            .iter()
            .any(|problem| problem.effect != Effect::Waiting && wants_a_person(problem.reason));
    let stalled = stalled.then(|| ConditionValue::new(STALLED, "True", &ready.reason, ready.message.clone()));
    [accepted, programmed, live, ready].into_iter().chain(stalled).chain(degraded(&notes)).collect()
}

/// What a person should know of a resource that works as its spec says; no other condition depends on it.
fn degraded(notes: &[&Problem]) -> Option<ConditionValue> {
    let first = notes.first()?;
    Some(ConditionValue::new(DEGRADED, "True", first.reason.as_str(), message(first, notes)))
}

fn accepted(problems: &[&Problem]) -> ConditionValue {
    let worst = |effect| problems.iter().find(|problem| problem.effect == effect);
    let first = [Effect::Refused, Effect::Degraded, Effect::Waiting].into_iter().find_map(worst);
    let Some(first) = first else {
        return ConditionValue::new(
            ACCEPTED,
            "True",
            "Accepted",
            "The spec is valid and its references are resolved",
        );
    };
    let status = if first.effect == Effect::Waiting { "Unknown" } else { "False" };
    ConditionValue::new(ACCEPTED, status, first.reason.as_str(), message(first, problems))
}

fn message(first: &Problem, problems: &[&Problem]) -> String {
    let others = problems.iter().copied().filter(|problem| *problem != first);
    let texts: Vec<String> = std::iter::once(first)
        .chain(others)
        .take(MAX_PROBLEMS)
        .map(|problem| format!("{}: {}", problem.field, problem.message))
        .collect();
    let mut text = texts.join("; ");
    if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    cut(text)
}

/// Cuts a text to the length limit of a message, at the end of a character.
pub fn cut(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Restriction of every last good row: parts that were deleted or revoked since are removed from it for ever.
const EXCEPT_REMOVED: &str = "but for what was deleted or taken away since";

/// The condition `Programmed` of a resource that is refused or waits: whether its last good row stays.
fn programmed_if_not_accepted(
    facts: &Facts<'_>,
    accepted: &ConditionValue,
    generation: Option<i64>,
    before: &[Condition],
) -> ConditionValue {
    let kept = |message: String| ConditionValue::new(PROGRAMMED, "True", LAST_GOOD_KEPT, cut(message));
    let previous = find(before, PROGRAMMED).filter(|previous| previous.status == "True");
    match (facts.stays, previous) {
        (LastGood::Whole(_), _) if facts.programmed != Programmed::Stored => programmed(facts),
        (LastGood::Whole(of), _) => {
            let why = &accepted.message;
            kept(match (of, generation) {
                (Some(of), Some(now)) if of != now => {
                    let waits = if accepted.status == "Unknown" { "waits" } else { "is refused" };
                    format!("Generation {of} is in force, {EXCEPT_REMOVED}; generation {now} {waits}: {why}")
                }
                _ => format!("What was in force before stays, {EXCEPT_REMOVED}; what is wrong now: {why}"),
            })
        }
        (LastGood::AsBefore, Some(previous)) if previous.reason == LAST_GOOD_KEPT => {
            ConditionValue::unchanged(PROGRAMMED, previous)
        }
        (LastGood::AsBefore, Some(_)) => kept(format!("What was in force before stays, {EXCEPT_REMOVED}")),
        _ => {
            let status = if accepted.status == "Unknown" { "Unknown" } else { "False" };
            ConditionValue::new(PROGRAMMED, status, "NotAccepted", "It is programmed once it is accepted")
        }
    }
}

fn programmed(facts: &Facts<'_>) -> ConditionValue {
    match facts.programmed {
        Programmed::Stored if let LastGood::Fields(fields) = facts.stays => {
            let fields = fields.join(", ");
            let message = format!("In Postgres; what is not accepted is as it was before: {fields}");
            ConditionValue::new(PROGRAMMED, "True", LAST_GOOD_KEPT, cut(message))
        }
        Programmed::Stored if !facts.problems.is_empty() => {
            ConditionValue::new(PROGRAMMED, "True", "Programmed", "In Postgres, without what is not accepted")
        }
        Programmed::Stored => {
            ConditionValue::new(PROGRAMMED, "True", "Programmed", "In Postgres as its spec says")
        }
        Programmed::Pending => {
            ConditionValue::new(PROGRAMMED, "Unknown", "Pending", "About to be written to Postgres")
        }
        Programmed::SetBack => {
            let message = "Postgres was set back to an older state, and is being compared with the spec";
            ConditionValue::new(PROGRAMMED, "Unknown", "SetBack", message)
        }
        Programmed::Failed(category) => {
            let message = format!("Writing to Postgres failed ({category}) and is tried again");
            ConditionValue::new(PROGRAMMED, "Unknown", "StoreFailed", message)
        }
    }
}

fn live(facts: &Facts<'_>, programmed: &str, before: &[Condition]) -> ConditionValue {
    if programmed != "True" {
        return ConditionValue::new(
            LIVE,
            "Unknown",
            "NotProgrammed",
            "Switches follow once it is programmed",
        );
    }
    match &facts.live {
        Live::Everywhere => {
            ConditionValue::new(LIVE, "True", "Live", "Every switch that reports answers with it")
        }
        Live::Applying(None) => ConditionValue::new(
            LIVE,
            "False",
            "Applying",
            "Not every switch that reports answers with it yet",
        ),
        Live::Applying(Some(which)) => ConditionValue::new(LIVE, "False", "Applying", cut(which.clone())),
        Live::Refused(why) => ConditionValue::new(LIVE, "False", "SwitchRefused", cut(why.clone())),
        Live::Waits(why) => ConditionValue::new(LIVE, "False", "RestartPending", cut(why.clone())),
        Live::AsBefore if let Some(old) = find(before, LIVE) => ConditionValue::unchanged(LIVE, old),
        Live::NoSwitches | Live::AsBefore => {
            ConditionValue::new(LIVE, "Unknown", "NoSwitches", "No switch reports")
        }
    }
}

fn ready(facts: &Facts<'_>, stages: &[&ConditionValue]) -> ConditionValue {
    if let Some(blocked) = facts.blocked {
        return ConditionValue::new(READY, "False", "CleanupBlocked", cut(blocked.to_owned()));
    }
    let first = |status| stages.iter().find(|value| value.status == status);
    match first("False").or_else(|| first("Unknown")) {
        Some(value) => ConditionValue::new(READY, value.status, &value.reason, value.message.clone()),
        None => ConditionValue::new(READY, "True", "Ready", "Accepted, programmed and live"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reason::is_true;
    use super::*;
    use crate::compile::Reason;
    use crate::resources::Kind;
    use crate::source::ObjectKey;

    fn key() -> ObjectKey {
        ObjectKey { kind: Kind::Extension, namespace: Some("acme".to_owned()), name: "anna".to_owned() }
    }

    fn facts<'a>(problems: &'a [&'a Problem], live: Live) -> Facts<'a> {
        Facts { problems, programmed: Programmed::Stored, live, stays: LastGood::Nothing, blocked: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn summary(conditions: &[Condition]) -> Vec<String> {
        conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
    }

    #[test]
    fn a_valid_resource_becomes_ready_in_two_writes() {
        let first = conditions(&facts(&[], Live::Applying(None)), Some(1), &[], at(1)).unwrap();
        assert_eq!(
            summary(&first),
            [
                "Accepted=True Accepted",
                "Programmed=True Programmed",
                "Live=False Applying",
                "Ready=False Applying"
            ]
        );
        let second = conditions(&facts(&[], Live::Everywhere), Some(1), &first, at(2)).unwrap();
        assert!(is_true(&second, READY, Some(1)));
        let times: Vec<_> = second.iter().map(|c| c.last_transition_time.0).collect();
        assert_eq!(times, [at(1), at(1), at(2), at(2)], "only what changed has a new time");
        assert_eq!(conditions(&facts(&[], Live::Everywhere), Some(1), &second, at(3)), None);
    }

    #[test]
    fn a_new_generation_is_observed_without_a_transition() {
        let before = conditions(&facts(&[], Live::Everywhere), Some(1), &[], at(1)).unwrap();
        let after = conditions(&facts(&[], Live::Everywhere), Some(2), &before, at(2)).unwrap();
        assert!(after.iter().all(|c| c.observed_generation == Some(2) && c.last_transition_time.0 == at(1)));
    }

    #[test]
    fn an_invalid_spec_is_stalled_and_names_the_field() {
        let problem = Problem::refused(key(), "spec.number", Reason::Conflict, "ben has 100");
        let result = conditions(&facts(&[&problem], Live::Everywhere), Some(1), &[], at(1)).unwrap();
        assert_eq!(
            summary(&result),
            [
                "Accepted=False Conflict",
                "Programmed=False NotAccepted",
                "Live=Unknown NotProgrammed",
                "Ready=False Conflict",
                "Stalled=True Conflict"
            ]
        );
        assert_eq!(find(&result, READY).unwrap().message, "spec.number: ben has 100");
    }

    #[test]
    fn waiting_is_not_stalled() {
        let missing = Problem::refused(key(), "spec.tenantRef.name", Reason::RefNotFound, "no Tenant acme");
        let secret = Problem::waiting(key(), "spec.credentials", Reason::CredentialsPending, "no Secret yet");
        for (problem, status) in [(&missing, "False"), (&secret, "Unknown")] {
            let result = conditions(&facts(&[problem], Live::Everywhere), Some(1), &[], at(1)).unwrap();
            assert_eq!(find(&result, STALLED), None);
            assert_eq!(find(&result, READY).unwrap().status, status);
        }
    }

    #[test]
    fn an_omitted_part_leaves_the_rest_programmed() {
        let problem = Problem::degraded(key(), "spec.members[1]", Reason::NotAllowed, "not allowed");
        let result = conditions(&facts(&[&problem], Live::Everywhere), Some(1), &[], at(1)).unwrap();
        assert!(is_true(&result, PROGRAMMED, Some(1)) && is_true(&result, LIVE, Some(1)));
        assert!(!is_true(&result, READY, Some(1)));
    }

    #[test]
    fn the_message_names_the_generation_in_force() {
        let problem = Problem::refused(key(), "spec.destination", Reason::RefNotFound, "no Queue q");
        let programmed = |stays, before: &[Condition]| {
            let problems = [&problem];
            let facts = Facts { stays, ..facts(&problems, Live::Everywhere) };
            let result = conditions(&facts, Some(4), before, at(1)).unwrap();
            let programmed = find(&result, PROGRAMMED).unwrap();
            assert_eq!(find(&result, LIVE).unwrap().status, programmed.status.replace("False", "Unknown"));
            assert_eq!(find(&result, READY).unwrap().reason, "RefNotFound");
            (programmed.reason.clone(), programmed.message.clone())
        };
        let kept = "Generation 3 is in force, but for what was deleted or taken away since; generation 4 is refused: spec.destination: no Queue q";
        assert_eq!(programmed(LastGood::Whole(Some(3)), &[]), ("LastGoodKept".to_owned(), kept.to_owned()));
        assert_eq!(programmed(LastGood::Whole(None), &[]).0, "LastGoodKept");
        assert_eq!(programmed(LastGood::Nothing, &[]).0, "NotAccepted");
        // While nothing is written, a stored row stays in force; a resource without one is not programmed.
        assert_eq!(programmed(LastGood::AsBefore, &[]).0, "NotAccepted");
        let before = conditions(&facts(&[], Live::Everywhere), Some(3), &[], at(1)).unwrap();
        assert_eq!(programmed(LastGood::AsBefore, &before).0, "LastGoodKept");
    }

    #[test]
    fn earlier_reports_of_switches_stay_until_there_are_new_ones() {
        let before = conditions(&facts(&[], Live::Everywhere), Some(1), &[], at(1)).unwrap();
        assert_eq!(conditions(&facts(&[], Live::AsBefore), Some(1), &before, at(2)), None);
        let none = conditions(&facts(&[], Live::AsBefore), Some(1), &[], at(2)).unwrap();
        assert_eq!(find(&none, LIVE).unwrap().reason, "NoSwitches");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let problem = Problem::refused(key(), "spec", Reason::InvalidValue, "ä".repeat(5000));
        let result = conditions(&facts(&[&problem], Live::Everywhere), Some(1), &[], at(1)).unwrap();
        assert!(result.iter().all(|c| c.message.len() <= MAX_MESSAGE));
    }
}
