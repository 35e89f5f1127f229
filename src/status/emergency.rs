//! The condition of a Tenant about its emergency trunk.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::acks::AckTable;
use super::conditions::{ConditionValue, changed_conditions, cut};
use super::reason::{EMERGENCY_TRUNK_USABLE, find};
use crate::plan::EmergencyRow;
use crate::plan::report::usable;

/// Most switches that a message names.
const MAX_IN_MESSAGE: usize = 3;

/// The conditions of a tenant: those that every kind has, and the one about its emergency trunk.
/// [`READY`](super::reason::READY) does not depend on the latter: a carrier's failure is no fault of the spec.
/// `reported` is `None` before the first report; then the previous condition stays.
pub fn tenant_conditions(
    stages: Vec<Condition>,
    row: Option<&EmergencyRow>,
    reported: Option<&AckTable>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let generation = stages.first().and_then(|condition| condition.observed_generation);
    let old: Vec<Condition> = find(before, EMERGENCY_TRUNK_USABLE).cloned().into_iter().collect();
    let own = match (row, reported) {
        (None, _) => Vec::new(),
        (Some(_), None) => old,
        (Some(row), Some(acks)) => {
            changed_conditions(vec![emergency_condition(row, acks)], generation, &old, now).unwrap_or(old)
        }
    };
    stages.into_iter().chain(own).collect()
}

/// Whether a tenant's published condition about its emergency trunk is up to date.
pub fn is_current(row: &EmergencyRow, acks: &AckTable, conditions: &[Condition]) -> bool {
    let value = emergency_condition(row, acks);
    find(conditions, EMERGENCY_TRUNK_USABLE).is_some_and(|published| {
        (published.status.as_str(), &published.reason, &published.message)
            == (value.status, &value.reason, &value.message)
    })
}

