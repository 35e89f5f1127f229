//! `centrex check`, as CI runs it.

use std::path::Path;

use centrex::commands::check::{CheckArgs, run};
use centrex::util::format::Format;
use clap::{Args, Command, FromArgMatches};
use serde_json::Value;

use crate::repository;

/// A small phone system without problems.
const GOOD: &str = "\
apiVersion: centrex.dev/v1alpha1
kind: Tenant
metadata: {name: acme, namespace: acme}
spec: {domains: [acme.example.com]}
---
apiVersion: v1
kind: Secret
metadata: {name: alice-sip, namespace: acme}
stringData: {password: correct-horse-battery}
---
apiVersion: centrex.dev/v1alpha1
kind: Extension
metadata: {name: alice, namespace: acme}
spec:
  tenantRef: {name: acme}
  number: \"1001\"
  credentials: {secretRef: {name: alice-sip}}
";

/// The exit code, and the output on the two streams.
fn check(directory: &Path, format: Format) -> (u8, String, String) {
    let args = CheckArgs { files: vec![directory.to_owned()], format };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut errors);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

fn checked(text: &str, format: Format) -> (u8, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("acme.yaml"), text).unwrap();
    let (code, out, errors) = check(directory.path(), format);
    assert_eq!(errors, "");
    (code, out.replace(directory.path().to_str().unwrap(), "DIR"))
}

#[test]
fn a_valid_system_passes() {
    assert_eq!(checked(GOOD, Format::Text), (0, "3 objects checked: 0 errors, 0 notes\n".into()));
}

#[test]
fn a_wrong_field_is_named_with_its_line() {
    let (code, out) = checked(&GOOD.replace("\"1001\"", "\"ten\""), Format::Text);
    assert_eq!(code, 1);
    assert!(
        out.starts_with(
            "DIR/acme.yaml:16: error: Extension acme/alice: spec.number: must be an internal number"
        ),
        "{out}"
    );
    assert!(out.contains("(Invalid)\n3 objects checked: 1 error, 0 notes\n"), "{out}");
}

#[test]
fn an_error_between_resources_is_reported_with_its_line() {
    let group = "---\napiVersion: centrex.dev/v1alpha1\nkind: RingGroup\nmetadata: {name: sales, namespace: acme}\n\
                 spec:\n  tenantRef: {name: acme}\n  members:\n    - {extensionRef: {name: alice}}\n    - extensionRef:\n        name: bob\n";
    let (code, out) = checked(&format!("{GOOD}{group}"), Format::Text);
    assert_eq!(code, 1, "{out}");
    let start = "DIR/acme.yaml:27: error: RingGroup acme/sales: spec.members[1].extensionRef.name: ";
    assert!(out.starts_with(start) && out.contains("(RefNotFound)"), "{out}");
}

#[test]
fn manifests_are_read_from_a_pipe() {
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "\"$0\" check <(printf %s \"$1\")", env!("CARGO_BIN_EXE_centrex"), GOOD]);
    let output = shell.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(out, "3 objects checked: 0 errors, 0 notes\n", "{output:?}");
}

#[test]
fn codes_without_quotes_are_told_to_be_put_in_quotes() {
    let code = |code: &str| {
        let text = format!(
            "{GOOD}---\napiVersion: centrex.dev/v1alpha1\nkind: FeatureCode\nmetadata: {{name: box, namespace: acme}}\n\
             spec:\n  tenantRef: {{name: acme}}\n  action: CheckVoicemail\n  code: {code}\n"
        );
        checked(&text, Format::Text)
    };
    let (_, out) = code("*97");
    assert!(out.starts_with("DIR/acme.yaml:25: error: is not YAML: "), "{out}");
    assert!(out.contains("if *97 is text, put it in quotes: \"*97\""), "{out}");
    let (_, out) = code("#43");
    assert!(
        out.starts_with(
            "DIR/acme.yaml:25: error: FeatureCode acme/box: spec.code: must be a string, is empty"
        ),
        "{out}"
    );
    assert!(out.contains("what begins with # is a comment: put the value in quotes"), "{out}");
    assert_eq!(code("\"*97\"").0, 0);
}

