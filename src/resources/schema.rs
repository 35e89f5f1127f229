//! Checks a value against the OpenAPI schema of a CRD, as the API server does: types, required
//! and unknown fields, enums, patterns, lengths, ranges, sets and maps in lists.
//!
//! The schema is compiled once. Supported are those keywords of structural schemas that our CRDs use. Any other
//! type is an error when the schema is compiled, so that no rule is silently ignored.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value};

use super::nearest::did_you_mean;
use super::path::Path;
use super::pattern::{PREPROCESSOR_WORD, pattern_words};

/// A field that violates a rule, and what the rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `spec.members[2].extensionRef.name`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Violation {
    /// A violation at a field.
    pub fn new(field: impl ToString, message: impl Into<String>) -> Self {
        Self { field: field.to_string(), message: message.into() }
    }
}

/// Why a schema cannot be compiled: a bug in this program, not the user's mistake.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The schema has a type that the checker does not support.
    #[error("schema of {field}: type {found} is not supported")]
    Type {
        /// Where in the schema.
        field: String,
        /// The type found.
        found: String,
    },
    /// A pattern is not a regular expression.
    #[error("schema of {field}: {source}")]
    Pattern {
        /// Where in the schema.
        field: String,
        /// What the regular expression's parser says.
        source: Box<regex::Error>,
    },
    /// A CEL rule cannot be compiled.
    #[error("rule of {field}: {message}")]
    Rule {
        /// Where in the schema.
        field: String,
        /// What the CEL compiler says.
        message: String,
    },
    /// A CRD has no schema where one is expected.
    #[error("CRD {0} has no schema")]
    Missing(String),
}

/// A compiled schema.
#[derive(Debug)]
pub struct Schema(Node);

#[derive(Debug)]
enum Node {
    Any,
    Object(Object),
    List(List),
    Text(Text),
    Integer { min: i64, max: i64 },
    Boolean,
}

#[derive(Debug)]
struct Object {
    properties: BTreeMap<String, Node>,
    required: Vec<String>,
    /// Schema of entries that are not in `properties`; `None` when those are not allowed.
    entries: Option<Box<Node>>,
    max_entries: usize,
}

#[derive(Debug)]
struct List {
    items: Box<Node>,
    min: usize,
    max: usize,
    unique: Unique,
}

#[derive(Debug)]
enum Unique {
    No,
    Whole,
    By(Vec<String>),
}

#[derive(Debug)]
struct Text {
    pattern: Option<Regex>,
    members: Vec<String>,
    min: usize,
    max: usize,
    date_time: bool,
}

impl Schema {
    /// Compiles an OpenAPI schema.
    ///
    /// # Errors
    /// When it has an unsupported type or an invalid pattern.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        compile(schema, &Path::Root).map(Self)
    }

    /// All fields of a value that violate the schema.
    pub fn check(&self, value: &Value) -> Vec<Violation> {
        let mut found = Vec::new();
        check(&self.0, value, &Path::Root, &mut found);
        found
    }
}

fn compile(schema: &Value, path: &Path<'_>) -> Result<Node, SchemaError> {
    let size = |key: &str, left_out: usize| {
        schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(left_out)
    };
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        return Ok(Node::Any);
    }
    Ok(match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let mut properties = BTreeMap::new();
            for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                properties.insert(key.clone(), compile(inner, &path.key(key))?);
            }
            let entries = match schema.get("additionalProperties").filter(|inner| inner.is_object()) {
                Some(inner) => Some(Box::new(compile(inner, &path.key("*"))?)),
                None => None,
            };
            let max_entries = size("maxProperties", usize::MAX);
            Node::Object(Object { properties, required: words(schema, "required"), entries, max_entries })
        }
        Some("array") => Node::List(List {
            items: match schema.get("items") {
                Some(items) => Box::new(compile(items, &path.key("*"))?),
                None => Box::new(Node::Any),
            },
            min: size("minItems", 0),
            max: size("maxItems", usize::MAX),
            unique: match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                Some("set") => Unique::Whole,
                Some("map") => Unique::By(words(schema, "x-kubernetes-list-map-keys")),
                _ => Unique::No,
            },
        }),
        Some("string") => Node::Text(Text {
            pattern: match schema.get("pattern").and_then(Value::as_str) {
                Some(pattern) => Some(Regex::new(pattern).map_err(|source| SchemaError::Pattern {
                    field: path.to_string(),
                    source: Box::new(source),
                })?),
                None => None,
            },
            members: words(schema, "enum"),
            min: size("minLength", 0),
            max: size("maxLength", usize::MAX),
            date_time: schema.get("format").and_then(Value::as_str) == Some("date-time"),
        }),
        Some("integer") => {
            let small = schema.get("format").and_then(Value::as_str) == Some("int32");
            let (low, high) =
                if small { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
            // schemars writes limits as floats; all our limits are small whole numbers.
            let limit = |key: &str| schema.get(key).and_then(Value::as_f64).map(|n| n as i64);
            Node::Integer { min: limit("minimum").unwrap_or(low), max: limit("maximum").unwrap_or(high) }
        }
        Some("boolean") => Node::Boolean,
        other => {
            return Err(SchemaError::Type {
                field: path.to_string(),
                found: other.unwrap_or("(none)").to_owned(),
            });
        }
    })
}

