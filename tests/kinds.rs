//! CONTRIBUTING.md's list of the files that a kind needs: each exists, and names every kind.

use std::collections::BTreeMap;
use std::fs;

use centrex::compile::Effect;
use centrex::resources::crd;
use serde_json::Value;

use crate::golden::compiled;
use crate::repository;

/// A row of the table.
struct RequiredText {
    /// File, with the placeholders of a kind.
    file: String,
    /// Text that the file must contain, with the placeholders of a kind.
    text: String,
    /// Kinds that the file does not need to name.
    without: Vec<String>,
}

/// Texts in backquotes.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The table below "How to add a kind": file, text, what it is for, kinds without it.
fn required_texts() -> Vec<RequiredText> {
    let page = fs::read_to_string(repository("CONTRIBUTING.md")).unwrap();
    let section = page.split("## How to add a kind").nth(1).expect("the section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let [file, text, _, without] = cells[..] else { panic!("four cells in {row}") };
        let one = |cell| <[String; 1]>::try_from(code(cell)).unwrap_or_else(|_| panic!("one name in {cell}"));
        let ([file], [text]) = (one(file), one(text));
        RequiredText { file, text, without: code(without) }
    })
    .collect()
}

/// `RingGroup` as `ring_group`.
fn snake_case(kind: &str) -> String {
    let mut snake = String::new();
    for letter in kind.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn every_file_of_the_list_names_every_kind() {
    let definitions = crd::all();
    let required = required_texts();
    assert!(required.len() > 10, "only {} rows", required.len());
    let mut missing = Vec::new();
    for definition in &definitions {
        let names = &definition.spec.names;
        let filled = |text: &str| {
            let text = text.replace("<kind>", &snake_case(&names.kind)).replace("<Kind>", &names.kind);
            text.replace("<plural>", &names.plural)
        };
        for row in &required {
            let (file, text) = (filled(&row.file), filled(&row.text));
            let content = fs::read_to_string(repository(&file)).unwrap_or_default();
            match (row.without.contains(&names.kind), content.contains(&text)) {
                (false, false) => missing.push(format!("{file} has no {text}")),
                (true, true) => missing.push(format!("{file} has {text}, and the list says it has not")),
                _ => {}
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Kinds that compile reads, and never refuses: what refers to them is refused.
const NEVER_REFUSED: &[&str] = &["MediaFile", "TenantProfile"];
/// Kinds that compile does not read.
const NOT_COMPILED: &[&str] = &["Device", "Switch"];

#[test]
fn every_kind_has_golden_cases_that_are_accepted_and_refused() {
    let mut cases: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in fs::read_dir(repository("tests/golden")).unwrap() {
        let input = case.unwrap().path().join("input.yaml");
        let compiled = compiled(&input);
        let manifests: Vec<Value> =
            serde_saphyr::from_multiple(&fs::read_to_string(&input).unwrap()).unwrap();
        for manifest in manifests {
            let (kind, name) =
                (manifest["kind"].as_str().unwrap(), manifest["metadata"]["name"].as_str().unwrap());
            let is_refused = compiled.problems.iter().any(|problem| {
                problem.effect != Effect::Waiting
                    && problem.resource.kind.as_str() == kind
                    && problem.resource.name == name
            });
            let (accepted, refused) = cases.entry(kind.to_owned()).or_default();
            *if is_refused { refused } else { accepted } += 1;
        }
    }
    for kind in crd::KINDS.iter().filter(|kind| !NOT_COMPILED.contains(kind)) {
        let (accepted, refused) = cases.get(*kind).copied().unwrap_or_default();
        assert!(accepted > 0, "no golden case accepts a {kind}");
        assert_eq!(refused == 0, NEVER_REFUSED.contains(kind), "{kind} is refused by {refused} golden cases");
    }
}
