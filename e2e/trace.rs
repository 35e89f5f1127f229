//! `centrex trace` shows what the switches are answered.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use centrex::compile;
use centrex::secrets::keyring::Keyring;
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use serde_json::Value;
use uuid::Uuid;

use crate::postgres::Database;
use crate::program::{repository, run, url};

fn system() -> PathBuf {
    repository("tests/routing/system.yaml")
}

/// Runs the program for a call of Acme's.
fn command(manifests: Option<&Path>, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
    command.arg("trace").env_remove("CENTREX_DATABASE_URL");
    if let Some(manifests) = manifests {
        command.arg("--manifests").arg(manifests);
    }
    if !options.contains(&"--tenant") {
        command.args(["--tenant", "acme/acme"]);
    }
    if !options.contains(&"--at") {
        command.args(["--at", "2026-11-25T20:00:00+01:00"]);
    }
    command.args(options);
    command
}

fn traced(options: &[&str]) -> (Option<i32>, String) {
    run(&mut command(Some(&system()), options))
}

#[track_caller]
fn assert_lines(text: &str, expected: &[&str]) {
    let mut rest = text.lines();
    for line in expected {
        assert!(rest.any(|found| found.trim() == *line), "{line:?} does not follow in:\n{text}");
    }
}

#[test]
fn a_trace_shows_every_rule_in_order_with_its_resource_and_the_answer() {
    let (code, text) = traced(&["--from", "1001", "--to", "1004"]);
    assert_eq!(code, Some(0), "{text}");
    assert_lines(
        &text,
        &[
            "no  Tenant acme/acme: 1004 is no emergency number (110, 112)",
            "no  DialRule premium: 1004 does not begin with 0190",
            "yes Extension acme/frank: its number is 1004",
            "yes Extension acme/frank: forwarding.always: Schedule hours",
            "yes Schedule acme/hours: closed at Wed 2026-11-25 20:00:00 Europe/Berlin: Voicemail alice",
            "ends: Voicemail alice",
            "<extension name=\"Voicemail.alice\">",
            "<action application=\"voicemail\" data=\"default acme.example.com 1001\"/>",
        ],
    );
    // The time of day decides.
    let (_, text) = traced(&["--from", "alice", "--to", "1004", "--at", "2026-11-25T12:00:00+01:00"]);
    assert_lines(
        &text,
        &["yes Schedule acme/hours: open at Wed 2026-11-25 12:00:00 Europe/Berlin: RingGroup sales"],
    );
}

#[test]
fn without_xml_a_trace_still_reports_that_the_xml_differs() {
    let call = ["--from", "1001", "--to", "1004", "--no-xml"];
    let (code, text) = traced(&call);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ends: Voicemail alice") && !text.contains('<'), "{text}");
    let (_, text) = traced(&[&call[..], &["--format", "json"]].concat());
    let trace: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(trace["current"]["end"]["kind"], "Voicemail", "{text}");
    assert!(!text.contains("\"xml\""), "{text}");

    // A group that rings longer changes only the XML.
    let folder = tempfile::tempdir().unwrap();
    let proposed = folder.path().join("system.yaml");
    let now = std::fs::read_to_string(system()).unwrap();
    let longer = now.replace(
        "{extensionRef: {name: alice}, ringSeconds: 20}",
        "{extensionRef: {name: alice}, ringSeconds: 21}",
    );
    assert_ne!(now, longer);
    std::fs::write(&proposed, longer).unwrap();
    let path = proposed.to_str().unwrap();
    let call = ["--from", "1002", "--to", "2001", "--proposed", path, "--no-xml"];
    let (_, text) = traced(&call);
    assert!(text.ends_with("difference:\n  the XML, which --no-xml leaves out\n"), "{text}");
    let (_, text) = traced(&[&call[..], &["--format", "json"]].concat());
    let trace: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&trace["differs"], text.contains("\"xml\"")), (&true.into(), false), "{text}");
}

#[test]
fn a_menu_tells_where_nothing_and_wrong_keys_lead_and_a_group_who_does_not_ring() {
    let (code, text) = traced(&["--from", "1001", "--to", "5001"]);
    assert_eq!(code, Some(0), "{text}");
    assert_lines(&text, &["ends: IvrMenu welcome", "then, when nothing was pressed:", "ends: Extension bob"]);
    let (_, text) = traced(&["--from", "1001", "--to", "2001"]);
    assert_lines(&text, &["no  RingGroup acme/sales: the caller is a member, and does not ring"]);
}

