//! Mistakes in manifests, as `centrex check` reports them: with file, line, resource, field and reason.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::program::{Setting, run};

/// A mistake made in the samples.
struct Case {
    what: &'static str,
    file: &'static str,
    /// Text of the file, and what is put in its place.
    edit: (&'static str, &'static str),
    /// The expected report: the resource, its field, the reason, and a part of the message.
    told: (&'static str, &'static str, &'static str, &'static str),
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let case = |what, file, edit, told| Case { what, file, edit, told };
    let (acme, carol) = ("20-acme-extensions.yaml", "Extension acme/carol");
    vec![
        case("no YAML", acme, ("displayName: Carol Example", "displayName: Carol: Example"), ("", "", "Invalid", "is not YAML")),
        case("unknown kind", acme, ("kind: Extension\nmetadata: {name: carol", "kind: Extention\nmetadata: {name: carol"),
            ("", "kind", "Invalid", "kinds are Conference, ConfigMap")),
        case("unknown field", acme, ("displayName: Carol Example", "diplayName: Carol Example"), (carol, "spec.diplayName", "Invalid", "fields here are callerId")),
        case("a WebSocket port", "05-sip-profiles.yaml", ("sipPort: 5060", "sipPort: 5060\n  wssPort: 7443"), ("SipProfile -/internal", "spec.wssPort", "Invalid", "fields here are bindAddress")),
        case("wrong type", acme, ("\"1003\"", "1003"), (carol, "spec.number", "Invalid", "must be a string, was read as 1003: put it in quotes")),
        case("out of range", acme, ("ringSeconds: 25", "ringSeconds: 0"), ("Extension acme/alice", "spec.ringSeconds", "Invalid", "from 1 to 300, is 0")),
        case("one name twice", acme, ("name: carol, namespace", "name: bob, namespace"), ("Extension acme/bob", "metadata.name", "Invalid", "a name can be used once")),
        case("illegal pattern", "20-acme-outbound.yaml", ("{prefix: \"0\", strip", "{prefix: \"0[1-9]\", strip"), ("OutboundRoute acme/national", "spec.match[0].prefix", "Invalid", "must")),
        case("${system(id)}", acme, ("\"1003\"", "\"${system(id)}\""), (carol, "spec.number", "Invalid", "1 to 15 digits")),
        case("markup", acme, ("tollClasses: [Local]", "tollClasses: ['\"/><action data=\"id\"/>']"), (carol, "spec.tollClasses[0]", "Invalid", "letters and digits")),
        case("a newline", acme, ("displayName: Carol Example", "displayName: \"Carol\\nExample\""), (carol, "spec.displayName", "Invalid", "without control characters")),
        case("a NUL", acme, ("displayName: Carol Example", "displayName: \"Carol\\0Example\""), (carol, "spec.displayName", "Invalid", "without control characters")),
        case("the preprocessor", acme, ("displayName: Carol Example", "displayName: X-PRE-PROCESS"), (carol, "spec.displayName", "Invalid", "FreeSWITCH acts on")),
        case("duplicate number", acme, ("\"1003\"", "\"1002\""), (carol, "spec.number", "Conflict", "Extension bob")),
        case("dangling reference", acme, ("{kind: Extension, name: carol}", "{kind: Extension, name: nobody}"), ("Extension acme/bob", "spec.forwarding.noAnswer", "RefNotFound", "no Extension nobody")),
        case("circle", acme, ("  tollClasses: [Local]\n", "  forwarding: {noAnswer: {kind: Extension, name: bob}}\n"), ("Extension acme/", "spec.forwarding.noAnswer", "Loop", "round in a circle")),
        case("emergency shadowed", acme, ("\"1003\"", "\"112\""), (carol, "spec.number", "EmergencyShadowed", "112")),
        case("on what is refused", acme, ("\"1003\"", "\"112\""), ("Extension acme/bob", "spec.forwarding.noAnswer", "RefRefused", "carol")),
        case("limit exceeded", "05-tenant-profiles.yaml", ("maxExtensions: 200", "maxExtensions: 2"), (carol, "metadata.name", "LimitExceeded", "maxExtensions")),
        case("domain taken", "10-globex.yaml", ("[globex.example.com,", "[acme.example.com,"), ("Tenant globex/globex", "spec.domains[0]", "Conflict", "acme")),
        case("number taken", "20-globex-phones.yaml", ("\"+442079460000\"", "\"+493023125000\""), ("Number globex/main", "spec.number", "Conflict", "acme")),
        case("trunk not lent", "10-globex.yaml", ("labels: {centrex.dev/carrier: default}", "labels: {example.com/carrier: none}"),
            ("OutboundRoute globex/national", "spec.trunks[0]", "RefNotPermitted", "carriers")),
        case("no such zone", "10-acme.yaml", ("Europe/Berlin", "Europe/Atlantis"), ("Tenant acme/acme", "spec.timeZone", "InvalidValue", "Europe/Atlantis")),
        case("feature not sold", "20-globex-phones.yaml", ("displayName: Hank Example", "recording: Always"), ("Extension globex/hank", "spec.recording", "NotAllowed", "recording")),
        case("a test that fails", "25-acme-tests.yaml", ("{kind: Voicemail, name: alice}", "{kind: IvrMenu, name: welcome}"), ("RoutingTest acme/night", "spec.expect", "TestFailed", "then ends at Voicemail alice, not at")),
        case("useless password", "15-acme-secrets.yaml", ("alice-dummy-password", "short"), ("Extension acme/alice", "spec.credentials.secretRef", "InvalidSecret", "8 to 128")),
    ]
}

