//! Hostile text in every field of otherwise valid manifests: refused with the manifest, or harmless in the
//! plan.

use centrex::compile;
use centrex::source::validate::kinds;
use centrex::source::{Object, manifest};
use serde_json::Value;

use super::invariants::inert;
use super::random::indexed;
use crate::hostile::HOSTILE;
use crate::hostile_fields::is_free_text;

const SAMPLES: &str = include_str!("../manifests/every-field.yaml");

fn documents() -> Vec<Value> {
    serde_saphyr::from_multiple(SAMPLES).unwrap()
}

/// Pointers of all strings below a value.
fn strings(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            strings(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, value)| strings(value, &format!("{at}/{index}"), found));
        }
        Value::String(_) => found.push(at.to_owned()),
        _ => {}
    }
}

fn read(document: Value) -> Option<Vec<Object>> {
    let contents = manifest::read(document, kinds().unwrap());
    contents.faults.is_empty().then(|| contents.items.into_iter().map(|item| item.object).collect())
}

#[test]
fn hostile_text_is_refused_or_harmless_in_every_field() {
    let documents = documents();
    let good: Vec<Vec<Object>> = documents.iter().map(|document| read(document.clone()).unwrap()).collect();
    let (mut fields, mut refused, mut taken) = (0, 0, 0);
    for (index, document) in documents.iter().enumerate() {
        let mut pointers = Vec::new();
        for part in ["/spec", "/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/labels"] {
            if let Some(value) = document.pointer(part) {
                strings(value, part, &mut pointers);
            }
        }
        fields += pointers.len();
        for pointer in pointers {
            for hostile in HOSTILE {
                let mut changed = document.clone();
                *changed.pointer_mut(&pointer).unwrap() = Value::from(*hostile);
                let Some(objects) = read(changed) else {
                    refused += 1;
                    continue;
                };
                taken += i32::from(!is_free_text(&pointer));
                let others = good.iter().enumerate().filter(|(other, _)| *other != index);
                let compiled =
                    compile::all(&indexed(others.flat_map(|(_, objects)| objects).cloned().chain(objects)));
                inert(&serde_json::to_value(&compiled.platform).unwrap());
                for (_, plan) in &compiled.tenants {
                    inert(&serde_json::to_value(plan).unwrap());
                }
            }
        }
    }
    // Most texts are refused with the manifest; the few accepted ones are harmless in their field.
    assert!(fields > 150, "{fields} fields");
    assert!(refused > 50 * taken, "{refused} refused, {taken} taken");
}

/// The value of a Secret never appears in any output.
#[test]
fn secrets_appear_in_no_output() {
    let objects: Vec<Object> = documents().into_iter().filter_map(read).flatten().collect();
    let compiled = compile::all(&indexed(objects));
    let shown = format!("{compiled:?}");
    assert!(!shown.contains("from data") && !shown.contains("1234\""), "{shown}");
}
