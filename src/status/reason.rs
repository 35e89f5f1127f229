//! Reasons of conditions: compile's own, and those of the stages after it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::compile::Reason;

/// The condition types, in the order they are written.
pub const ACCEPTED: &str = "Accepted";
/// In Postgres.
pub const PROGRAMMED: &str = "Programmed";
/// On every switch that reports.
pub const LIVE: &str = "Live";
/// All of the above.
pub const READY: &str = "Ready";
/// There only while a person must act (kstatus calls a resource with it failed).
pub const STALLED: &str = "Stalled";

/// A reason, with what it means: the documented table is made of these.
pub type Documented = (&'static str, &'static str, &'static str);

/// Reasons that are not compile's: condition, reason, meaning.
pub const STAGES: &[Documented] = &[
    (ACCEPTED, "Accepted", "The spec is valid and every reference in it is resolved."),
    (PROGRAMMED, "Programmed", "It is in Postgres as its spec says."),
    (PROGRAMMED, "NotAccepted", "It is not in Postgres, because it is not accepted."),
    (PROGRAMMED, "Pending", "It is about to be written to Postgres."),
    (PROGRAMMED, "StoreFailed", "Postgres is away or failed; it is tried again until it works."),
    (LIVE, "Live", "Every switch that reports answers with it."),
    (LIVE, "NotProgrammed", "It is not in Postgres yet, so no switch can have it."),
    (LIVE, "NoSwitches", "No switch reports."),
    (LIVE, "Applying", "Switches that report do not all answer with it yet; the message counts them."),
    (READY, "Ready", "Accepted, programmed and live."),
    (
        READY,
        "CleanupBlocked",
        "The Tenant is being deleted, and its data cannot be removed; the message says why.",
    ),
];

/// All conditions and reasons as a table in Markdown.
pub fn table() -> String {
    let waits = |reason: Reason| if reason == Reason::CredentialsPending { "Unknown" } else { "False" };
    let mut rows = vec![(ACCEPTED, "True", "Accepted".to_owned(), meaning(ACCEPTED, "Accepted"))];
    rows.extend(Reason::ALL.map(|reason| (ACCEPTED, waits(reason), format!("{reason:?}"), reason.meaning())));
    for (condition, reason, meaning) in STAGES.iter().filter(|(_, reason, _)| *reason != "Accepted") {
        let status = match *reason {
            "Programmed" | "Live" | "Ready" => "True",
            "NotAccepted" | "Applying" | "CleanupBlocked" => "False",
            _ => "Unknown",
        };
        rows.push((condition, status, (*reason).to_owned(), meaning));
    }
    let mut table = "| condition | status | reason | means |\n|---|---|---|---|\n".to_owned();
    for (condition, status, reason, meaning) in rows {
        table.push_str(&format!("| `{condition}` | {status} | `{reason}` | {meaning} |\n"));
    }
    table
}

fn meaning(condition: &str, reason: &str) -> &'static str {
    let found = STAGES.iter().find(|stage| (stage.0, stage.1) == (condition, reason));
    found.map_or("", |(_, _, meaning)| meaning)
}

/// Whether a reason of compile's wants a person: something that is not there yet may still come.
pub fn wants_a_person(reason: Reason) -> bool {
    !matches!(reason, Reason::RefNotFound | Reason::RefRefused | Reason::CredentialsPending)
}

/// A condition by its type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is there, true, and about this generation.
pub fn is_true(conditions: &[Condition], type_: &str, generation: Option<i64>) -> bool {
    find(conditions, type_)
        .is_some_and(|condition| condition.status == "True" && condition.observed_generation == generation)
}
