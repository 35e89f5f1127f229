//! The part of a switch's findings that is worth a write: what lasts, and not more than is useful.

use crate::plan::report::{GatewayState, NotApplied, SwitchReport};

/// Most bytes of one text, and of a gateway's state or a version.
const MAX_TEXT: usize = 500;
const MAX_WORD: usize = 64;
/// Most differences that are told.
const MAX_DRIFT: usize = 20;

/// Findings as they are to stand in Postgres, where `before` stands: without how many calls are up,
/// which moves all the time, and what is of no use outside its process; without a gateway's steps between two states; and bounded.
pub fn lasting(before: &SwitchReport, now: &SwitchReport) -> SwitchReport {
    let mut lasting = SwitchReport {
        version: now.version.as_deref().map(|version| bounded(version, MAX_WORD)),
        calls: 0,
        ending: false,
        listening: false,
        drift: now.drift.iter().take(MAX_DRIFT).map(|text| bounded(text, MAX_TEXT)).collect(),
        problems: now.problems.iter().map(|(id, text)| (*id, bounded(text, MAX_TEXT))).collect(),
        held: now.held.iter().map(|(name, held)| (name.clone(), short(held))).collect(),
        ..now.clone()
    };
    for (trunk, gateways) in &mut lasting.gateways {
        let settled = before.gateways.get(trunk).map(Vec::as_slice).unwrap_or_default();
        for (index, gateway) in gateways.iter_mut().enumerate() {
            match settled.get(index) {
                Some(GatewayState { state, .. }) if gateway.is_passing() => {
                    gateway.state.clone_from(state);
                }
                _ => gateway.state = bounded(&gateway.state, MAX_WORD),
            }
        }
    }
    lasting
}

fn short(held: &NotApplied) -> NotApplied {
    NotApplied { why: bounded(&held.why, MAX_TEXT), ..held.clone() }
}

/// A text of at most so many bytes, without the characters that jsonb cannot hold and nobody can read.
fn bounded(text: &str, most: usize) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(most));
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
    fn calls_that_come_and_go_are_no_news() {
        let now = SwitchReport { calls: 7, connected: Some(true), ..SwitchReport::default() };
        assert_eq!(lasting(&SwitchReport::default(), &now), SwitchReport { calls: 0, ..now });
    }

    #[test]
    fn a_registration_that_is_renewed_is_no_news_and_one_that_fails_is() {
        let mut stands = lasting(&SwitchReport::default(), &gateway("TRYING"));
        assert_eq!(stands, gateway("TRYING"), "nothing better is known");
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
            stands = lasting(&stands, &gateway(now));
            assert_eq!(stands, gateway(then), "after {now}");
        }
    }

    #[test]
    fn whatever_a_switch_says_fits() {
        let hostile = format!("a\0b\n{}", "ä".repeat(5000));
        let now = SwitchReport {
            version: Some(hostile.clone()),
            drift: vec![hostile.clone(); 50],
            problems: [(uuid::Uuid::nil(), hostile.clone())].into(),
            ..gateway(&hostile)
        };
        let stands = lasting(&SwitchReport::default(), &now);
        assert_eq!((stands.drift.len(), stands.drift[0].starts_with("a b ä")), (MAX_DRIFT, true));
        let text = serde_json::to_string(&stands).unwrap();
        assert!(text.len() < (MAX_DRIFT + 2) * MAX_TEXT + 500 && !text.contains("\\u0000"), "{}", text.len());
        assert_eq!(lasting(&stands, &stands), stands, "and is no news the second time");
    }
}