#[test]
fn a_mistake_keeps_nothing_else_of_its_file_out() {
    let text = GOOD.replace("\"1001\"", "\"ten\"");
    let bob = GOOD.rsplit("---\n").next().unwrap().replace("alice, ", "bob, ").replace("1001", "1002");
    let group = "---\napiVersion: centrex.dev/v1alpha1\nkind: RingGroup\nmetadata: {name: sales, namespace: acme}\n\
                 spec: {tenantRef: {name: acme}, number: \"1002\", members: [{extensionRef: {name: bob}}]}\n";
    let (code, out) = checked(&format!("{text}---\n{bob}{group}"), Format::Text);
    // The group's number is bob's, who is read.
    assert_eq!((code, out.matches("error: ").count()), (1, 2), "{out}");
    assert!(out.contains("(Conflict)") && out.ends_with("5 objects checked: 2 errors, 0 notes\n"), "{out}");
}

#[test]
fn scalars_that_yaml_reads_as_something_else_are_told_to_be_put_in_quotes() {
    let of = |text: &str| {
        let (code, out) = checked(text, Format::Text);
        assert_eq!(code, 1, "{text}: {out}");
        out
    };
    let number = |written: &str| of(&GOOD.replace("\"1001\"", written));
    for (written, read) in [("1001", "1001"), ("1e3", "1000.0"), ("0x1F", "31")] {
        let out = number(written);
        let told = format!("spec.number: must be a string, was read as {read}: put it in quotes");
        assert!(out.contains(&told), "{written}: {out}");
    }
    let out = of(&GOOD.replace("spec: {domains:", "spec: {country: NO, domains:"));
    assert!(out.contains("spec.country: must be a string, was read as false: put it in quotes"), "{out}");
}

#[test]
fn a_ring_group_without_members_is_refused() {
    let group = "---\napiVersion: centrex.dev/v1alpha1\nkind: RingGroup\nmetadata: {name: sales, namespace: acme}\n\
                 spec: {tenantRef: {name: acme}, number: \"1002\", members: []}\n";
    let (code, out) = checked(&format!("{GOOD}{group}"), Format::Text);
    assert!(code == 1 && out.contains("spec.members: must have 1 to 64 items, has 0"), "{out}");
}

#[test]
fn no_destination_leads_to_an_emergency_number() {
    let text = GOOD.replace("spec: {domains:", "spec: {country: DE, domains:")
        + "  forwarding: {always: {kind: ExternalNumber, number: \"+49112\"}}\n";
    let (code, out) = checked(&text, Format::Text);
    assert!(code == 1 && out.contains("+49112 leads to the emergency number 112"), "{out}");
}

#[test]
fn a_waiting_resource_is_a_note() {
    let waiting =
        GOOD.replace("  credentials: {secretRef: {name: alice-sip}}\n", "").replace("alice-sip", "other");
    let (code, out) = checked(&waiting, Format::Text);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(": note: Extension acme/alice: ") && out.contains("0 errors, 1 note"), "{out}");
}