/// The condition about a tenant's emergency trunk. Switches without an event socket, and gateways that register
/// for the first time, count only if there are no others.
pub fn emergency_condition(row: &EmergencyRow, acks: &AckTable) -> ConditionValue {
    let condition = |status, reason, message: String| {
        ConditionValue::new(EMERGENCY_TRUNK_USABLE, status, reason, cut(message))
    };
    let Some(first) = row.trunks().next() else {
        let message = "There is no trunk that the tenant may use: emergency calls end with 503";
        return condition("False", "NoTrunkUp", message.to_owned());
    };
    let is_up =
        |trunk: &str, switch: &str| acks.gateways(trunk).get(switch).and_then(|states| usable(states));
    let (mut up, mut down, mut registering) = (false, Vec::new(), false);
    for (switch, gateways) in acks.gateways(first) {
        registering |= !gateways.is_empty();
        // Without an emergency trunk, the other trunks are used.
        match usable(gateways).map(|is_up| is_up && row.trunk.is_some()) {
            Some(true) => up = true,
            Some(false) => {
                down.push((switch, row.others.iter().find(|other| is_up(other, switch) == Some(true))));
            }
            None => {}
        }
    }
    let trunk = match &row.trunk {
        Some(trunk) => format!("No gateway of Trunk {trunk} is up"),
        None => "The emergency trunk is missing".to_owned(),
    };
    if let Some((switch, _)) = down.iter().find(|(_, instead)| instead.is_none()) {
        let message = format!(
            "{trunk}, and on {switch} no other trunk that the tenant may use is up: emergency calls end with 503"
        );
        return condition("False", "NoTrunkUp", message);
    }
    if row.trunk.is_none() {
        let message = format!("{trunk}; emergency calls leave by {}", row.others.join(", then "));
        return condition("False", "EmergencyTrunkMissing", message);
    }
    if !down.is_empty() {
        let switches = down.iter().take(MAX_IN_MESSAGE).filter_map(|(switch, instead)| {
            Some(format!("on {switch} emergency calls leave by {}", instead.as_ref()?))
        });
        let mut message = format!("{trunk}: {}", switches.collect::<Vec<_>>().join(", "));
        if let Some(more) = down.len().checked_sub(MAX_IN_MESSAGE).filter(|more| *more > 0) {
            message.push_str(&format!(", and so on {more} more"));
        }
        return condition("False", "EmergencyTrunkDown", message);
    }
    match (up, registering) {
        (true, _) => {
            let message = format!("A gateway of Trunk {first} is up on every switch that is asked");
            condition("True", "EmergencyTrunkUp", message)
        }
        (false, true) => {
            let message = format!("The gateways of Trunk {first} register for the first time");
            condition("Unknown", "Registering", message)
        }
        (false, false) => {
            let message = "No switch that reports is asked for its gateways".to_owned();
            condition("Unknown", "NotAsked", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reason::TENANT;
    use super::*;
    use crate::plan::report::{Ack, SwitchInfo, SwitchState};
    use crate::plan::report::{GatewayState, SwitchReport};

    fn row(trunk: Option<&str>, others: &[&str]) -> EmergencyRow {
        EmergencyRow {
            numbers: vec!["112".to_owned()],
            trunk: trunk.map(str::to_owned),
            others: others.iter().map(|other| (*other).to_owned()).collect(),
            ..EmergencyRow::default()
        }
    }

    /// Switches, each with trunks and the state of their only gateway: `UP`, or another word and down.
    fn acks(switches: &[(&str, &[(&str, &str)])]) -> AckTable {
        let mut acks = AckTable::default();
        for (name, trunks) in switches {
            let gateway = |(trunk, state): &(&str, &str)| {
                let state = GatewayState { state: (*state).to_owned(), up: *state == "UP" };
                ((*trunk).to_owned(), vec![state])
            };
            let gateways = trunks.iter().map(gateway).collect();
            let findings = SwitchReport { connected: Some(true), gateways, ..SwitchReport::default() };
            let info = SwitchInfo { name: (*name).to_owned(), hostname: None };
            acks.record(Ack::Appeared(info, SwitchState { findings, ..SwitchState::default() }));
        }
        acks
    }

    fn summary(row: &EmergencyRow, acks: &AckTable) -> String {
        let value = emergency_condition(row, acks);
        let documented = (value.type_, value.status, value.reason.as_str());
        assert!(TENANT.iter().any(|(type_, status, reason, _)| (*type_, *status, *reason) == documented));
        format!("{} {}: {}", value.status, value.reason, value.message)
    }

    #[test]
    fn the_emergency_trunk_is_checked_on_every_reporting_switch() {
        let row = row(Some("c/own"), &["c/one", "c/two"]);
        let is = |switches: &[(&str, &[(&str, &str)])], start: &str| {
            let summary = summary(&row, &acks(switches));
            assert!(summary.starts_with(start), "{summary}");
        };
        is(&[], "Unknown NotAsked");
        is(&[("a", &[])], "Unknown NotAsked");
        is(&[("a", &[("c/own", "TRYING")])], "Unknown Registering");
        is(&[("a", &[("c/own", "UP")]), ("b", &[])], "True EmergencyTrunkUp");
        is(&[("a", &[("c/own", "UP")]), ("b", &[("c/own", "TRYING")])], "True EmergencyTrunkUp");
        let down: &[_] = &[("c/own", "FAIL_WAIT"), ("c/one", "NOREG"), ("c/two", "UP")];
        is(
            &[("a", &[("c/own", "UP")]), ("b", down)],
            "False EmergencyTrunkDown: No gateway of Trunk c/own is up: on b emergency calls leave by c/two",
        );
        is(
            &[("a", &[("c/own", "MISSING"), ("c/one", "TRYING")]), ("b", down)],
            "False NoTrunkUp: No gateway of Trunk c/own is up, and on a no other trunk",
        );
        is(
            &[("a", down), ("b", down), ("c", down), ("d", down)],
            "False EmergencyTrunkDown: No gateway of Trunk c/own is up: on a emergency calls leave by c/two, on b",
        );
    }

    #[test]
    fn without_an_emergency_trunk_the_other_trunks_count() {
        let up = acks(&[("a", &[("c/one", "UP")])]);
        let down = acks(&[("a", &[("c/one", "FAIL_WAIT")])]);
        let one = row(None, &["c/one"]);
        assert_eq!(
            summary(&one, &up),
            "False EmergencyTrunkMissing: The emergency trunk is missing; emergency calls leave by c/one"
        );
        assert!(summary(&one, &AckTable::default()).starts_with("False EmergencyTrunkMissing"));
        assert!(summary(&one, &down).starts_with("False NoTrunkUp"));
        assert!(summary(&row(None, &[]), &up).starts_with("False NoTrunkUp"));
    }

    #[test]
    fn the_condition_stays_without_reports_and_is_removed_with_the_numbers() {
        let row = row(Some("c/own"), &[]);
        let up = acks(&[("a", &[("c/own", "UP")])]);
        let now = Timestamp::UNIX_EPOCH;
        let first = tenant_conditions(Vec::new(), Some(&row), Some(&up), &[], now);
        assert!(is_current(&row, &up, &first) && !is_current(&row, &AckTable::default(), &first));
        let later = Timestamp::now();
        assert_eq!(tenant_conditions(Vec::new(), Some(&row), Some(&up), &first, later), first);
        assert_eq!(tenant_conditions(Vec::new(), Some(&row), None, &first, later), first);
        assert_eq!(tenant_conditions(Vec::new(), None, Some(&up), &first, later), []);
    }
}
