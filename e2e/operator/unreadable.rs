//! Objects of a newer release than the operator's: rows that came from them, or from their owners, stay
//! stored until the objects can be read.

use std::time::Instant;

use serde_json::json;

use super::Site;
use crate::wait::{DEADLINE, until};

/// A newer CRD allows a field that this release does not know.
fn teach(site: &Site, plural: &str) {
    let known = json!([{"op": "add",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/colour",
        "value": {"type": "string"}}]);
    let crd = format!("{plural}.centrex.dev");
    site.cluster.kubectl_ok(&["patch", "crd", &crd, "--type=json", "-p", &known.to_string()]);
}

/// Sets the field; retries because the API server prunes the field until it uses the new CRD.
fn paint(site: &Site, namespace: &str, object: &str) {
    let deadline = Instant::now() + DEADLINE;
    while site.get(namespace, object).unwrap()["spec"]["colour"] != "red" {
        assert!(Instant::now() < deadline, "the API server still prunes the field");
        let red = r#"{"spec": {"colour": "red"}}"#;
        site.cluster.kubectl(&["patch", object, "-n", namespace, "--type=merge", "-p", red]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_unreadable_at_the_start_is_not_treated_as_deleted() {
    let Some(site) = Site::start("operator::what_cannot_be_read").await else { return };
    let operator = site.operator(&[]);
    for name in ["north", "south"] {
        site.tenant(name, ", deletionPolicy: Delete");
        site.cluster.apply(&(site.extension(name, 100) + &site.extension(name, 101)));
        for extension in ["extension/e100", "extension/e101"] {
            site.wait_for(name, extension, "Programmed=True Programmed");
        }
    }
    let schemas =
        [site.schema("north", "north").await.unwrap(), site.schema("south", "south").await.unwrap()];
    let stored = async |schema: &str| site.count(&format!("SELECT count(*) FROM {schema}.extensions")).await;
    teach(&site, "tenants");
    teach(&site, "extensions");
    paint(&site, "north", "tenant/north");
    paint(&site, "south", "extension/e100");
    operator.end("-KILL");

    let operator = site.operator(&[]);
    site.wait_for("south", "tenant/south", "Accepted=False InvalidValue");
    let told = site.get("south", "tenant/south").unwrap()["status"]["conditions"][0]["message"].to_string();
    assert!(told.contains("Extension south/e100 cannot be read"), "{told}");
    assert!(operator.log().contains("Tenant north/north"), "{}", operator.log());
    // Later changes are written: the sweep is over by then.
    site.tenant("late", "");
    site.wait_for("late", "tenant/late", "Programmed=True Programmed");
    for schema in &schemas {
        assert_eq!(stored(schema).await, 2, "{schema}");
    }
    let orphan = "Ready=False RefNotFound".to_owned();
    assert!(!site.conditions("north", "extension/e100").contains(&orphan), "the tenant exists");

    // Once they can be read, nothing has changed; one that is deleted is removed by its policy.
    let plain = r#"{"spec": {"colour": null}}"#;
    for (namespace, object) in [("north", "tenant/north"), ("south", "extension/e100")] {
        site.cluster.patch(namespace, object, plain);
    }
    site.wait_for("south", "tenant/south", "Accepted=True Accepted");
    site.cluster.apply(&(site.extension("north", 102) + &site.extension("south", 102)));
    for (name, schema) in ["north", "south"].iter().zip(&schemas) {
        site.wait_for(name, "extension/e102", "Programmed=True Programmed");
        assert_eq!(stored(schema).await, 3, "{schema}");
    }
    site.cluster.kubectl_ok(&["delete", "tenant", "-n", "north", "north", "--timeout=300s"]);
    let left = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", schemas[0]);
    let gone = until(DEADLINE, || site.get("north", "tenant/north").is_none().then_some(()));
    assert!(gone.is_some() && site.count(&left).await == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlong_name_is_refused_and_one_stored_earlier_is_reported() {
    let Some(site) = Site::start("operator::a_name_that_is_too_long").await else { return };
    site.tenant("north", "");
    let long = site.extension("north", 100).replace("name: e100", &format!("name: {}", "e".repeat(64)));
    let apply = || {
        let output = site.cluster.kubectl_with(&["apply", "-f", "-"], &long);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (taken, said) = apply();
    assert!(!taken && said.contains("metadata.name"), "{said}");

    // The CRDs of an older release allowed such a name.
    let name = "/spec/versions/0/schema/openAPIV3Schema/properties/metadata/properties/name";
    let patch = json!([{"op": "replace", "path": name, "value": {"type": "string"}}]).to_string();
    site.cluster.kubectl_ok(&["patch", "crd", "extensions.centrex.dev", "--type=json", "-p", &patch]);
    assert!(until(DEADLINE, || apply().0.then_some(())).is_some());
    site.cluster.install_crds();
    let operator = site.operator(&[]);
    site.wait_for("north", "tenant/north", "Programmed=True Programmed");
    let told = until(DEADLINE, || site.events("north", "Unreadable").into_iter().next());
    assert!(told.as_ref().is_some_and(|note| note.contains("metadata.name")), "{told:?}\n{}", operator.log());
    // The object can be deleted.
    site.cluster.kubectl_ok(&["delete", "extension", "-n", "north", &"e".repeat(64), "--timeout=300s"]);
}
