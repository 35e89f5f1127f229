//! The conditions of a Switch, from its heartbeat and its findings.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{ConditionValue, changed_conditions, cut};
use super::reason::{CONNECTED, DRAINING, DRIFTED, READY, VULNERABLE};
use super::vulnerabilities::{VULNERABILITIES, is_vulnerable};
use crate::plan::heartbeat::{LATE_AFTER, SILENT_AFTER};
use crate::plan::report::SwitchReport;

/// Most differences that a message lists; it counts the others.
const MAX_DIFFERENCES: usize = 3;

/// State of a switch's heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Heartbeats arrive in time.
    Reporting,
    /// A heartbeat is overdue.
    Late,
    /// No heartbeat for a while: the findings may be out of date.
    Silent,
}

/// The conditions of a switch; `None` if they equal `before`.
pub fn switch_conditions(
    standing: Standing,
    findings: &SwitchReport,
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let values = vec![
        ready(standing, findings),
        unless_silent(standing, CONNECTED, || connected(findings)),
        unless_silent(standing, DRIFTED, || drifted(findings)),
        unless_silent(standing, DRAINING, || draining(findings)),
        vulnerable(findings),
    ];
    changed_conditions(values, generation, before, now)
}

fn ready(standing: Standing, findings: &SwitchReport) -> ConditionValue {
    let unheard = |reason, after: std::time::Duration, then| {
        let message = format!("It has not been heard for {} s; {then}", after.as_secs());
        ConditionValue::new(READY, "Unknown", reason, message)
    };
    match standing {
        Standing::Silent => unheard("Silent", SILENT_AFTER, "no resource waits for it any more"),
        Standing::Late => unheard("Late", LATE_AFTER, "resources still wait for it"),
        Standing::Reporting if findings.absent => ConditionValue::new(
            READY,
            "False",
            "Disconnected",
            "Its sidecar reports, but has not reached FreeSWITCH's event socket for a minute: no resource \
             waits for it any more, unless no other switch has a FreeSWITCH either",
        ),
        Standing::Reporting if findings.connected == Some(false) => ConditionValue::new(
            READY,
            "False",
            "Disconnected",
            "Its sidecar reports, but does not reach FreeSWITCH's event socket",
        ),
        Standing::Reporting if findings.draining => ConditionValue::new(
            READY,
            "False",
            "Draining",
            "It refuses new calls until it is resumed, or its pod has ended",
        ),
        Standing::Reporting => ConditionValue::new(READY, "True", "Reporting", "Its sidecar reports"),
    }
}

/// The value, or `Unknown` for a silent switch.
fn unless_silent(
    standing: Standing,
    type_: &'static str,
    value: impl FnOnce() -> ConditionValue,
) -> ConditionValue {
    match standing {
        Standing::Silent => {
            ConditionValue::new(type_, "Unknown", "Silent", "The switch has not been heard for a while")
        }
        Standing::Reporting | Standing::Late => value(),
    }
}

fn connected(findings: &SwitchReport) -> ConditionValue {
    match findings.connected {
        Some(true) => ConditionValue::new(CONNECTED, "True", "Connected", "The event socket is connected"),
        Some(false) => {
            ConditionValue::new(CONNECTED, "False", "Disconnected", "The event socket is tried again")
        }
        None => not_asked(CONNECTED),
    }
}

fn drifted(findings: &SwitchReport) -> ConditionValue {
    match findings.connected {
        None => not_asked(DRIFTED),
        Some(false) => ConditionValue::new(DRIFTED, "Unknown", "Disconnected", "FreeSWITCH cannot be asked"),
        Some(true) if findings.drift.is_empty() => {
            ConditionValue::new(DRIFTED, "False", "AsPlanned", "FreeSWITCH has what it should have")
        }
        Some(true) => {
            let first: Vec<_> = findings.drift.iter().take(MAX_DIFFERENCES).cloned().collect();
            let mut text = first.join("; ");
            if let Some(more) = findings.drift.len().checked_sub(MAX_DIFFERENCES).filter(|more| *more > 0) {
                text.push_str(&format!("; and {more} more"));
            }
            ConditionValue::new(DRIFTED, "True", "Differs", cut(text))
        }
    }
}

