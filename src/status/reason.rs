//! Reasons of conditions: those of the compiler, and those of the stages after it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::compile::Reason;

/// The spec is valid, and its references resolve. Condition types are listed in the order of a status.
pub const ACCEPTED: &str = "Accepted";
/// The resource is in Postgres.
pub const PROGRAMMED: &str = "Programmed";
/// Every switch that reports has the resource.
pub const LIVE: &str = "Live";
/// Accepted, programmed and live.
pub const READY: &str = "Ready";
/// Exists only while a person must act. kstatus shows a resource with it as failed.
pub const STALLED: &str = "Stalled";

/// Exists only while something works that a person should know of: a note. `Ready` does not depend on it.
pub const DEGRADED: &str = "Degraded";

/// Reason of `Programmed`: a last good state is in force instead of the spec.
pub const LAST_GOOD_KEPT: &str = "LastGoodKept";

/// Of a Trunk that registers: whether its gateways are registered at the carrier.
pub const REGISTERED: &str = "Registered";
/// Of a Tenant with emergency numbers: whether its emergency trunk can be used.
pub const EMERGENCY_TRUNK_USABLE: &str = "EmergencyTrunkUsable";
/// Of a Switch: whether its event socket is connected.
pub const CONNECTED: &str = "Connected";
/// Of a Switch: whether FreeSWITCH differs from its configuration.
pub const DRIFTED: &str = "Drifted";
/// Of a Switch: whether it refuses new calls.
pub const DRAINING: &str = "Draining";
/// Of a Switch: whether its version of FreeSWITCH has known vulnerabilities.
pub const VULNERABLE: &str = "Vulnerable";

/// Condition, status, reason, and meaning for people. The tables of the documentation are generated from these.
pub type Documented = (&'static str, &'static str, &'static str, &'static str);

/// Reasons of the conditions that every kind has, without those of the compiler.
pub const STAGES: &[Documented] = &[
    (ACCEPTED, "True", "Accepted", "The spec is valid and every reference in it is resolved."),
    (
        ACCEPTED,
        "Unknown",
        "RefRefused",
        "Nothing is wrong with it; the Tenant that it belongs to is refused.",
    ),
    (
        PROGRAMMED,
        "True",
        "Programmed",
        "It is in Postgres as its spec says; without what is not accepted of it, and the message says so.",
    ),
    (
        PROGRAMMED,
        "True",
        LAST_GOOD_KEPT,
        "It is not accepted, or a part of it is not, and what was in force before stays, but for what was deleted or taken away since; the message says of which generation, where that is known.",
    ),
    (PROGRAMMED, "False", "NotAccepted", "It is not in Postgres, because it is not accepted."),
    (PROGRAMMED, "Unknown", "NotAccepted", "The same, where it only waits: for a Secret, or for its Tenant."),
    (PROGRAMMED, "Unknown", "Pending", "It is about to be written to Postgres."),
    (PROGRAMMED, "Unknown", "StoreFailed", "Postgres is away or failed; it is tried again until it works."),
    (
        PROGRAMMED,
        "Unknown",
        "SetBack",
        "Postgres was set back to an older state, as by a restored backup, and is being compared.",
    ),
    (LIVE, "True", "Live", "Every switch that reports answers with it."),
    (LIVE, "Unknown", "NotProgrammed", "It is not in Postgres yet, so no switch can have it."),
    (LIVE, "Unknown", "NoSwitches", "No switch reports."),
    (
        LIVE,
        "False",
        "Applying",
        "Switches that report do not all answer with it yet; the message counts them.",
    ),
    (
        LIVE,
        "False",
        "SwitchRefused",
        "A switch could not apply something of this Tenant, SipProfile or Trunk; the message says which switch, and its words.",
    ),
    (
        LIVE,
        "False",
        "RestartPending",
        "A SipProfile has to be started anew for what changed, and its updatePolicy lets it wait; the message says where and for what.",
    ),
    (READY, "True", "Ready", "Accepted, programmed and live."),
    (
        DEGRADED,
        "True",
        "EmergencyNotListed",
        "Calls of the Tenant leave, and it does not list the emergency numbers of its country; the message says which, and how they leave.",
    ),
    (
        DEGRADED,
        "True",
        "EmergencyShadowed",
        "A number or pattern of it matches an emergency number; calls to that number pass it by, unless it is an internal number.",
    ),
    (
        READY,
        "False",
        "CleanupBlocked",
        "The Tenant is being deleted, and its data cannot be removed; the message says why.",
    ),
];

/// Reasons of a Trunk's own condition.
pub const TRUNK: &[Documented] = &[
    (REGISTERED, "True", "Registered", "Every gateway is registered at the carrier, on every switch."),
    (REGISTERED, "False", "NotRegistered", "Some are not; the message says which, where, and their states."),
    (REGISTERED, "Unknown", "NotAsked", "No switch that reports is asked by its sidecar."),
];

/// Reasons of a Tenant's own condition.
pub const TENANT: &[Documented] = &[
    (
        EMERGENCY_TRUNK_USABLE,
        "True",
        "EmergencyTrunkUp",
        "A gateway of its emergency trunk is up on every switch that is asked.",
    ),
    (
        EMERGENCY_TRUNK_USABLE,
        "False",
        "EmergencyTrunkMissing",
        "There is no such trunk for it; the message says by which trunks emergency calls are tried instead.",
    ),
    (
        EMERGENCY_TRUNK_USABLE,
        "False",
        "EmergencyTrunkDown",
        "On a switch no gateway of it is up: none answers pings, or none is registered. The message says where, and which trunk is tried instead.",
    ),
    (
        EMERGENCY_TRUNK_USABLE,
        "False",
        "NoTrunkUp",
        "On a switch neither it nor any other trunk that the tenant may use is up: emergency calls end with 503 there.",
    ),
    (
        EMERGENCY_TRUNK_USABLE,
        "Unknown",
        "Registering",
        "Its gateways are new on the switches, and register for the first time.",
    ),
    (EMERGENCY_TRUNK_USABLE, "Unknown", "NotAsked", "No switch that reports is asked by its sidecar."),
];

