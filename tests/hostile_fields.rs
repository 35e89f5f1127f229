//! Hostile text in every string field of every kind.

use centrex::source::manifest;
use centrex::source::validate::kinds;
use serde_json::Value;

/// Text that FreeSWITCH, XML, SQL, a shell or a log would interpret.
const HOSTILE: &[&str] = &[
    "${system(id)}",
    "$${base_dir}",
    "a${x}",
    "\"/><action application=\"system\" data=\"id\"/>",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "a\0b",
    "a\u{1b}[31mb",
    "a,b",
    "a|b",
    "a:_:b",
    "^^:x=1",
    "{x=1}a",
    "[x=1]a",
    "<b>",
    "a<b",
    "a>b",
    "a'b",
    "a\"b",
    "a`id`b",
    "a\\b",
    "X-PRE-PROCESS",
];

/// Pointers to all strings of a manifest.
fn strings(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| strings(item, format!("{at}/{index}"), found));
        }
        Value::Object(map) => {
            for (key, inner) in map {
                strings(inner, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
}

/// Whether a field holds text for people: it is free, and `route::legal::Text` makes it harmless.
pub fn is_free_text(pointer: &str) -> bool {
    let ends = ["/displayName", "/callerId/name", "/callerIdPrefix", "/label"];
    let is_holiday = pointer.contains("/holidays/") && pointer.ends_with("/name");
    let parts = ["/address/", "/settings/"];
    ends.iter().any(|end| pointer.ends_with(end))
        || parts.iter().any(|part| pointer.contains(part))
        || is_holiday
}

/// What not even text for people may have.
fn is_no_text(text: &str) -> bool {
    text.chars().any(char::is_control) || text.eq_ignore_ascii_case("x-pre-process")
}

#[test]
fn hostile_text_is_refused_in_every_string_field() {
    let samples: Vec<Value> =
        serde_saphyr::from_multiple(include_str!("manifests/every-field.yaml")).unwrap();
    let (mut tried, mut free, mut accepted) = (0, 0, Vec::new());
    for sample in &samples {
        let kind = sample["kind"].as_str().unwrap();
        if sample["apiVersion"] == "v1" {
            continue; // a Secret's text is opaque until it is used as a password or a PIN
        }
        let mut fields = Vec::new();
        strings(sample, String::new(), &mut fields);
        for field in &fields {
            if field.starts_with("/metadata/annotations") || field == "/metadata/resourceVersion" {
                continue; // only the API server reads this field: it is not stored and not served
            }
            for hostile in HOSTILE {
                let mut changed = sample.clone();
                *changed.pointer_mut(field).unwrap() = Value::from(*hostile);
                tried += 1;
                let faults = manifest::read(changed, kinds().unwrap()).faults;
                if is_free_text(field) && !is_no_text(hostile) {
                    free += 1;
                    let is_too_long =
                        |fault: &manifest::Fault| fault.violation.message.starts_with("must have");
                    assert!(faults.iter().all(is_too_long), "{kind} {field}: {hostile:?}: {faults:?}");
                } else if faults.is_empty() {
                    accepted.push(format!("{kind} {field}: {hostile:?}"));
                } else {
                    let told = faults.iter().any(|fault| {
                        !fault.violation.field.is_empty() && !fault.violation.message.is_empty()
                    });
                    assert!(told, "{kind} {field}: {hostile:?}: {faults:?}");
                }
            }
        }
    }
    assert!(tried > 3000 && free > 100, "only {tried} were tried, {free} in free text");
    assert_eq!(accepted, [""; 0]);
}
