//! Golden files: every folder of `e2e/golden` holds what somebody writes (`input.yaml`) beside what
//! compile makes of it (`plan.yaml`).
//!
//! `CENTREX_BLESS=1 cargo test golden` writes the plans anew. What it writes is then to be read:
//! a plan is right because somebody compared it with its input, not because it was written.

use std::fs;
use std::path::{Path, PathBuf};

use centrex::compile::{self, CompiledPlans, Effect, Problem};
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use serde_json::{Value, json};

/// Longest line that a map or list is written in.
const WIDTH: usize = 110;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// Reads and compiles a case as `centrex check` does: a manifest the API server would refuse is no
/// case for compile.
fn compiled(case: &Path) -> CompiledPlans {
    let reading = Folder::read_once(&[case.join("input.yaml")]).unwrap();
    assert!(reading.problems.is_empty(), "{}: {:#?}", case.display(), reading.problems);
    let mut world = ResourceIndex::default();
    for change in reading.changes {
        world.apply(change);
    }
    compile::world(&world)
}

/// What compile made: first what is wrong, then what is in force. Kinds without a row are left out.
fn written(compiled: &CompiledPlans) -> String {
    let mut text = String::new();
    if !compiled.problems.is_empty() {
        text += "problems:\n";
    }
    for Problem { resource, field, reason, effect, message, holder, .. } in &compiled.problems {
        text += &format!("  - resource: {resource}\n    field: {field}\n    reason: {reason:?}\n");
        text += &format!("    effect: {effect:?}\n    message: {}\n", plain(message));
        if let Some(holder) = holder {
            text += &format!("    holder: {holder}\n");
        }
    }
    let tenants = compiled.tenants.iter().map(|(key, plan)| (key.to_string(), without_empty(json!(plan))));
    for (name, value) in
        [("platform", without_empty(json!(compiled.platform))), ("tenants", Value::Object(tenants.collect()))]
    {
        if value != json!({}) {
            write(&mut text, 0, name, &value);
        }
    }
    text
}

fn without_empty(plan: Value) -> Value {
    let Value::Object(kinds) = plan else { return plan };
    Value::Object(kinds.into_iter().filter(|(_, rows)| *rows != json!({})).collect())
}

/// Writes `name: value` as YAML: in one line where it fits, else a line for each of its parts.
fn write(text: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let line = format!("{indent}{}: {}\n", plain(name), flow(value));
    let short = line.len() <= WIDTH;
    match value {
        Value::Object(map) if !short || depth == 0 => {
            *text += &format!("{indent}{}:\n", plain(name));
            for (name, value) in map {
                write(text, depth + 1, name, value);
            }
        }
        Value::Array(list) if !short || depth == 0 => {
            *text += &format!("{indent}{}:\n", plain(name));
            for value in list {
                *text += &format!("{indent}  - {}\n", flow(value));
            }
        }
        _ => *text += &line,
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("{}: {}", plain(name), flow(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// A string without quotes where YAML reads it as a string and as nothing else.
fn plain(text: &str) -> String {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let harmless = |c: char| c.is_alphanumeric() || " ._/@-".contains(c);
    let word = ["true", "false", "yes", "no", "null", "on", "off", "y", "n"];
    if starts && text.chars().all(harmless) && !text.ends_with(' ') && !word.contains(&text) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[test]
fn every_input_compiles_to_its_plan() {
    let bless = std::env::var_os("CENTREX_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let plan = written(&compiled(&case));
        let path = case.join("plan.yaml");
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if bless {
            fs::write(&path, &plan).unwrap();
        } else if golden != plan {
            wrong.push(format!("{}:\n{}", case.display(), difference(&golden, &plan)));
        }
    }
    assert!(wrong.is_empty(), "compile makes something else now:\n{}", wrong.join("\n"));
}

/// Lines of only one of two texts.
fn difference(golden: &str, found: &str) -> String {
    let only = |a: &str, b: &str, mark: char| -> String {
        a.lines()
            .filter(|line| !b.lines().any(|l| l == *line))
            .map(|line| format!("{mark} {line}\n"))
            .collect()
    };
    only(golden, found, '-') + &only(found, golden, '+')
}

/// What is refused is tested as often as what is taken, and what was written can be read again.
#[test]
fn cases_are_many_and_balanced() {
    let (mut taken, mut refused) = (0, 0);
    for case in cases() {
        let compiled = compiled(&case);
        let plan: Value = serde_saphyr::from_str(&written(&compiled)).unwrap();
        let problems = plan.get("problems").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(problems, compiled.problems.len(), "{}", case.display());
        if compiled.problems.iter().any(|problem| problem.effect != Effect::Waiting) {
            refused += 1;
        } else {
            taken += 1;
        }
    }
    assert!(taken >= 22, "{taken} cases without a refusal");
    assert!(refused >= 22, "{refused} cases with a refusal");
}
