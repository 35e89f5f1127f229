//! Manifests of every kind that are accepted or refused: one list for the checks in process
//! (`tests/validate.rs`) and for a real API server (`e2e/cluster/verdicts.rs`).

mod changes;
mod fields;
mod rules;

pub use changes::changes;
use serde_json::Value;

/// A complete manifest of every kind: every field is set in one of them.
const SAMPLES: &str = include_str!("../manifests/every-field.yaml");

/// All of them.
pub fn samples() -> Vec<Value> {
    serde_saphyr::from_multiple(SAMPLES).unwrap()
}

/// The first of a kind.
pub fn sample(kind: &str) -> Value {
    samples()
        .into_iter()
        .find(|sample| sample["kind"] == kind)
        .unwrap_or_else(|| panic!("no sample of {kind}"))
}

/// A manifest with one field changed, or removed if the value is null.
pub fn with(mut manifest: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match manifest.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Object(map) if value.is_null() => {
            map.remove(key).unwrap_or_else(|| panic!("no {pointer}"));
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{parent} holds nothing"),
    }
    manifest
}

/// One change to the sample of a kind, and the expected result.
pub struct Case {
    /// The kind.
    pub kind: &'static str,
    /// The field that is changed.
    pub pointer: String,
    /// Its value; null removes it.
    pub value: Value,
    /// Why it is refused; `None` if it is accepted.
    pub refused: Option<Refusal>,
}

/// An expected refusal.
pub struct Refusal {
    /// The field that is named.
    pub field: String,
    /// Part of the message. A rule's message is the same in process and on an API server.
    pub message: &'static str,
    /// True for a rule in CEL, false for the schema.
    pub by_rule: bool,
}

impl Case {
    /// The sample with its change.
    pub fn manifest(&self) -> Value {
        with(sample(self.kind), &self.pointer, self.value.clone())
    }

    /// Names the case in a failure.
    pub fn name(&self) -> String {
        format!("{} {} = {}", self.kind, self.pointer, self.value)
    }
}

/// All cases of new objects; `changes` has those of existing objects.
pub fn creations() -> Vec<Case> {
    let fields = fields::table().into_iter().map(|(kind, pointer, value, field, message)| Case {
        kind,
        pointer: pointer.to_owned(),
        value,
        refused: Some(Refusal { field: field.to_owned(), message, by_rule: false }),
    });
    let accepted = fields::accepted().into_iter().map(|(kind, pointer, value)| Case {
        kind,
        pointer: pointer.to_owned(),
        value,
        refused: None,
    });
    fields.chain(accepted).chain(rules::cases()).collect()
}

/// The path in a message for a JSON pointer: `spec.match[0]` for `/spec/match/0`.
pub fn field(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(part),
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    path
}
