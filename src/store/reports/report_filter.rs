//! Reduces a switch's findings to what is stored: states that last, in bounded size.

use crate::plan::report::{GatewayState, NotApplied, SwitchReport};

/// Size of one text, in bytes.
const MAX_TEXT: usize = 500;
/// Size of a gateway's state and of a version, in bytes.
const MAX_WORD: usize = 64;
/// Number of differences that are stored.
const MAX_DRIFT: usize = 20;

/// The findings `now` in the form in which they are stored; `before` is what is stored already. Left out are the number
/// of calls, which changes all the time, and fields that matter only inside the sidecar. A gateway in a transitional
/// state keeps its last settled one.
pub fn storable(before: &SwitchReport, now: &SwitchReport) -> SwitchReport {
    let mut stored = SwitchReport {
        version: now.version.as_deref().map(|version| bounded(version, MAX_WORD)),
        calls: 0,
        ending: false,
        listening: false,
        drift: now.drift.iter().take(MAX_DRIFT).map(|text| bounded(text, MAX_TEXT)).collect(),
        problems: now.problems.iter().map(|(id, text)| (*id, bounded(text, MAX_TEXT))).collect(),
        held: now.held.iter().map(|(name, held)| (name.clone(), short(held))).collect(),
        ..now.clone()
    };
    for (trunk, gateways) in &mut stored.gateways {
        let settled = before.gateways.get(trunk).map(Vec::as_slice).unwrap_or_default();
        for (index, gateway) in gateways.iter_mut().enumerate() {
            match settled.get(index) {
                Some(GatewayState { state, .. }) if gateway.is_transient() => {
                    gateway.state.clone_from(state);
                }
                _ => gateway.state = bounded(&gateway.state, MAX_WORD),
            }
        }
    }
    stored
}

fn short(held: &NotApplied) -> NotApplied {
    NotApplied { why: bounded(&held.why, MAX_TEXT), ..held.clone() }
}

/// The text cut to so many bytes. Control characters, which jsonb cannot hold, become spaces.
fn bounded(text: &str, max_bytes: usize) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(state: &str) -> SwitchReport {
        let state = GatewayState { state: state.to_owned(), up: true };
        SwitchReport {
            gateways: [("carriers/acme".to_owned(), vec![state])].into(),
            ..SwitchReport::default()
        }
    }

    #[test]
    fn the_number_of_calls_is_not_stored() {
        let now = SwitchReport { calls: 7, connected: Some(true), ..SwitchReport::default() };
        assert_eq!(storable(&SwitchReport::default(), &now), SwitchReport { calls: 0, ..now });
    }

    #[test]
    fn a_renewed_registration_changes_nothing_and_a_failed_one_does() {
        let mut stored = storable(&SwitchReport::default(), &gateway("TRYING"));
        assert_eq!(stored, gateway("TRYING"), "no settled state is known");
        for (now, then) in [
            ("REGED", "REGED"),
            ("UNREGED", "REGED"),
            ("TRYING", "REGED"),
            ("REGISTER", "REGED"),
            ("REGED", "REGED"),
            ("TRYING", "REGED"),
            ("FAILED", "FAILED"),
            ("FAIL_WAIT", "FAIL_WAIT"),
            ("TRYING", "FAIL_WAIT"),
            ("REGED", "REGED"),
        ] {
            stored = storable(&stored, &gateway(now));
            assert_eq!(stored, gateway(then), "after {now}");
        }
    }

    #[test]
    fn findings_of_any_size_and_content_are_bounded() {
        let hostile = format!("a\0b\n{}", "ä".repeat(5000));
        let now = SwitchReport {
            version: Some(hostile.clone()),
            drift: vec![hostile.clone(); 50],
            problems: [(uuid::Uuid::nil(), hostile.clone())].into(),
            ..gateway(&hostile)
        };
        let stored = storable(&SwitchReport::default(), &now);
        assert_eq!((stored.drift.len(), stored.drift[0].starts_with("a b ä")), (MAX_DRIFT, true));
        let text = serde_json::to_string(&stored).unwrap();
        assert!(text.len() < (MAX_DRIFT + 2) * MAX_TEXT + 500 && !text.contains("\\u0000"), "{}", text.len());
        assert_eq!(storable(&stored, &stored), stored, "the second time nothing changes");
    }
}