/// Changes one place of the samples, and returns the findings, each as resource, field and reason.
fn changed(file: &str, from: &str, to: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for sample in std::fs::read_dir(repository("deploy/samples")).unwrap() {
        let sample = sample.unwrap();
        let mut text = std::fs::read_to_string(sample.path()).unwrap();
        if sample.file_name() == file {
            assert!(text.contains(from), "{file} has no {from}");
            text = text.replace(from, to);
        }
        std::fs::write(directory.path().join(sample.file_name()), text).unwrap();
    }
    let document: Value = serde_json::from_str(&check(directory.path(), Format::Json).1).unwrap();
    let told = |finding: &Value| {
        let name = finding["resource"]["name"].as_str().unwrap_or_default();
        format!("{name} {} {}", finding["field"].as_str().unwrap(), finding["reason"].as_str().unwrap())
    };
    document["findings"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn resources_of_an_invalid_file_are_not_reported_as_missing() {
    let acme = "10-acme.yaml";
    assert_eq!(changed(acme, "country: DE", "country: Germany"), ["acme spec.country Invalid"]);
    // Neither are the other resources of the file, nor those that wait for them.
    let one = ["carol spec.ringSeconds Invalid"];
    assert_eq!(changed("20-acme-extensions.yaml", "displayName: Carol Example", "ringSeconds: 0"), one);
    let secret = "15-acme-secrets.yaml";
    assert_eq!(changed(secret, "alice-dummy-password", "[]"), ["alice-sip stringData.password Invalid"]);
    // A name that is used twice exists; the name that was replaced does not.
    let twice = changed("20-acme-extensions.yaml", "name: carol, namespace", "name: bob, namespace");
    let carol = ["support spec.agents[1].extensionRef.name", "emergency spec.from.extensionRef.name"];
    let carol = carol.map(|of| format!("{of} RefNotFound"));
    assert_eq!(twice, ["bob metadata.name Invalid", &carol[0], &carol[1]]);
    // A refused resource of another kind with the same name does not count.
    let text =
        GOOD.replace("{domains", "{country: Germany, domains").replace("name: alice, ", "name: acme, ");
    let group = "---\napiVersion: centrex.dev/v1alpha1\nkind: RingGroup\nmetadata: {name: sales, namespace: acme}\n\
                 spec: {tenantRef: {name: other}, number: \"2001\", members: [{extensionRef: {name: acme}}]}\n";
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("acme.yaml"), text).unwrap();
    std::fs::write(directory.path().join("group.yaml"), group).unwrap();
    let (code, out, _) = check(directory.path(), Format::Text);
    assert_eq!((code, out.matches("RefNotFound").count()), (1, 1), "{out}");
    assert!(out.contains("there is no Tenant other in namespace acme (RefNotFound)"), "{out}");
}

/// Extensions `e2000`, `e2001` and so on, whose Secrets are missing: JSON, each on its own lines.
fn many_extensions(number: impl Fn(usize) -> String) -> Vec<String> {
    let extension = |index: usize| {
        format!(
            "{{\"apiVersion\": \"centrex.dev/v1alpha1\", \"kind\": \"Extension\",\n \
             \"metadata\": {{\"name\": \"e{index}\", \"namespace\": \"acme\"}},\n \
             \"spec\": {{\"tenantRef\": {{\"name\": \"acme\"}},\n  \"number\": \"{}\",\n  \
             \"credentials\": {{\"secretRef\": {{\"name\": \"s\"}}}}}}}}",
            number(index)
        )
    };
    (2000..6000).map(extension).collect()
}

/// The lines of the findings, in order of the resources' names.
fn lines_of(text: &str, file: &str) -> Vec<u64> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("0.yaml"), GOOD).unwrap();
    std::fs::write(directory.path().join(file), text).unwrap();
    let document: Value = serde_json::from_str(&check(directory.path(), Format::Json).1).unwrap();
    let of_many = |finding: &&Value| finding["resource"]["name"].as_str().unwrap().starts_with('e');
    let mut findings: Vec<&Value> = document["findings"].as_array().unwrap().iter().filter(of_many).collect();
    findings.sort_by_key(|finding| finding["resource"]["name"].as_str());
    findings.iter().map(|finding| finding["line"].as_u64().unwrap()).collect()
}

