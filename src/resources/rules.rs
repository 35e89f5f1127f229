//! Evaluates the CEL rules of a CRD in process.
//!
//! kube's validator converts every node of a resource into a CEL value, also nodes without rules; with 100,000
//! extensions that is most of the start-up time. Here only nodes with rules are converted, and transition
//! rules (those with `oldSelf`) are evaluated only if there is an old object.

use std::collections::BTreeMap;

use kube::core::cel::{CompiledSchema, ValidationError, compile_schema, validate_compiled};
use serde_json::{Value, json};

use super::path::Path;
use super::schema::{SchemaError, Violation};

const KEYWORD: &str = "x-kubernetes-validations";

/// The rules of a schema node and of those below it.
#[derive(Debug, Default)]
pub struct Rules {
    /// Rules of this node: without transition rules, and all.
    here: Option<(CompiledSchema, CompiledSchema)>,
    fields: BTreeMap<String, Rules>,
    items: Option<Box<Rules>>,
}

impl Rules {
    /// Compiles the rules of an OpenAPI schema.
    ///
    /// # Errors
    /// When a rule is not valid CEL.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        compile(schema, &Path::Root).map(Option::unwrap_or_default)
    }

    /// All fields of a value that violate a rule. The value must satisfy its schema. Transition rules are
    /// evaluated if `old` is given, but not inside lists.
    pub fn check(&self, value: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut found = Vec::new();
        self.walk(value, old, &Path::Root, &mut found);
        found
    }

    fn walk(&self, value: &Value, old: Option<&Value>, path: &Path<'_>, found: &mut Vec<Violation>) {
        if let Some((static_rules, all)) = &self.here {
            let rules = if old.is_some() { all } else { static_rules };
            if !rules.validations.is_empty()
                && let Err(errors) = validate_compiled(rules, value, old)
            {
                found.extend(errors.into_vec().into_iter().map(|error| violation(path, error)));
            }
        }
        for (key, rules) in &self.fields {
            if let Some(inner) = value.get(key) {
                rules.walk(inner, old.and_then(|old| old.get(key)), &path.key(key), found);
            }
        }
        if let Some(rules) = &self.items {
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                rules.walk(item, None, &path.index(index), found);
            }
        }
    }
}

fn violation(path: &Path<'_>, error: ValidationError) -> Violation {
    let field = match (path, error.field_path.trim_start_matches('.')) {
        (path, "") => path.to_string(),
        (Path::Root, below) => below.to_owned(),
        (path, below) => format!("{path}.{below}"),
    };
    Violation { field, message: error.message }
}

fn compile(schema: &Value, path: &Path<'_>) -> Result<Option<Rules>, SchemaError> {
    let mut rules = Rules::default();
    if let Some(list) = schema.get(KEYWORD).and_then(Value::as_array) {
        let compile = |list: Vec<&Value>| {
            let compiled = compile_schema(&json!({ KEYWORD: list }));
            match compiled.compilation_errors().first() {
                Some(error) => Err(SchemaError::Rule { field: path.to_string(), message: error.to_string() }),
                None => Ok(compiled),
            }
        };
        let is_transition =
            |rule: &&Value| rule["rule"].as_str().is_some_and(|text| text.contains("oldSelf"));
        let static_rules = list.iter().filter(|rule| !is_transition(rule)).collect();
        rules.here = Some((compile(static_rules)?, compile(list.iter().collect())?));
    }
    for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(inner) = compile(inner, &path.key(key))? {
            rules.fields.insert(key.clone(), inner);
        }
    }
    if let Some(items) = schema.get("items") {
        rules.items = compile(items, &path.key("*"))?.map(Box::new);
    }
    let any = rules.here.is_some() || !rules.fields.is_empty() || rules.items.is_some();
    Ok(any.then_some(rules))
}