/// The output of `centrex check` without the path of the test's folder; panics if it finds no problem.
fn check(setting: &Setting, format: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
    let (code, text) = run(command.args(["check", "--format", format]).arg(setting.manifests()));
    assert_eq!(code, Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text.replace(setting.manifests().to_str().unwrap(), "")
}

#[test]
fn check_reports_each_mistake_with_its_line_its_field_and_the_allowed_values() {
    let mut reasons = BTreeSet::new();
    for Case { what, file, edit: (from, to), told: (resource, field, reason, part) } in cases() {
        let setting = Setting::samples();
        setting.edit(file, from, to);
        let text = check(&setting, "json");
        let document: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        let is = |finding: &&Value| {
            let of = &finding["resource"];
            let named = match of.as_object() {
                Some(_) => format!(
                    "{} {}/{}",
                    of["kind"].as_str().unwrap(),
                    of["namespace"].as_str().unwrap_or("-"),
                    of["name"].as_str().unwrap()
                ),
                None => String::new(),
            };
            named.starts_with(resource)
                && finding["field"] == field
                && finding["reason"] == reason
                && finding["severity"] == "error"
        };
        let finding = document["findings"].as_array().unwrap().iter().find(is);
        let finding =
            finding.unwrap_or_else(|| panic!("{what}: {resource}: {field}: {reason} is not in {text}"));
        let message = finding["message"].as_str().unwrap();
        assert!(message.contains(part), "{what}: {message}");
        // Some mistakes are reported where they have an effect, not where they were made.
        let file = match reason {
            "LimitExceeded" => "20-acme-extensions.yaml",
            "RefNotPermitted" => "20-globex-phones.yaml",
            "InvalidSecret" => "20-acme-extensions.yaml",
            _ => file,
        };
        assert_eq!(finding["file"], format!("/{file}"), "{what}");
        let line = finding["line"].as_u64().unwrap_or_else(|| panic!("{what}: no line in {finding}"));

        // The text output says the same.
        let text = check(&setting, "text");
        let start = format!("/{file}:{line}: error: ");
        let same = text.lines().any(|line| {
            line.starts_with(&start)
                && line.contains(field)
                && line.ends_with(&format!("{message} ({reason})"))
        });
        assert!(same, "{what}: {text}");
        reasons.insert(reason.to_owned());
    }
    assert_eq!(reasons.len(), 12, "{reasons:?}");
}