/// The check reads each file and walks each document once: separate walks for each finding took many minutes.
#[test]
fn thousands_of_findings_in_a_file_have_their_lines() {
    let every_fifth = |first: u64| -> Vec<u64> { (0..4000).map(|index| first + 5 * index).collect() };
    let right = many_extensions(|index| index.to_string());
    let yaml: String = right.iter().map(|extension| format!("---\n{}\n", extension)).collect();
    let list = |items: &[String]| {
        format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{}\n]}}\n", items.join(",\n"))
    };
    let wrong = many_extensions(|_| "ten".to_owned());
    assert_eq!(lines_of(&right.join("\n"), "stream.json"), every_fifth(5), "what compile finds");
    assert_eq!(lines_of(&list(&right), "list.json"), every_fifth(6), "what compile finds in a List");
    assert_eq!(lines_of(&list(&wrong), "list.json"), every_fifth(5), "lines of a List");
    let with_marker: Vec<u64> = (0..4000).map(|index| 6 + 6 * index).collect();
    assert_eq!(lines_of(&yaml, "many.yaml"), with_marker, "what compile finds in YAML");
}

/// The report about a system with a misspelt name.
fn told(from: &str, to: &str) -> (u8, String) {
    assert!(GOOD.contains(from), "{from}");
    checked(&GOOD.replace(from, to), Format::Text)
}

#[test]
fn a_missing_name_is_reported_with_the_nearest_existing_name() {
    for (from, to, part) in [
        ("number:", "nmber:", "spec.nmber: there is no such field (did you mean number?); fields here are"),
        (
            "kind: Extension",
            "kind: Extention",
            "kind: \"Extention\" is not a kind that Centrex reads (did you mean Extension?)",
        ),
        (
            "tenantRef: {name: acme}",
            "tenantRef: {name: amce}",
            "there is no Tenant amce in namespace acme (did you mean acme?)",
        ),
        (
            "secretRef: {name: alice-sip}",
            "secretRef: {name: alcie-sip}",
            "no Secret alcie-sip yet (did you mean alice-sip?)",
        ),
        ("number: \"1001\"", "number: \"1001\"\n  recording: Alwyas", "is \"Alwyas\" (did you mean Always?)"),
    ] {
        let (_, out) = told(from, to);
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn a_secret_without_the_key_is_an_error_that_names_the_key() {
    let (code, out) = told("{password: correct", "{passwrd: correct");
    assert_eq!(code, 1, "{out}");
    let error = "spec.credentials.secretRef: Secret alice-sip has no key password; create it there; its keys are: passwrd (InvalidSecret)";
    assert!(out.contains(error), "{out}");
    // A resource that is in no file may be defined elsewhere.
    let (code, out) = told("name: alice-sip, namespace", "name: other, namespace");
    assert!(code == 0 && out.ends_with("3 objects checked: 0 errors, 1 note\n"), "{out}");
}

#[test]
fn an_unreadable_file_is_reported_once() {
    let documents: Vec<&str> = GOOD.split("---\n").collect();
    for broken in ["kind: [", "kind: Extention", "\u{0}"] {
        let directory = tempfile::tempdir().unwrap();
        // The Tenant and the Secret are in an unreadable file.
        std::fs::write(directory.path().join("base.yaml"), format!("{broken}\n")).unwrap();
        for (name, number) in [("alice", "1001"), ("bob", "1002"), ("carol", "1003")] {
            let extension = documents[2].replace("alice", name).replace("1001", number);
            std::fs::write(directory.path().join(format!("{name}.yaml")), extension).unwrap();
        }
        let (code, out, _) = check(directory.path(), Format::Text);
        assert_eq!((code, out.matches("error: ").count(), out.matches("note: ").count()), (1, 1, 0), "{out}");
        let end = "3 more are not shown: they may follow from what cannot be read; correct that first\n\
                   3 objects checked: 1 error, 0 notes\n";
        assert!(out.ends_with(end), "{out}");
    }
}

#[test]
fn findings_are_written_as_json() {
    let (code, out) = checked(&GOOD.replace("\"1001\"", "1001"), Format::Json);
    assert_eq!(code, 1);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&document["errors"], &document["notes"], &document["objects"]),
        (&1.into(), &0.into(), &3.into())
    );
    let finding = &document["findings"][0];
    assert_eq!(finding["file"], "DIR/acme.yaml");
    assert_eq!(finding["line"], 16);
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["resource"]["name"], "alice");
    assert_eq!(finding["field"], "spec.number");
    assert_eq!(finding["reason"], "Invalid");
    assert!(finding["message"].as_str().unwrap().contains("put it in quotes"));
}

