//! Which calls are recorded, to which file, and how a recording starts.

use centrex::resources::common::Recording;

use super::Office;

/// Acme, with the recording of some extensions set.
fn office(recorded: &[(&str, Recording)], tone: bool) -> Office {
    let mut office = Office::acme();
    for (name, recording) in recorded {
        office.view.plan.extensions.get_mut(*name).unwrap().recording = *recording;
    }
    office.view.plan.tenant.recording_tone = tone;
    office
}

fn is_recorded(office: &Office, caller: &str, number: &str) -> bool {
    office.said(&office.dial(caller, number)).iter().any(|action| action.starts_with("record_session "))
}

#[test]
fn calls_are_recorded_for_the_caller_or_the_callee() {
    use Recording::{Always, Inbound, Never, Outbound};
    for (who, recording, caller, number, recorded) in [
        ("alice", Never, "alice", "1002", false),
        ("alice", Outbound, "alice", "1002", true),
        ("alice", Always, "alice", "1002", true),
        ("alice", Inbound, "alice", "1002", false),
        ("alice", Outbound, "alice", "030123456", true),
        ("alice", Inbound, "alice", "030123456", false),
        ("bob", Inbound, "alice", "1002", true),
        ("bob", Outbound, "alice", "1002", false),
        ("bob", Always, "outside", "1002", true),
        // One member or agent is enough.
        ("bob", Inbound, "alice", "2001", true),
        ("bob", Outbound, "alice", "2001", false),
        ("alice", Outbound, "alice", "4001", true),
        // Never: emergency calls, feature codes, voicemail boxes, calls that are not placed.
        ("alice", Always, "alice", "112", false),
        ("alice", Always, "alice", "*97", false),
        ("alice", Always, "bob", "1003", false),
        ("alice", Always, "alice", "1999", false),
        ("alice", Always, "alice", "0190123456", false),
    ] {
        let office = office(&[(who, recording)], false);
        let found = is_recorded(&office, caller, number);
        assert_eq!(found, recorded, "{who} {recording:?}: {caller} dials {number}");
    }
}

#[test]
fn a_recording_has_a_generated_name_and_starts_at_the_answer() {
    let office = office(&[("bob", Recording::Inbound)], false);
    let said = office.said(&office.dial("alice", "1002"));
    let file = said.iter().find_map(|action| action.strip_prefix("set centrex_recording=")).unwrap();
    let name = file.strip_prefix("recordings/2026/11/").unwrap().strip_suffix(".wav").unwrap();
    assert!(uuid::Uuid::try_parse(name).is_ok(), "{file}");
    let record = format!("record_session /media/tenants/TENANT/{file}");
    let at = said.iter().position(|action| *action == record).unwrap();
    assert!(said[..at].contains(&"set RECORD_ANSWER_REQ=true".to_owned()), "{said:#?}");
    assert!(said[..at].contains(&"set ringback=%(1000,4000,425)".to_owned()), "{said:#?}");
    assert!(said[at..].contains(&"bridge user/1002@acme.example.com".to_owned()), "{said:#?}");
    let leg = "6f0e8ce9-8a8f-4f5c-9b7c-8a5b1c2d3e4f";
    let call = centrex::route::Call { leg: leg.into(), ..office.call("alice") };
    let said = office.said(&call.dialled("1002"));
    assert!(said.contains(&format!("set centrex_recording=recordings/2026/11/{leg}.wav")), "{said:#?}");
}

#[test]
fn the_tone_is_played_once_and_is_in_the_recording() {
    const TONE: &str = "playback tone_stream://%(500,250,1400)";
    let office = office(&[("bob", Recording::Inbound)], true);
    let once_answered = format!("set execute_on_answer={TONE}");
    let said = office.said(&office.dial("alice", "1002"));
    let record = said.iter().position(|action| action.starts_with("record_session ")).unwrap();
    // An unanswered call leaves no file, and no tone is played.
    assert!(said[..record].contains(&once_answered), "{said:#?}");
    assert!(said[..record].contains(&"set RECORD_ANSWER_REQ=true".to_owned()), "{said:#?}");
    assert!(!said.contains(&TONE.to_owned()), "{said:#?}");
    // A call that a menu answered before plays the tone at once.
    let call = centrex::route::Call { is_answered: true, ..office.call("alice") };
    let said = office.said(&call.dialled("1002"));
    let record = said.iter().position(|action| action.starts_with("record_session ")).unwrap();
    assert_eq!(said[record + 1], TONE);
    assert!(!said.contains(&once_answered), "{said:#?}");
    let call = centrex::route::Call { is_recorded: true, is_answered: true, ..office.call("alice") };
    let said = office.said(&call.dialled("1002"));
    assert!(!said.iter().any(|action| action.contains("tone_stream://%(500,250,1400)")), "{said:#?}");
}

#[test]
fn calls_to_a_number_are_recorded_if_the_number_says_so() {
    let mut office = office(&[], false);
    let recorded = |office: &Office, number: &str| {
        office.said(&office.comes_in(number)).iter().any(|action| action.starts_with("record_session "))
    };
    assert!(!recorded(&office, "+493012345603"));
    office.view.plan.numbers.get_mut("sales").unwrap().record_calls = true;
    assert!(recorded(&office, "+493012345603"));
    assert!(!recorded(&office, "+493012345602"), "another number");
}
