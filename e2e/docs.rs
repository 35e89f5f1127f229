//! The documents describe what the program does.

use std::collections::BTreeSet;
use std::process::Command;

use centrex::compile::Reason;
use centrex::resources::crd;

use crate::program::{repository, run};

fn read(file: &str) -> String {
    std::fs::read_to_string(repository(file)).unwrap()
}

fn reasons() -> BTreeSet<String> {
    Reason::ALL.into_iter().map(|reason| format!("{reason:?}")).chain(["Invalid".to_owned()]).collect()
}

#[test]
fn the_table_of_conditions_is_generated() {
    let path = repository("docs/conditions.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("| condition |").expect("a table");
    let now = format!("{before}{}", centrex::status::reason::tables());
    if std::env::var_os("CENTREX_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), now, "CENTREX_BLESS=1 writes it");
}

#[test]
fn every_reason_is_documented() {
    let text = read("docs/resources.md");
    let rows = text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()));
    assert_eq!(rows.collect::<BTreeSet<_>>(), reasons());
}

#[test]
fn every_kind_is_documented_and_the_examples_compile() {
    let text = read("docs/resources.md");
    for kind in crd::KINDS {
        assert!(text.contains(&format!("**{kind}**")), "{kind} is not explained");
    }
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let all = examples.join("---\n");
    for kind in crd::KINDS.iter().filter(|kind| **kind != "Switch") {
        assert!(all.contains(&format!("\nkind: {kind}\n")), "{kind} has no example");
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("examples.yaml"), all).unwrap();
    let (code, text) = run(Command::new(env!("CARGO_BIN_EXE_centrex")).arg("check").arg(directory.path()));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("0 errors, 0 notes\n"), "{text}");
}

#[test]
fn every_option_of_standalone_is_documented() {
    let (code, help) = run(Command::new(env!("CARGO_BIN_EXE_centrex")).args(["standalone", "--help"]));
    assert_eq!(code, Some(0), "{help}");
    let option = |line: &str| Some(line.split_whitespace().find(|word| word.starts_with("--"))?.to_owned());
    let options: BTreeSet<String> =
        help.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(option).collect();
    let page = read("docs/standalone.md");
    let documented =
        page.split('`').filter_map(|code| code.starts_with("--").then(|| option(code)).flatten());
    let mut documented: BTreeSet<String> = documented.collect();
    documented.insert("--help".to_owned());
    assert!(options.len() > 9, "{options:?}");
    assert_eq!(documented, options);
}

#[test]
fn the_samples_have_no_problem() {
    let (code, text) =
        run(Command::new(env!("CARGO_BIN_EXE_centrex")).arg("check").arg(repository("deploy/samples")));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("0 errors, 0 notes\n"), "{text}");
}
