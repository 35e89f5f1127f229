//! A real FreeSWITCH with `deploy/freeswitch` and a `centrex standalone`; sipp plays phones and carriers at
//! loopback addresses.
//!
//! One switch serves all steps, in order; the first that fails ends the test with its SIP and the last lines
//! of both logs. Skipped if FreeSWITCH or sipp is missing.

mod attacks;
mod carrier;
pub mod esl;
mod lab;
pub mod phone;
pub mod process;
mod recording;
pub mod records;
pub mod standalone;
pub mod switch;
mod tee;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use centrex::freeswitch::xml::field::Field;
use lab::Lab;

use crate::hardened::allowlist;
use crate::program::repository;
use crate::skip::skip;
use crate::wait::{self, DEADLINE, until};

/// A step: the expected behaviour, and its test.
type Step = (&'static str, fn(&Lab));

const STEPS: &[Step] = &[
    ("all needed modules are loaded, and none that could run a program", modules),
    ("phones register with digest authentication", phones_register),
    ("a wrong password and an unknown user are refused", wrong_credentials),
    ("credentials of one tenant do not work in another", no_hijack),
    ("a phone calls a phone, and each shows the other's name", phone_to_phone),
    ("an unassigned number ends with 404", unknown_number),
    ("calls to an unregistered phone are forwarded", forwarded),
    ("a ring group rings all members, and the first to answer gets the call", ring_group),
    ("a digit in a menu selects a destination", menu),
    ("a queue calls its agent", queue),
    ("a conference and a feature code answer", conference_and_feature),
    ("equal numbers of two tenants are two phones", isolation),
    ("a phone may spell its domain in any way", spellings),
    ("a name is shown as it is written", names),
    ("a call comes in by number", inbound),
    ("no call comes in from a source that is no carrier, not even with a phone's password", strangers),
    ("a call goes out by the second gateway when the first is dead", failover),
    ("a phone without the toll class cannot call outside", toll_class),
    ("more calls abroad than its limit, a tenant does not make", calls_abroad),
    ("every phone can make an emergency call", emergency),
    ("a text message runs no command", attacks::message),
    ("a phone can subscribe to calls of its own tenant only", attacks::subscriptions),
    ("a phone cannot refer its call", attacks::refer),
    ("a phone cannot take over calls of others", attacks::takeover),
    ("a 302 answer of a phone redirects no call", attacks::moved),
    ("a recorded call leaves a file that begins with its tone", recorded),
    ("FreeSWITCH posted only the fields that Centrex reads", posted),
    ("no leg is left", nothing_left),
    ("each leg of these calls left a record, with its tenant", call_records),
];

#[test]
fn calls_through_a_real_freeswitch() {
    let binary = match switch::installed() {
        Ok(binary) => binary,
        Err(missing) => return skip("freeswitch::calls_through_a_real_freeswitch", &missing),
    };
    let mut lab = Lab::start(&binary);
    for (what, step) in STEPS {
        run_step(what, &mut lab, |lab| step(lab));
    }
    run_step("records in err-log-dir are imported", &mut lab, left_records);
}

#[test]
fn the_list_of_posted_fields_matches_the_fields_that_centrex_reads() {
    let path = repository("deploy/freeswitch/posted.xml");
    let text = std::fs::read_to_string(path).expect("the list");
    let listed = text.lines().filter_map(|line| {
        line.trim().strip_prefix(r#"<param name="enable-post-var" value=""#)?.strip_suffix(r#""/>"#)
    });
    // FreeSWITCH always posts the basic fields.
    let asked = Field::ALL.into_iter().filter(|field| !field.is_basic()).map(Field::name);
    assert_eq!(listed.collect::<Vec<_>>(), asked.collect::<Vec<_>>());
}

fn run_step(what: &str, lab: &mut Lab, step: impl FnOnce(&mut Lab)) {
    run_step_with(what, lab, step, Lab::logs);
}

/// Runs a step; if it fails, the logs are printed.
fn run_step_with<L>(what: &str, lab: &mut L, step: impl FnOnce(&mut L), logs: impl FnOnce(&L) -> String) {
    let start = Instant::now();
    if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(lab))) {
        eprintln!("FAILED: {what}\n{}", logs(lab));
        std::panic::resume_unwind(panic);
    }
    eprintln!("ok: {what} ({} ms)", start.elapsed().as_millis());
}