/// Reasons of a Switch's conditions.
pub const SWITCH: &[Documented] = &[
    (READY, "True", "Reporting", "Its sidecar reports, and reaches FreeSWITCH where it is to."),
    (READY, "False", "Disconnected", "Its sidecar reports, but does not reach FreeSWITCH."),
    (READY, "False", "Draining", "It refuses new calls until it is resumed, or its pod has ended."),
    (READY, "Unknown", "Late", "It should have been heard by now; resources still wait for it."),
    (READY, "Unknown", "Silent", "It has not been heard for a while; no resource waits for it any more."),
    (CONNECTED, "True", "Connected", "Its sidecar is connected to FreeSWITCH's event socket."),
    (CONNECTED, "False", "Disconnected", "It is not, and tries again."),
    (CONNECTED, "Unknown", "NotAsked", "No event socket is configured."),
    (CONNECTED, "Unknown", "Silent", "The switch has not been heard for a while."),
    (DRIFTED, "False", "AsPlanned", "FreeSWITCH has what it should have."),
    (
        DRIFTED,
        "True",
        "Differs",
        "It has not, and that was not repaired; the message has the first differences.",
    ),
    (DRIFTED, "Unknown", "NotAsked", "No event socket is configured."),
    (DRIFTED, "Unknown", "Disconnected", "FreeSWITCH cannot be asked."),
    (DRIFTED, "Unknown", "Silent", "The switch has not been heard for a while."),
    (DRAINING, "False", "TakingCalls", "New calls are taken."),
    (DRAINING, "True", "Draining", "New calls are refused; calls that are up go on."),
    (DRAINING, "Unknown", "Silent", "The switch has not been heard for a while."),
    (VULNERABLE, "False", "NoneKnown", "No hole is known of this version."),
    (
        VULNERABLE,
        "True",
        "KnownHoles",
        "Older than 1.11.2; the message names the holes, and what stops them.",
    ),
    (VULNERABLE, "Unknown", "VersionUnknown", "FreeSWITCH was not asked for its version yet."),
];

/// All conditions and reasons as tables in Markdown.
pub fn tables() -> String {
    let waits = |reason: Reason| if reason == Reason::CredentialsPending { "Unknown" } else { "False" };
    // Only noted: no resource is refused for it.
    let refuses = Reason::ALL.into_iter().filter(|reason| *reason != Reason::EmergencyNotListed);
    let compile = refuses.map(|reason| (ACCEPTED, waits(reason), reason.to_string(), reason.meaning()));
    let written = |rows: &[Documented]| -> Vec<Row> {
        rows.iter().map(|(of, status, reason, means)| (*of, *status, (*reason).to_owned(), *means)).collect()
    };
    let stages = written(STAGES).into_iter();
    // The compiler's reasons follow the first two rows: all three are about `Accepted`.
    let stages = stages.clone().take(2).chain(compile).chain(stages.skip(2)).collect();
    format!(
        "{}\n## What callers get\n\n{}\n{}\n## A Tenant with emergency numbers\n\n{}\n## A Trunk that registers\n\n{}\n## A Switch\n\n{}",
        table(stages),
        CONSEQUENCES,
        consequences(),
        table(written(TENANT)),
        table(written(TRUNK)),
        table(written(SWITCH))
    )
}

/// Introduction of the table of consequences.
const CONSEQUENCES: &str = "\
What has no problem is as its spec says. What was in force, and became invalid by a mistake, stays in force as it
was, until it is mended or deleted; what a right was taken away from goes at once, and so does what was never in
force. With a row from before go rights that its resource gave up since: toll classes, a recording, networks of a
Trunk, a password whose Secret is gone. A Number keeps its row for the number that it still names only. A row also
goes where a limit of the profile leaves no room for it. Of a Tenant that is refused as a whole everything stays, but
for the same: what is deleted goes, with what led to it, and so do rights that were taken away, and domains and numbers
that another tenant has by now; that it is `suspended` is heeded. What is new or changed waits until it is mended.
";

/// Table of the effect on callers of each reason.
fn consequences() -> String {
    let mut table = "| reason | callers get |\n|---|---|\n".to_owned();
    for reason in Reason::ALL {
        table.push_str(&format!("| `{reason}` | {} |\n", reason.consequence()));
    }
    table
}

/// A row of a table: condition, status, reason, meaning.
type Row = (&'static str, &'static str, String, &'static str);

fn table(rows: Vec<Row>) -> String {
    let mut table = "| condition | status | reason | means |\n|---|---|---|---|\n".to_owned();
    for (condition, status, reason, meaning) in rows {
        table.push_str(&format!("| `{condition}` | {status} | `{reason}` | {meaning} |\n"));
    }
    table
}

/// Whether a reason of the compiler needs a person. False for missing objects: they may still be created.
pub fn wants_a_person(reason: Reason) -> bool {
    !matches!(reason, Reason::RefNotFound | Reason::RefRefused | Reason::CredentialsPending)
}

/// A condition by its type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition exists, is `True`, and observed this generation.
pub fn is_true(conditions: &[Condition], type_: &str, generation: Option<i64>) -> bool {
    find(conditions, type_)
        .is_some_and(|condition| condition.status == "True" && condition.observed_generation == generation)
}