#[test]
fn a_trace_of_an_emergency_call_shows_every_trunk() {
    let (code, text) = traced(&["--from", "bob", "--to", "112"]);
    assert_eq!(code, Some(0), "{text}");
    assert_lines(
        &text,
        &[
            "yes Tenant acme/acme: 112 is an emergency number",
            "yes Trunk acme/first: 112 is tried by 198.51.100.1, then 198.51.100.2",
            "yes Trunk acme/second: 112 is tried by sip.second.example.net",
            "ends: Trunk acme/first",
            "<action application=\"sleep\" data=\"2000\"/>",
        ],
    );
    // Once, although all of them are tried again.
    assert_eq!(text.matches("Trunk acme/second: 112").count(), 1, "{text}");
}

#[test]
fn a_refused_call_shows_the_reason_and_exits_with_1() {
    let (code, text) = traced(&["--from", "bob", "--to", "030123456"]);
    assert_eq!(code, Some(1), "{text}");
    assert_lines(
        &text,
        &[
            "no  OutboundRoute acme/premium: 030123456 does not begin with 0900",
            "yes OutboundRoute acme/national: it is about 030123456, and makes it +4930123456",
            "no  Extension acme/bob: OutboundRoute national asks for toll class National; the caller has none",
            "ends: Rejected OUTGOING_CALL_BARRED",
        ],
    );
    let (code, text) = traced(&["--from", "bob", "--to", "0190123456"]);
    assert_eq!(code, Some(1), "{text}");
    assert_lines(&text, &["yes DialRule premium: it blocks the call", "ends: Rejected CALL_REJECTED"]);
}

#[test]
fn an_external_call_comes_in_by_the_trunk_of_the_number() {
    let from = ["--from", "+33123456789", "--to", "+493012345603", "--trunk"];
    let (code, text) = traced(&[&from[..], &["acme/first"]].concat());
    assert_eq!(code, Some(0), "{text}");
    let number =
        "yes Number acme/sales: it is +493012345603, and comes in by Trunk acme/first: RingGroup sales";
    assert_lines(
        &text,
        &[number, "ends: RingGroup sales", "then, when the call is not answered:", "ends: Queue support"],
    );
    let (code, text) = traced(&[&from[..], &["acme/second"]].concat());
    assert_eq!(code, Some(1), "{text}");
    assert_lines(
        &text,
        &[
            "no  Trunk acme/second: no Number of the tenant takes +493012345603 from it",
            "ends: Rejected UNALLOCATED_NUMBER",
        ],
    );
}

#[test]
fn a_trace_shows_the_limit_of_calls_abroad_where_a_call_counts() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(system()).unwrap();
    for (most, matched) in [("0", "no "), ("5", "yes")] {
        let limited = text.replace("maxConcurrentCalls: 40", &format!("maxCallsAbroadPerDay: {most}"));
        std::fs::write(folder.path().join("system.yaml"), limited).unwrap();
        let mut trace = command(Some(folder.path()), &["--from", "alice", "--to", "0044207946"]);
        let (code, text) = run(&mut trace);
        assert_eq!(code, Some(i32::from(most == "0")), "{text}");
        let told = format!(
            "{matched} Tenant acme/acme: +44207946 is abroad, where it may call {most} times a day by each switch"
        );
        assert_lines(&text, &[&told]);
    }
}

#[test]
fn a_trace_follows_each_destination_once() {
    let (_, text) = traced(&["--from", "bob", "--to", "1001"]);
    assert_lines(
        &text,
        &[
            "ends: Extension alice",
            "then, when busy:",
            "yes Extension acme/alice: did not take the call (USER_BUSY): Extension bob",
            "ends: Extension bob",
            "then, when no answer:",
            "ends: Voicemail alice",
            "then, when no phone is registered:",
            "ends: Queue support",
            "then, when the caller waited too long:",
            "yes Queue acme/support: did not take the call (timeout): Voicemail alice",
        ],
    );
}