fn modules(lab: &Lab) {
    for module in ["callcenter", "conference", "local_stream", "valet_parking", "voicemail", "xml_cdr"] {
        assert_eq!(lab.switch.api(&format!("module_exists mod_{module}")).trim(), "true", "mod_{module}");
    }
    for module in ["verto", "sms", "lua", "python3", "xml_rpc", "curl", "httapi", "shout"] {
        assert_eq!(lab.switch.api(&format!("module_exists mod_{module}")).trim(), "false", "mod_{module}");
    }
    // Functions that complete command lines have no description, and are not listed.
    let shown = |entry: &String| !entry.contains(".console_complete");
    let allowed: BTreeSet<String> = allowlist::entries().into_iter().filter(shown).collect();
    // FreeSWITCH registers the functions of its modules asynchronously.
    let complete = || (callable(lab) == allowed).then_some(());
    if until(DEADLINE, complete).is_none() {
        assert_eq!(callable(lab), allowed, "what can be called, and what may be");
    }
    for command in [
        "system id",
        "bg_system id",
        "spawn id",
        "load mod_lua",
        "reload mod_lua",
        "expand ${system(id)}",
        "originate loopback/1 &park",
    ] {
        let answer = lab.switch.api(command);
        assert!(answer.contains("Command not found!"), "{command}: {answer}");
    }
}

/// The available applications and commands, in the format of the allowlist.
fn callable(lab: &Lab) -> BTreeSet<String> {
    let mut callable = BTreeSet::new();
    for (kind, table) in [("api", "api"), ("app", "application")] {
        let answer = lab.switch.api(&format!("show {table} as json"));
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        let text = |row: &serde_json::Value, name: &str| row[name].as_str().expect("a text").to_owned();
        let rows = answer["rows"].as_array().expect("rows").iter();
        callable.extend(rows.map(|row| format!("{}.{}.{kind}", text(row, "ikey"), text(row, "name"))));
    }
    callable
}

fn phones_register(lab: &Lab) {
    for phone in [&lab.alice, &lab.bob, &lab.hank, &lab.ivy] {
        let outcome = phone.play("register", lab.phones, &[]);
        assert!(outcome.completed, "{}", outcome.trace);
    }
    let registrations = lab.registrations(4);
    for phone in [&lab.alice, &lab.ivy] {
        let found = registrations.iter().any(|row| {
            row["reg_user"] == phone.user
                && row["realm"] == phone.domain // the host of To
                && row["network_ip"] == phone.address.to_string()
        });
        assert!(found, "{registrations:#?}");
    }
}

fn wrong_credentials(lab: &Lab) {
    for phone in [&lab.liar, &lab.nobody] {
        let outcome = phone.play("register", lab.phones, &[]);
        assert!(!outcome.completed && outcome.status() == Some(403), "{}", outcome.trace);
    }
    lab.registrations(4);
}

fn no_hijack(lab: &Lab) {
    let outcome = lab.alice.play("hijack", lab.phones, &[("victim", lab.hank.domain)]);
    assert!(!outcome.completed && outcome.status() == Some(403), "{}", outcome.trace);
    let hank = lab.switch.api("sofia_contact internal/1001@globex.example.com");
    assert!(hank.contains(&lab.hank.address.to_string()), "{hank}");
    assert!(!hank.contains(&lab.alice.address.to_string()), "{hank}");
}

fn phone_to_phone(lab: &Lab) {
    let bob = lab.bob.listen("answer", lab.phones);
    let call = lab.alice.play("call", lab.phones, &[("dial", "1002")]);
    let bob = bob.end();
    assert!(call.completed, "{}", call.trace);
    assert!(call.trace.contains("<sip:1002@acme.example.com>;party="), "{}", call.trace);
    assert_eq!((bob.received("INVITE").len(), bob.received("BYE").len()), (1, 1), "{}", bob.trace);
    assert!(bob.trace.contains("From: \"Alice Example\" <sip:1001@acme.example.com>"), "{}", bob.trace);
}