fn words(schema: &Value, key: &str) -> Vec<String> {
    let list = schema.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn check(node: &Node, value: &Value, path: &Path<'_>, found: &mut Vec<Violation>) {
    match (node, value) {
        (Node::Any, _) | (Node::Boolean, Value::Bool(_)) => {}
        (Node::Object(object), Value::Object(map)) => check_object(object, map, path, found),
        (Node::List(list), Value::Array(items)) => check_list(list, items, path, found),
        (Node::Text(text), Value::String(string)) => check_text(text, string, path, found),
        (Node::Integer { min, max }, Value::Number(number)) if !number.is_f64() => {
            if !number.as_i64().is_some_and(|n| n >= *min && n <= *max) {
                found.push(Violation::new(path, format!("must be from {min} to {max}, is {number}")));
            }
        }
        (node, value) => found.push(Violation::new(path, wrong_type(node, value))),
    }
}

/// What is said of an empty field.
pub const IS_EMPTY: &str = "is empty: give a value or leave the field out";

fn wrong_type(node: &Node, value: &Value) -> String {
    let wanted = match node {
        Node::Any => "anything",
        Node::Object(_) => "an object",
        Node::List(_) => "a list",
        Node::Text(_) => "a string",
        Node::Integer { .. } => "a whole number",
        Node::Boolean => "true or false",
    };
    match value {
        Value::Null => format!("must be {wanted}, {IS_EMPTY}"),
        Value::Bool(_) | Value::Number(_) if matches!(node, Node::Text(_)) => {
            format!("must be a string, was read as {value}: put it in quotes")
        }
        Value::Bool(found) => format!("must be {wanted}, is {found}"),
        Value::Number(found) => format!("must be {wanted}, is {found}"),
        Value::String(_) => format!("must be {wanted}, is a string"),
        Value::Array(_) => format!("must be {wanted}, is a list"),
        Value::Object(_) => format!("must be {wanted}, is an object"),
    }
}

fn check_object(object: &Object, map: &Map<String, Value>, path: &Path<'_>, found: &mut Vec<Violation>) {
    for key in &object.required {
        if !map.contains_key(key) {
            found.push(Violation::new(path.key(key), "is required"));
        }
    }
    for (key, value) in map {
        match (object.properties.get(key), &object.entries) {
            (Some(node), _) => check(node, value, &path.key(key), found),
            (None, Some(node)) => check(node, value, &path.key(key), found),
            (None, None) => {
                let known: Vec<&str> = object.properties.keys().map(String::as_str).collect();
                let meant = did_you_mean(key, known.iter().copied());
                let message = format!("there is no such field{meant}; fields here are {}", known.join(", "));
                found.push(Violation::new(path.key(key), message));
            }
        }
    }
    if map.len() > object.max_entries {
        let message = format!("must have at most {} entries, has {}", object.max_entries, map.len());
        found.push(Violation::new(path, message));
    }
}

fn check_list(list: &List, items: &[Value], path: &Path<'_>, found: &mut Vec<Violation>) {
    if items.len() < list.min || items.len() > list.max {
        let message = format!("must have {} to {} items, has {}", list.min, list.max, items.len());
        found.push(Violation::new(path, message));
    }
    // Items beyond the limit are not checked: the list can have any length.
    for (index, item) in items.iter().take(list.max).enumerate() {
        check(&list.items, item, &path.index(index), found);
    }
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().take(list.max).enumerate() {
        let (identity, at) = match &list.unique {
            Unique::No => return,
            Unique::Whole => (item.to_string(), String::new()),
            Unique::By(keys) => {
                let values: Vec<String> =
                    keys.iter().filter_map(|key| item.get(key)).map(Value::to_string).collect();
                (values.join(", "), keys.first().map_or_else(String::new, |key| format!(".{key}")))
            }
        };
        if seen.contains(&identity) {
            let field = format!("{}{at}", path.index(index));
            found.push(Violation::new(field, format!("{identity} is in the list already; each only once")));
        }
        seen.insert(identity);
    }
}

fn check_text(text: &Text, string: &str, path: &Path<'_>, found: &mut Vec<Violation>) {
    if !text.members.is_empty() {
        if !text.members.iter().any(|member| member == string) {
            let allowed = text.members.join(", ");
            let meant = did_you_mean(string, text.members.iter().map(String::as_str));
            found.push(Violation::new(
                path,
                format!("must be one of {allowed}; is {}{meant}", quoted(string)),
            ));
        }
        return;
    }
    if string.to_ascii_lowercase().contains(PREPROCESSOR_WORD) {
        found.push(Violation::new(
            path,
            format!("must not hold {PREPROCESSOR_WORD}, a word FreeSWITCH acts on"),
        ));
        return;
    }
    let length = string.chars().count();
    if length < text.min || length > text.max {
        let message = if text.max == usize::MAX {
            format!("must have at least {} characters, has {length}", text.min)
        } else {
            format!("must have {} to {} characters, has {length}", text.min, text.max)
        };
        found.push(Violation::new(path, message));
        return;
    }
    if let Some(pattern) = &text.pattern
        && !pattern.is_match(string)
    {
        let allowed = match pattern_words(pattern.as_str()) {
            Some(words) => format!("{words} (pattern {pattern})"),
            None => format!("what matches {pattern}"),
        };
        found.push(Violation::new(path, format!("must be {allowed}; is {}", quoted(string))));
    }
    if text.date_time && string.parse::<jiff::Timestamp>().is_err() {
        let message = format!("must be a time such as 2027-01-31T12:00:00Z; is {}", quoted(string));
        found.push(Violation::new(path, message));
    }
}

/// A value for an error message: quoted, control characters escaped, at most 80 characters.
fn quoted(string: &str) -> String {
    let cut: String = string.chars().take(80).collect();
    if cut.len() < string.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}
