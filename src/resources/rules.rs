//! The CEL rules of a CRD, evaluated in process where they stand.
//!
//! kube's validator would turn every node of a resource into a CEL value, rules or not; at 100,000
//! extensions that is most of the time of a start. Here only nodes with rules are looked at, and
//! rules about a change only where there is an old object.

use std::collections::BTreeMap;

use kube::core::cel::{CompiledSchema, ValidationError, compile_schema, validate_compiled};
use serde_json::{Value, json};

use super::path::Path;
use super::schema::{SchemaError, Violation};

const KEYWORD: &str = "x-kubernetes-validations";

/// The rules of a schema node and of those below it.
#[derive(Debug, Default)]
pub struct Rules {
    /// Rules about the value itself, and all rules of the node: those about a change among them.
    here: Option<(CompiledSchema, CompiledSchema)>,
    fields: BTreeMap<String, Rules>,
    items: Option<Box<Rules>>,
}

impl Rules {
    /// Compiles the rules of an OpenAPI schema.
    ///
    /// # Errors
    /// When a rule is no CEL.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        compile(schema, &Path::Root).map(Option::unwrap_or_default)
    }

    /// All fields of a value that break a rule. The value keeps its schema. Rules about a change
    /// hold where there is an old value, which is not looked for in lists.
    pub fn check(&self, value: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut found = Vec::new();
        self.walk(value, old, &Path::Root, &mut found);
        found
    }

    fn walk(&self, value: &Value, old: Option<&Value>, path: &Path<'_>, found: &mut Vec<Violation>) {
        if let Some((standing, all)) = &self.here {
            let rules = if old.is_some() { all } else { standing };
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
        let about_change = |rule: &&Value| rule["rule"].as_str().is_some_and(|text| text.contains("oldSelf"));
        let standing = list.iter().filter(|rule| !about_change(rule)).collect();
        rules.here = Some((compile(standing)?, compile(list.iter().collect())?));
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