fn unknown_number(lab: &Lab) {
    let call = lab.alice.play("call", lab.phones, &[("dial", "1999")]);
    assert!(!call.completed && call.status() == Some(404), "{}", call.trace);
}

/// Carol has not registered yet.
fn forwarded(lab: &Lab) {
    let bob = lab.bob.listen("answer", lab.phones);
    let call = lab.alice.play("call", lab.phones, &[("dial", "1003")]);
    let bob = bob.end();
    assert!(call.completed, "{}", call.trace);
    assert_eq!(bob.received("INVITE").len(), 1, "{}", bob.trace);
}

fn ring_group(lab: &Lab) {
    assert!(lab.carol.play("register", lab.phones, &[]).completed);
    let bob = lab.bob.listen("ring", lab.phones);
    let carol = lab.carol.listen("answer", lab.phones);
    let call = lab.alice.play("call", lab.phones, &[("dial", "2000")]);
    let (bob, carol) = (bob.end(), carol.end());
    assert!(call.completed, "{}", call.trace);
    assert_eq!((bob.received("INVITE").len(), bob.received("CANCEL").len()), (1, 1), "{}", bob.trace);
    assert_eq!((carol.received("INVITE").len(), carol.received("BYE").len()), (1, 1), "{}", carol.trace);
}

fn menu(lab: &Lab) {
    let bob = lab.bob.listen("answer", lab.phones);
    let call = lab.alice.play("menu", lab.phones, &[("dial", "5000"), ("digit", "7")]);
    let bob = bob.end();
    assert!(call.completed, "{}", call.trace);
    assert_eq!((bob.received("INVITE").len(), bob.received("BYE").len()), (1, 1), "{}", bob.trace);
}

fn queue(lab: &Lab) {
    let carol = lab.carol.listen("answer", lab.phones);
    let call = lab.alice.play_talking("call", lab.phones, &[("dial", "3000")], Duration::from_secs(4));
    let carol = carol.end();
    assert!(call.completed, "{}", call.trace);
    assert_eq!((carol.received("INVITE").len(), carol.received("BYE").len()), (1, 1), "{}", carol.trace);
}

fn conference_and_feature(lab: &Lab) {
    for number in ["4000", "*43"] {
        let call = lab.alice.play("call", lab.phones, &[("dial", number)]);
        assert!(call.completed, "{number}: {}", call.trace);
    }
}

fn isolation(lab: &Lab) {
    let (bob, ivy) = (lab.bob.listen("answer", lab.phones), lab.ivy.listen("answer", lab.phones));
    let call = lab.hank.play("call", lab.phones, &[("dial", "1002")]);
    let (bob, ivy) = (bob.end(), ivy.end());
    assert!(call.completed, "{}", call.trace);
    assert_eq!((bob.received("INVITE").len(), ivy.received("INVITE").len()), (0, 1), "{}", bob.trace);
    // Acme's ring group and menu do not exist for Globex.
    for number in ["2000", "5000"] {
        let call = lab.hank.play("call", lab.phones, &[("dial", number)]);
        assert!(!call.completed && call.status() == Some(404), "{number}: {}", call.trace);
    }
}

fn spellings(lab: &Lab) {
    for pat in &lab.pats {
        let outcome = pat.play("register", lab.phones, &[]);
        assert!(outcome.completed, "{}: {}", pat.domain, outcome.trace);
        let listens = pat.listen("answer", lab.phones);
        let call = lab.alice.play("call", lab.phones, &[("dial", "1004")]);
        let pat = listens.end();
        assert!(call.completed, "{}", call.trace);
        assert_eq!((pat.received("INVITE").len(), pat.received("BYE").len()), (1, 1), "{}", pat.trace);
    }
}

