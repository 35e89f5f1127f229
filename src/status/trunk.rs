//! The status of a Trunk, with the states of its gateways on the switches.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{ConditionValue, changed_conditions, cut};
use super::reason::{PROGRAMMED, REGISTERED, find};
use crate::plan::report::GatewayState;
use crate::resources::status::{GatewayStatus, TrunkStatus};
use crate::resources::trunk::TrunkSpec;

/// Most gateways that a status lists.
const MAX_LISTED: usize = 64;
/// Most gateways that a message names.
const MAX_IN_MESSAGE: usize = 3;
/// FreeSWITCH's state of a registered gateway (`sofia_state_names` in mod_sofia.c).
const REGED: &str = "REGED";

/// The status of a trunk: the conditions that every kind has, and the states of its gateways on each switch with an
/// event socket. `reported` is `None` before the first report; then the previous states stay. A carrier that refuses
/// affects `Registered` and not `Ready`: it is no fault of the spec, and no rollout should wait for it.
pub fn trunk_status(
    spec: &TrunkSpec,
    stages: Vec<Condition>,
    reported: Option<&BTreeMap<&str, &[GatewayState]>>,
    before: &TrunkStatus,
    now: Timestamp,
) -> TrunkStatus {
    let generation = stages.first().and_then(|condition| condition.observed_generation);
    let Some(reported) = reported else {
        let own = find(&before.conditions, REGISTERED).cloned();
        let conditions = stages.into_iter().chain(own).collect();
        return TrunkStatus { observed_generation: generation, conditions, ..before.clone() };
    };
    let mut status = TrunkStatus {
        observed_generation: generation,
        conditions: stages,
        registered: None,
        gateways: gateway_statuses(reported),
    };
    let programmed = find(&status.conditions, PROGRAMMED).is_some_and(|condition| condition.status == "True");
    if spec.registration.is_some() && programmed {
        let registered_count = status.gateways.iter().filter(|gateway| gateway.state == REGED).count();
        let all = reported.len() * spec.gateways.len();
        status.registered = (all > 0).then(|| format!("{registered_count}/{all}"));
        let value = registered(spec, &status, registered_count, all);
        let old: Vec<Condition> = find(&before.conditions, REGISTERED).cloned().into_iter().collect();
        status.conditions.extend(changed_conditions(vec![value], generation, &old, now).unwrap_or(old));
    }
    let fine = |gateway: &GatewayStatus| {
        gateway.up && gateway.state == if spec.registration.is_some() { REGED } else { "NOREG" }
    };
    if status.gateways.len() > MAX_LISTED {
        status.gateways.sort_by_key(fine); // stable: failing gateways come first
        status.gateways.truncate(MAX_LISTED);
    }
    status
}

/// The gateways by switch and index.
fn gateway_statuses(reported: &BTreeMap<&str, &[GatewayState]>) -> Vec<GatewayStatus> {
    let of_switch = |(switch, gateways): (&&str, &&[GatewayState])| {
        let switch = (*switch).to_owned();
        let status = move |(index, gateway): (i32, &GatewayState)| GatewayStatus {
            switch: switch.clone(),
            gateway: index,
            state: known_state(&gateway.state),
            up: gateway.up,
        };
        (0..8).zip(gateways.iter()).map(status).collect::<Vec<_>>()
    };
    reported.iter().flat_map(of_switch).collect()
}

/// A gateway's state, or `UNKNOWN` for a text that is no state.
fn known_state(state: &str) -> String {
    let is_word =
        (1..=32).contains(&state.len()) && state.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    if is_word { state.to_owned() } else { "UNKNOWN".to_owned() }
}