fn draining(findings: &SwitchReport) -> ConditionValue {
    match findings.draining {
        true => ConditionValue::new(
            DRAINING,
            "True",
            "Draining",
            "New calls are refused; calls that are up go on",
        ),
        false => ConditionValue::new(DRAINING, "False", "TakingCalls", "New calls are taken"),
    }
}

fn vulnerable(findings: &SwitchReport) -> ConditionValue {
    let version = findings.version.as_deref().unwrap_or_default();
    match is_vulnerable(version) {
        Some(false) => {
            ConditionValue::new(VULNERABLE, "False", "NoneKnown", "No hole is known of this version")
        }
        Some(true) => {
            let message = format!("FreeSWITCH {version} is older than 1.11.2: {VULNERABILITIES}");
            ConditionValue::new(VULNERABLE, "True", "KnownHoles", cut(message))
        }
        None => ConditionValue::new(
            VULNERABLE,
            "Unknown",
            "VersionUnknown",
            "FreeSWITCH's version is not known yet",
        ),
    }
}

fn not_asked(type_: &'static str) -> ConditionValue {
    ConditionValue::new(type_, "Unknown", "NotAsked", "No event socket is configured (--esl-address)")
}

#[cfg(test)]
mod tests {
    use super::super::reason::{SWITCH, find};
    use super::*;

    fn summary(standing: Standing, findings: &SwitchReport) -> Vec<String> {
        let conditions = switch_conditions(standing, findings, Some(1), &[], Timestamp::UNIX_EPOCH).unwrap();
        for condition in &conditions {
            let documented = (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str());
            assert!(SWITCH.iter().any(|(c, s, r, _)| (*c, *s, *r) == documented), "{documented:?}");
        }
        conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
    }

    #[test]
    fn the_status_of_a_switch_shows_its_report() {
        let unasked = SwitchReport::default();
        assert_eq!(
            summary(Standing::Reporting, &unasked),
            [
                "Ready=True Reporting",
                "Connected=Unknown NotAsked",
                "Drifted=Unknown NotAsked",
                "Draining=False TakingCalls",
                "Vulnerable=Unknown VersionUnknown"
            ]
        );
        let mut findings = SwitchReport { connected: Some(true), draining: true, ..SwitchReport::default() };
        findings.version = Some("1.10.12-release".to_owned());
        findings.drift = (1..=5).map(|n| format!("difference {n}")).collect();
        assert_eq!(
            summary(Standing::Reporting, &findings),
            [
                "Ready=False Draining",
                "Connected=True Connected",
                "Drifted=True Differs",
                "Draining=True Draining",
                "Vulnerable=True KnownHoles"
            ]
        );
        let conditions =
            switch_conditions(Standing::Late, &findings, Some(1), &[], Timestamp::now()).unwrap();
        let message = |type_| find(&conditions, type_).unwrap().message.clone();
        assert_eq!(message(DRIFTED), "difference 1; difference 2; difference 3; and 2 more");
        assert!(message(READY).contains("12 s") && !message(VULNERABLE).ends_with('…'));
        for word in ["1.10.12-release", "REFER", "disable-transfer", "SUBSCRIBE", "event socket", "verto"] {
            assert!(message(VULNERABLE).contains(word), "{word}: {}", message(VULNERABLE));
        }
        findings.connected = Some(false);
        let disconnected = summary(Standing::Reporting, &findings);
        assert_eq!(
            disconnected[..3],
            ["Ready=False Disconnected", "Connected=False Disconnected", "Drifted=Unknown Disconnected"]
        );
        assert_eq!(
            summary(Standing::Silent, &findings)[..4]
                .iter()
                .filter(|text| text.ends_with("=Unknown Silent"))
                .count(),
            4
        );
    }

    #[test]
    fn an_equal_status_is_not_written_again() {
        let findings = SwitchReport {
            connected: Some(true),
            version: Some("1.11.2".to_owned()),
            ..SwitchReport::default()
        };
        let of = |findings: &SwitchReport, before: &[Condition]| {
            switch_conditions(Standing::Reporting, findings, Some(1), before, Timestamp::now())
        };
        let before = of(&findings, &[]).unwrap();
        assert_eq!(of(&findings, &before), None);
        assert_eq!(
            of(&SwitchReport { calls: 9, ..findings.clone() }, &before),
            None,
            "calls move all the time"
        );
        assert!(of(&SwitchReport { draining: true, ..findings }, &before).is_some());
    }
}