/// `"` would end the name.
fn names(lab: &Lab) {
    for pat in &lab.pats {
        let bob = lab.bob.listen("answer", lab.phones);
        let call = pat.play("call", lab.phones, &[("dial", "1002")]);
        let bob = bob.end();
        assert!(call.completed, "{}", call.trace);
        let from = "From: \"O'Brien, Pat: R&D / Ops @ HQ; 50 % 'Désk' 🎧\" <sip:1004@acme.example.com>";
        assert!(bob.trace.contains(from), "{}", bob.trace);
    }
}

fn inbound(lab: &Lab) {
    let bob = lab.bob.listen("answer", lab.phones);
    let call = lab.carrier.play("trunk", lab.trunks, &[("dial", "+493023125000")]);
    let bob = bob.end();
    assert!(call.completed, "{}", call.trace);
    assert_eq!((bob.received("INVITE").len(), bob.received("BYE").len()), (1, 1), "{}", bob.trace);
    assert!(bob.trace.contains("<sip:+33123456789@acme.example.com>"), "{}", bob.trace);
    let call = lab.carrier.play("trunk", lab.trunks, &[("dial", "+493023125999")]);
    assert!(!call.completed && call.status() == Some(404), "{}", call.trace);
}

fn strangers(lab: &Lab) {
    let bob = lab.bob.listen("answer", lab.phones);
    let call = lab.stranger.play("trunk", lab.trunks, &[("dial", "+493023125000")]);
    assert!(!call.completed && matches!(call.status(), Some(403 | 407)), "{}", call.trace);
    let call = lab.alice.play("call", lab.trunks, &[("dial", "+493023125000")]);
    assert!(!call.completed && call.status() == Some(403), "{}", call.trace);
    let bob = bob.end();
    assert_eq!(bob.received("INVITE").len(), 0, "{}", bob.trace);
}

fn failover(lab: &Lab) {
    let call = lab.alice.play("call", lab.phones, &[("dial", "03023125777")]);
    let carrier = lab.carrier_listens.seen();
    assert!(call.completed, "{}", call.trace);
    let invites = carrier.received("INVITE");
    assert_eq!(invites.len(), 1, "{}", carrier.trace);
    assert!(invites[0].contains("INVITE sip:+493023125777@127.0.0.42"), "{}", invites[0]);
    assert!(invites[0].contains("<sip:+493023125000@"), "{}", invites[0]);
    // The carrier must see neither the extension's number nor its name.
    assert!(!invites[0].contains("1001") && !invites[0].contains("Alice"), "{}", invites[0]);
    // The carrier must not see the identities and the payer that a phone claims.
    assert!(!invites[0].contains("forged.example.com"), "{}", invites[0]);
    let gateways = lab.switch.api("sofia status gateway");
    assert!(gateways.contains("Outbound(Failed/Total):1/2"), "{gateways}");
}

fn toll_class(lab: &Lab) {
    let before = lab.carrier_listens.seen().received("INVITE").len();
    let call = lab.bob.play("call", lab.phones, &[("dial", "03023125777")]);
    let carrier = lab.carrier_listens.seen();
    assert!(!call.completed && call.status() == Some(403), "{}", call.trace);
    assert_eq!(carrier.received("INVITE").len(), before, "{}", carrier.trace);
}

/// The trunk's limit is one call.
fn calls_abroad(lab: &Lab) {
    let invites = || lab.carrier_listens.seen().received("INVITE").len();
    let before = invites();
    let call = lab.alice.play("call", lab.phones, &[("dial", "0033123456789")]);
    assert!(call.completed && invites() == before + 1, "{}", call.trace);
    let call = lab.alice.play("call", lab.phones, &[("dial", "0033123456789")]);
    assert!(!call.completed && call.status() == Some(403), "{}", call.trace);
    assert_eq!(invites(), before + 1, "{}", call.trace);
}

fn emergency(lab: &Lab) {
    let call = lab.bob.play("call", lab.phones, &[("dial", "112")]);
    let carrier = lab.carrier_listens.seen();
    assert!(call.completed, "{}", call.trace);
    assert!(carrier.trace.contains("INVITE sip:112@127.0.0.42"), "{}", carrier.trace);
}