#[test]
fn a_missing_file_is_an_error_of_the_command_line() {
    let (code, out, errors) = check(Path::new("no/such/folder"), Format::Text);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(errors.starts_with("error: manifests no/such/folder: "), "{errors}");
}

#[test]
fn a_folder_without_manifests_is_a_wrong_path() {
    let directory = tempfile::tempdir().unwrap();
    let (good, empty) = (directory.path().join("good"), directory.path().join("empty"));
    for (folder, file) in [(&good, "acme.yaml"), (&empty, "README.md"), (&empty, ".acme.yaml")] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(file), GOOD).unwrap();
    }
    let error =
        format!("error: {} holds no manifests: files that end with .yaml, .yml or .json\n", empty.display());
    assert_eq!(check(&empty, Format::Text), (2, String::new(), error.clone()));
    let args = CheckArgs { files: vec![good.clone(), empty.clone()], format: Format::Json };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    assert_eq!(run(&args, &mut out, &mut errors), 2, "no path may be a wrong one");
    assert_eq!(String::from_utf8(errors).unwrap(), error);
    // A manifest given by its own path is read whatever its name is, also if it is broken.
    assert_eq!(check(&empty.join("README.md"), Format::Text).0, 0);
    std::fs::write(empty.join("broken.yaml"), "a: [").unwrap();
    assert_eq!(check(&empty, Format::Text).0, 1);
}

/// Each finding follows from the previous one, and checking all of them again for each would take minutes.
#[test]
fn thousands_of_findings_that_follow_from_one_another_are_all_reported() {
    let schedule = |name: String, next: String| {
        format!(
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Schedule\nmetadata: {{name: {name}, namespace: acme}}\n\
             spec: {{tenantRef: {{name: acme}}, open: {next}, closed: {{kind: Extension, name: alice}}}}\n"
        )
    };
    let to = |name: &str, number: usize| format!("{{kind: Schedule, name: {name}{number}}}");
    let mut text = GOOD.to_owned();
    // In the order of their names, each refers to the next.
    for number in 10_000..12_000 {
        text += &schedule(format!("chain{number}"), to("chain", number + 1));
    }
    for number in 10_000..11_000 {
        text += &schedule(format!("one{number}"), to("other", number));
        text += &schedule(format!("other{number}"), to("one", number));
    }
    let (code, out) = checked(&text, Format::Json);
    let told: Value = serde_json::from_str(&out).unwrap();
    let problems = told["findings"].as_array().unwrap();
    let of = |reason: &str| problems.iter().filter(|problem| problem["reason"] == reason).count();
    assert_eq!((code, problems.len()), (1, 4000));
    assert_eq!((of("RefNotFound"), of("Loop"), of("RefRefused")), (1, 1000, 2999));
}

#[test]
fn the_help_says_the_exit_codes() {
    let mut command = CheckArgs::augment_args(Command::new("check"));
    let help = command.render_long_help().to_string();
    assert!(help.contains("Exit codes:") && help.contains("2  wrong usage"), "{help}");
    assert!(help.contains("holds no manifests"), "{help}");
    let matches = command.try_get_matches_from(["check", "--format", "json", "a.yaml", "b"]).unwrap();
    let args = CheckArgs::from_arg_matches(&matches).unwrap();
    assert_eq!((args.files.len(), args.format), (2, Format::Json));
}
