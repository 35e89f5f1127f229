//! Golden files: each folder of `tests/golden` holds manifests (`input.yaml`) and the plan that compile makes of
//! them (`plan.snap`). A folder's name begins with the kind that the case is about.
//!
//! `INSTA_UPDATE=always cargo test --test pure golden` writes the plans again. Compare each changed plan with
//! its input before you commit: the test only proves that a person once checked the plan.

use std::path::Path;

use centrex::compile::{self, CompiledPlans, Problem};
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use serde::Serialize;
use serde_json::{Value, json};

/// Contents of a golden file: problems first, then the rows in force.
#[derive(Serialize)]
struct Golden<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<GoldenProblem<'a>>,
    #[serde(skip_serializing_if = "is_empty")]
    platform: Value,
    #[serde(skip_serializing_if = "is_empty")]
    tenants: Value,
}

/// A problem, with its fields in reading order.
#[derive(Serialize)]
struct GoldenProblem<'a> {
    resource: String,
    field: &'a str,
    reason: String,
    effect: String,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
}

impl<'a> Golden<'a> {
    fn new(compiled: &'a CompiledPlans) -> Self {
        let tenants =
            compiled.tenants.iter().map(|(key, plan)| (key.to_string(), without_empty(json!(plan))));
        Self {
            problems: compiled.problems.iter().map(problem).collect(),
            platform: without_empty(json!(compiled.platform)),
            tenants: Value::Object(tenants.collect()),
        }
    }
}

fn problem(problem: &Problem) -> GoldenProblem<'_> {
    GoldenProblem {
        resource: problem.resource.to_string(),
        field: &problem.field,
        reason: format!("{:?}", problem.reason),
        effect: format!("{:?}", problem.effect),
        message: &problem.message,
        holder: problem.holder.as_ref().map(ToString::to_string),
    }
}

fn is_empty(value: &Value) -> bool {
    *value == json!({})
}

/// A plan without empty tables.
fn without_empty(plan: Value) -> Value {
    let Value::Object(tables) = plan else { return plan };
    Value::Object(tables.into_iter().filter(|(_, rows)| !is_empty(rows)).collect())
}

/// Reads and compiles as `centrex check` does. A manifest that the API server refuses is no input of compile.
pub fn compiled(input: &Path) -> CompiledPlans {
    let reading = Folder::read_once(&[input.to_owned()]).unwrap();
    assert!(reading.problems.is_empty(), "{}: {:#?}", input.display(), reading.problems);
    let mut index = ResourceIndex::default();
    for change in reading.changes {
        index.apply(change);
    }
    compile::all(&index)
}

#[test]
fn every_input_compiles_to_its_plan() {
    insta::glob!("golden/*/input.yaml", |input| {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(input.parent().unwrap());
        settings.remove_snapshot_suffix();
        settings.remove_input_file();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_yaml_snapshot!("plan", Golden::new(&compiled(input))));
    });
}