fn recorded(lab: &Lab) {
    // An unanswered call leaves no file, though it has a tone.
    let rings = lab.bob.listen("ring", lab.phones);
    let unanswered = lab.carrier.play("trunk", lab.trunks, &[("dial", "+493023125005")]);
    assert_eq!(rings.end().received("INVITE").len(), 1, "{}", unanswered.trace);
    assert!(!unanswered.completed);
    nothing_left(lab);
    assert_eq!(recording::files(&lab.media_dir()), Vec::<std::path::PathBuf>::new());
    let bob = lab.bob.listen("answer", lab.phones);
    // FreeSWITCH keeps no recording of less than three seconds.
    let talk = Duration::from_secs(5);
    let call = lab.carrier.play_talking("trunk", lab.trunks, &[("dial", "+493023125005")], talk);
    let bob = bob.end();
    assert!(call.completed, "{}", call.trace);
    assert_eq!(bob.received("INVITE").len(), 1, "{}", bob.trace);
    let files =
        until(DEADLINE, || Some(recording::files(&lab.media_dir())).filter(|files| !files.is_empty()));
    let files = files.unwrap_or_else(|| panic!("no recording below {}", lab.media_dir().display()));
    let [file] = files.as_slice() else { panic!("one call was recorded: {files:?}") };
    nothing_left(lab); // the file is complete when the leg is gone
    recording::assert_name(file);
    recording::assert_tone(file);
}

/// Fields that the previous steps made FreeSWITCH post.
fn posted(lab: &Lab) {
    let asked = |name: &String| name == "hostname" || Field::by_name(name.as_bytes()).is_some();
    for (section, some) in [
        ("directory", ["key_value", "action", "sip_auth_username"]),
        ("dialplan", ["Hunt-Destination-Number", "variable_user_name", "variable_centrex_call"]),
        ("configuration", ["key_value", "profile", "Menu-Name"]),
    ] {
        let names = lab.tee.posted(&format!("/freeswitch/{section}"));
        assert!(some.iter().all(|name| names.contains(*name)), "{section}: {names:?}");
        assert!(names.iter().all(asked), "{section}: {names:?}");
    }
}

fn nothing_left(lab: &Lab) {
    let idle = || lab.switch.api("show channels count").contains("0 total").then_some(());
    let idle = until(DEADLINE, idle);
    assert!(idle.is_some(), "{}", lab.switch.api("show channels"));
}

