//! Changes of an existing object that are allowed, and those that are not.

use serde_json::{Value, json};

use super::{Case, Refusal, sample};

/// All cases: each changes the sample of a kind after it was created.
pub fn changes() -> Vec<Case> {
    let refused = |field: &str, message| Some(Refusal { field: field.to_owned(), message, by_rule: true });
    let case =
        |kind, pointer: &str, value, refused| Case { kind, pointer: pointer.to_owned(), value, refused };
    let mut cases = Vec::new();
    for kind in centrex::resources::crd::KINDS {
        let manifest = sample(kind);
        // An equal value is no change; no other field is compared with its old value.
        cases.push(case(kind, "/spec", manifest["spec"].clone(), None));
        if manifest["spec"].get("tenantRef").is_some() {
            let message = "tenantRef cannot change; create the resource anew under the other tenant";
            cases.push(case(
                kind,
                "/spec/tenantRef/name",
                json!("other"),
                refused("spec.tenantRef", message),
            ));
        }
    }
    let other = json!("0193b6a0-0000-7000-8000-000000000002");
    cases.push(case("Tenant", "/spec/tenantId", other, refused("spec.tenantId", "tenantId cannot change")));
    let message = "tenantId cannot be set or unset later";
    cases.push(case("Tenant", "/spec/tenantId", Value::Null, refused("spec.tenantId", message)));
    cases.push(case("Tenant", "/spec/suspended", json!(true), None));
    cases.push(case("Extension", "/spec/number", json!("1002"), None));
    cases
}