fn registered(spec: &TrunkSpec, status: &TrunkStatus, registered_count: usize, all: usize) -> ConditionValue {
    if all == 0 {
        return ConditionValue::new(
            REGISTERED,
            "Unknown",
            "NotAsked",
            "No switch that reports is asked for its gateways",
        );
    }
    if registered_count == all {
        return ConditionValue::new(
            REGISTERED,
            "True",
            "Registered",
            "Registered at the carrier on every switch",
        );
    }
    let host = |index: i32| {
        let gateway = usize::try_from(index).ok().and_then(|index| spec.gateways.get(index));
        gateway.map_or("?", |gateway| &gateway.host)
    };
    let missing = status.gateways.iter().filter(|gateway| gateway.state != REGED);
    let texts: Vec<String> = missing
        .take(MAX_IN_MESSAGE)
        .map(|gateway| format!("{} at {}: {}", gateway.switch, host(gateway.gateway), gateway.state))
        .collect();
    let which = if texts.is_empty() { "not there yet".to_owned() } else { texts.join("; ") };
    ConditionValue::new(
        REGISTERED,
        "False",
        "NotRegistered",
        cut(format!("{registered_count}/{all} registered; {which}")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::conditions::stages;
    use super::super::reason::TRUNK;
    use super::*;

    fn spec(registers: bool) -> TrunkSpec {
        let registration =
            registers.then(|| serde_json::json!({ "username": "acme", "secretRef": { "name": "carrier" } }));
        let gateways = serde_json::json!([{ "host": "one.example.com" }, { "host": "two.example.com" }]);
        let mut spec = serde_json::json!({ "sipProfileRef": { "name": "trunks" }, "gateways": gateways });
        if let Some(registration) = registration {
            spec["registration"] = registration;
        }
        serde_json::from_value(spec).unwrap()
    }

    fn states(states: &[&str]) -> Vec<GatewayState> {
        states.iter().map(|state| GatewayState { state: (*state).to_owned(), up: true }).collect()
    }

    fn staged() -> Vec<Condition> {
        changed_conditions(
            vec![ConditionValue::new(PROGRAMMED, "True", "Programmed", "")],
            Some(3),
            &[],
            Timestamp::UNIX_EPOCH,
        )
        .unwrap()
    }

    fn status(spec: &TrunkSpec, reported: &[(&str, &[GatewayState])], before: &TrunkStatus) -> TrunkStatus {
        trunk_status(spec, staged(), Some(&reported.iter().copied().collect()), before, Timestamp::now())
    }

    fn summary(status: &TrunkStatus) -> String {
        let condition = find(&status.conditions, REGISTERED).expect("the condition");
        let documented = (condition.status.as_str(), condition.reason.as_str());
        assert!(TRUNK.iter().any(|(_, status, reason, _)| (*status, *reason) == documented));
        assert_eq!(condition.observed_generation, Some(3));
        assert_eq!(stages(&status.conditions), staged());
        format!("{} {}: {}", condition.status, condition.reason, condition.message)
    }

    #[test]
    fn the_status_of_a_trunk_shows_its_registrations() {
        let (spec, none) = (spec(true), TrunkStatus::default());
        let (good, bad) = (states(&["REGED", "REGED"]), states(&["REGED", "FAIL_WAIT"]));
        let nobody = status(&spec, &[], &none);
        assert!(summary(&nobody).starts_with("Unknown NotAsked") && nobody.registered.is_none());
        let one = status(&spec, &[("a", &good), ("b", &bad)], &none);
        assert_eq!(one.registered.as_deref(), Some("3/4"));
        assert_eq!(summary(&one), "False NotRegistered: 3/4 registered; b at two.example.com: FAIL_WAIT");
        let absent = status(&spec, &[("a", &good), ("b", &[])], &none);
        assert_eq!(summary(&absent), "False NotRegistered: 2/4 registered; not there yet");
        let all = status(&spec, &[("a", &good), ("b", &good)], &one);
        assert_eq!((all.registered.as_deref(), all.gateways.len()), (Some("4/4"), 4));
        assert!(summary(&all).starts_with("True Registered"));
        assert_eq!(status(&spec, &[("a", &good), ("b", &good)], &all), all, "nothing to write");
        let unheard = trunk_status(&spec, staged(), None, &all, Timestamp::now());
        assert_eq!(unheard, all, "nobody said anything else");
    }

    #[test]
    fn a_trunk_that_does_not_register_has_states_and_no_condition() {
        let result = status(&spec(false), &[("a", &states(&["NOREG", "x\0<y>"]))], &TrunkStatus::default());
        assert_eq!((find(&result.conditions, REGISTERED), result.registered), (None, None));
        let states: Vec<_> = result.gateways.iter().map(|gateway| gateway.state.as_str()).collect();
        assert_eq!(states, ["NOREG", "UNKNOWN"]);
    }

    #[test]
    fn of_too_many_gateways_those_in_trouble_are_listed() {
        let names: Vec<String> = (0..50).map(|number| format!("s{number:02}")).collect();
        let (good, bad) = (states(&["REGED", "REGED"]), states(&["REGED", "EXPIRED"]));
        let of = |name: &String| if name == "s49" { &bad[..] } else { &good[..] };
        let reported: Vec<_> = names.iter().map(|name| (name.as_str(), of(name))).collect();
        let result = status(&spec(true), &reported, &TrunkStatus::default());
        assert_eq!((result.gateways.len(), result.registered.as_deref()), (MAX_LISTED, Some("99/100")));
        assert_eq!(
            (result.gateways[0].switch.as_str(), result.gateways[0].state.as_str()),
            ("s49", "EXPIRED")
        );
    }
}