/// Call records of the previous steps.
fn call_records(lab: &Lab) {
    let last = |row: &serde_json::Value| row["recording"].is_string();
    let all =
        until(DEADLINE, || Some(records::all(&lab.data_dir())).filter(|(rows, _)| rows.iter().any(last)));
    let (rows, quarantine) = all.expect("the record of the recorded call");
    let number = |row: &serde_json::Value, name: &str| row[name].as_i64().unwrap_or_default();

    // A recorded call by a carrier: two seconds of talk.
    let (a, b) = records::of(&rows, "+493023125005", "NORMAL_CLEARING");
    let [b] = b.as_slice() else { panic!("{b:#?}") };
    assert_eq!(
        (&a["tenant"], &a["trunk"], &a["caller_number"]),
        (&"acme".into(), &"carriers/carrier".into(), &"+33123456789".into())
    );
    assert_eq!((&a["bridged_uuid"], &b["bridged_uuid"]), (&b["uuid"], &a["uuid"]));
    assert_eq!(
        (&b["tenant"], &b["extension"], &b["destination"]),
        (&"acme".into(), &"bob".into(), &"1002".into())
    );
    let files = recording::files(&lab.media_dir());
    assert!(files[0].ends_with(a["recording"].as_str().unwrap()), "{files:?} {}", a["recording"]);
    for leg in [a, *b] {
        assert!(
            number(leg, "billed_ms") >= 2000 && number(leg, "duration_ms") >= number(leg, "billed_ms"),
            "{leg:#}"
        );
        let times = ["started_at", "answered_at", "bridged_at", "ended_at"]
            .map(|time| leg[time].as_str().expect("a time"));
        assert!(times[0] < times[1] && times[1] <= times[2] && times[2] < times[3], "{times:?}");
        assert_eq!((&leg["hangup_cause_q850"], &leg["clock_skewed"]), (&16.into(), &false.into()));
        assert!(leg["mos"].as_f64().is_some_and(|mos| mos > 1.0), "{leg:#}");
    }

    // A call by the second gateway.
    let (a, b) = records::of(&rows, "03023125777", "NORMAL_CLEARING");
    assert_eq!((&a["extension"], b.len()), (&"alice".into(), 2));
    assert!(b.iter().all(|leg| leg["trunk"] == "carriers/carrier"), "{b:#?}");
    assert_eq!(b.iter().filter(|leg| leg["answered_at"].is_string()).count(), 1, "{b:#?}");
    // The leg of an agent names its queue.
    let (a, b) = records::of(&rows, "3000", "NORMAL_CLEARING");
    assert!(a["queue"].as_str().is_some_and(|queue| queue.starts_with("support@")), "{a:#}");
    assert!(b.iter().any(|leg| leg["extension"] == "carol" && leg["answered_at"].is_string()), "{b:#?}");
    // A refused call belongs to its caller's tenant.
    let (unknown, barred) = (
        records::of(&rows, "1999", "UNALLOCATED_NUMBER").0,
        records::of(&rows, "03023125777", "OUTGOING_CALL_BARRED").0,
    );
    assert_eq!((&unknown["extension"], &barred["extension"]), (&"alice".into(), &"bob".into()));
    assert!(unknown["answered_at"].is_null() && number(barred, "billed_ms") == 0);

    for row in &rows {
        let globex = ["hank", "ivy"].iter().any(|name| row["extension"] == **name);
        assert_eq!(row["tenant"] == "globex", globex, "{row:#}");
        let same = |other: &&serde_json::Value| other["uuid"] == row["uuid"];
        assert_eq!(rows.iter().filter(same).count(), 1, "{row:#}");
    }
    // Calls of strangers, which reached nothing.
    assert!(
        quarantine.iter().all(|row| row["reason"] == "no_token") && quarantine.len() <= 4,
        "{quarantine:#?}"
    );
}

/// A call ends while Centrex is stopped: FreeSWITCH writes its records to a folder, and Centrex imports them.
fn left_records(lab: &mut Lab) {
    let folder = lab.switch_dir().join("storage/cdr-spool");
    let left = || -> Vec<String> {
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(left(), Vec::<String>::new(), "records of calls before");
    let bob = lab.bob.listen("answer", lab.phones);
    let call = lab.alice.begin("call", lab.phones, &[("dial", "1002")], Duration::from_secs(4));
    let up = || (lab.switch.legs().len() == 2).then_some(());
    until(DEADLINE, up).expect("a call");
    lab.centrex.end();
    nothing_left(lab);
    let files = until(DEADLINE, || Some(left()).filter(|files| files.len() == 2));
    let files = files.unwrap_or_else(|| panic!("a file a leg: {:?}", left()));
    drop((call, bob));

    lab.start_again(&["--cdr-leftovers", folder.to_str().unwrap()]);
    let taken = until(DEADLINE, || left().is_empty().then_some(()));
    assert!(taken.is_some(), "{:?}\n{}", left(), lab.logs());
    for file in files {
        let (leg, uuid) = match file.strip_prefix("a_") {
            Some(rest) => ("a", rest),
            None => ("b", &*file),
        };
        let uuid = uuid.strip_suffix(".cdr.xml").expect("the name of a record");
        let kept = until(DEADLINE, || {
            let (rows, _) = records::all(&lab.data_dir());
            rows.into_iter().find(|row| row["uuid"] == uuid)
        });
        let kept = kept.unwrap_or_else(|| panic!("{file} is nowhere\n{}", lab.logs()));
        assert_eq!((&kept["tenant"], &kept["leg"]), (&"acme".into(), &leg.into()), "{kept:#}");
        assert_eq!(kept["hangup_cause"], "NORMAL_CLEARING", "{kept:#}");
    }
}