#[test]
fn a_proposal_is_compared_with_the_current_state() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proposal.yaml");
    let original = std::fs::read_to_string(system()).unwrap();
    let schedule = original.split("---\n").find(|part| part.contains("kind: Schedule\n")).unwrap();
    std::fs::write(&file, schedule.replace("to: \"18:00\"", "to: \"21:00\"")).unwrap();
    let path = file.to_str().unwrap();
    let (code, text) = traced(&["--from", "1001", "--to", "1004", "--proposed", path]);
    assert_eq!(code, Some(0), "{text}");
    assert_lines(
        &text,
        &["current:", "proposed:", "difference:", "- ends: Voicemail alice", "+ ends: RingGroup sales"],
    );
    // The part that the change does not concern is equal.
    let (_, text) = traced(&["--from", "1001", "--to", "1002", "--proposed", path]);
    assert!(text.ends_with("difference:\n  none\n"), "{text}");
    let (_, text) = traced(&["--from", "1001", "--to", "1004", "--proposed", path, "--format", "json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["differs"], true);
    assert_eq!(document["current"]["end"]["kind"], "Voicemail");
    assert_eq!(document["proposed"]["end"]["name"], "sales");
    assert!(document["proposed"]["xml"].as_str().unwrap().starts_with("<document"), "{document}");

    // Refused resources of a proposal are reported: the call is traced without them.
    std::fs::write(
        &file,
        schedule.replace("to: \"18:00\"", "to: \"21:00\"").replace("name: sales", "name: sails"),
    )
    .unwrap();
    let output =
        command(Some(&system()), &["--from", "1001", "--to", "1002", "--proposed", path]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let told = errors.contains("refused resources of the proposed manifests")
        && errors.contains("Schedule hours is refused");
    assert!(output.status.success() && told, "{errors}");
}

#[tokio::test]
async fn the_current_state_is_read_from_the_database() {
    let Some(database) = Database::start("trace: a database").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let store = database.store(&Arc::new(Keyring::generate_file(&keys).unwrap())).await;
    let mut seen = ResourceIndex::default();
    for change in Folder::read_once(&[system()]).unwrap().changes {
        seen.apply(change);
    }
    let mut compiled = compile::all(&seen);
    // As on a cluster, where resources have UIDs that no folder gives.
    compiled.tenants[0].1.tenant.id = Uuid::from_u128(7);
    compiled.platform.trunks.values_mut().for_each(|trunk| trunk.id = Uuid::now_v7());
    store.write_platform(&compiled.platform).await.unwrap();
    store.write_tenant(&compiled.tenants[0].1).await.unwrap();
    let (url, keys) = (url(&database), keys.to_str().unwrap());
    let options =
        ["--database-url", &url, "--encryption-key-file", keys, "--from", "1001", "--to", "030123456"];
    let (code, text) = run(&mut command(None, &options));
    assert_eq!(code, Some(0), "{text}");
    assert_lines(&text, &["ends: Trunk acme/first"]);
    // The same manifests, read from a folder, are no difference.
    let (code, text) = run(&mut command(Some(&system()), &options));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("difference:\n  none\n"), "{text}");
    let missing = [
        "--database-url",
        &url,
        "--encryption-key-file",
        keys,
        "--from",
        "1",
        "--to",
        "1",
        "--tenant",
        "a/b",
    ];
    let (code, text) = run(&mut command(None, &missing));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--tenant a/b") && text.contains("acme/acme"), "{text}");
}

#[test]
fn wrong_options_are_refused_with_the_allowed_values() {
    let call = ["--from", "1001", "--to", "1002"];
    for (options, parts) in [
        (&["--from", "1001"][..], &["--to"][..]),
        (&["--from", "1001", "--to", "10 02"], &["--to", "digits"]),
        (&["--from", "1001", "--to", "cx-0-to-extension-bob"], &["--to", "digits"]),
        (&["--from", "1001", "--to", "1002", "--at", "noon"], &["--at", "RFC 3339"]),
        (&["--from", "1001", "--to", "1002", "--tenant", "acme"], &["--tenant", "NAMESPACE/NAME"]),
        (&["--from", "1001", "--to", "1002", "--tenant", "acme/none"], &["--tenant acme/none", "acme/acme"]),
        (&["--from", "nobody", "--to", "1002"], &["--from nobody", "1001 (alice)", "1006 (erik)"]),
        (
            &["--from", "+33", "--to", "1002", "--trunk", "acme/x"],
            &["--trunk acme/x", "acme/first, acme/second"],
        ),
        (&["--from", "1001", "--to", "1002", "--format", "xml"], &["--format", "json"]),
    ] {
        let (code, text) = traced(options);
        assert_eq!(code, Some(2), "{options:?}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{options:?}: {text}");
    }
    let (code, text) = run(&mut command(None, &call));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--manifests"), "{text}");
    let (code, text) = run(&mut command(Some(Path::new("no/such/folder")), &call));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no/such/folder"), "{text}");
}

#[test]
fn a_suspended_tenants_phones_make_emergency_calls_only() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(system()).unwrap();
    let suspended = text.replacen("  domains: [", "  suspended: true\n  domains: [", 1);
    assert_ne!(suspended, text);
    std::fs::write(folder.path().join("system.yaml"), suspended).unwrap();
    let traced = |to| run(&mut command(Some(folder.path()), &["--from", "1001", "--to", to]));
    let (code, text) = traced("112");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("<extension name=\"Emergency\">"), "{text}");
    let (_, text) = traced("1004");
    assert!(text.contains("it is suspended: only emergency calls leave"), "{text}");
    assert!(text.contains("OUTGOING_CALL_BARRED"), "{text}");
}
