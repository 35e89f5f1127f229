//! What callers and phones get of resources that became invalid: the previous state after a mistake, and
//! nothing as soon as a right is withdrawn.

use crate::program::Program;
use crate::wait::{DEADLINE, until};

use super::Site;

const NUMBER: &str = "number/main";
const HANK: &str = "extension/hank";
const CALL: &str = "inbound-442079460000";
const REGISTER: &str = "globex-register-1001";

impl Site {
    fn patch(&self, object: &str, patch: &str) {
        self.cluster.patch("globex", object, patch);
    }

    /// Waits until the first conditions of an object are these.
    fn wait_for_all(&self, object: &str, conditions: &[&str]) {
        let mut told = Vec::new();
        let found = until(DEADLINE, || {
            told = self.conditions("globex", object);
            told.starts_with(&conditions.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()).then_some(())
        });
        assert!(found.is_some(), "{object} never had {conditions:?}: {told:?}");
    }

    fn message(&self, object: &str, condition: &str) -> String {
        let object = self.get("globex", object).unwrap();
        let conditions = object["status"]["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|found| found["type"] == condition).unwrap();
        found["message"].as_str().unwrap().to_owned()
    }
}

/// Waits until an answer contains a text, or no longer does.
fn wait_for_answer(switch: &Program, recording: &str, part: &str, has: bool) {
    let found = until(DEADLINE, || (switch.answer(recording).contains(part) == has).then_some(()));
    assert!(found.is_some(), "{recording}: {part} {has}: {}", switch.answer(recording));
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_invalid_by_mistake_keep_their_previous_rows() {
    let Some(site) = Site::start("operator::what_became_invalid").await else { return };
    let operator = site.operator(&[]);
    let switch = site.switch("switch-1");
    site.apply_samples();
    site.samples_ready();
    site.wait_for("globex", NUMBER, "Ready=True Ready");
    let (call, register) = (switch.answer(CALL), switch.answer(REGISTER));
    assert!(
        call.contains("user/1001@globex.example.com") && register.contains("a1-hash"),
        "{call}{register}"
    );

    // A number with a missing destination.
    let generation = site.get("globex", NUMBER).unwrap()["metadata"]["generation"].as_i64().unwrap();
    let missing = r#"{"spec": {"destination": {"kind": "RingGroup", "name": "nobody"}}}"#;
    site.patch(NUMBER, missing);
    let kept = [
        "Accepted=False RefNotFound",
        "Programmed=True LastGoodKept",
        "Live=True Live",
        "Ready=False RefNotFound",
    ];
    site.wait_for_all(NUMBER, &kept);
    assert_eq!(switch.answer(CALL), call, "the call reaches its previous destination");
    let said = format!(
        "Generation {generation} is in force, but for what was deleted or taken away since; generation {} is refused: spec.destination: ",
        generation + 1
    );
    let told = site.message(NUMBER, "Programmed");
    assert!(told.starts_with(&said), "{told}");
    assert!(site.message(NUMBER, "Ready").contains("spec.destination"));

    // Another operator reads the last good rows from Postgres, computes the same statuses, and writes
    // nothing.
    let before = site.get("globex", NUMBER).unwrap();
    operator.end("-KILL");
    let mut operator = site.operator(&[]);
    operator.wait_until("leadership", |operator| {
        let (_, metrics) = operator.get("/metrics");
        metrics.contains("centrex_operator_leader 1")
            && metrics.contains("centrex_operator_tenants_pending 0")
    });
    site.patch(HANK, r#"{"spec": {"displayName": "Hank Anew"}}"#);
    site.wait_for("globex", HANK, "Ready=True Ready");
    assert_eq!(site.get("globex", NUMBER).unwrap(), before);
    assert_eq!(switch.answer(CALL), call);

    // The number is corrected, then its destination is deleted: the number is removed, too.
    site.patch(NUMBER, r#"{"spec": {"destination": {"kind": "RingGroup", "name": "reception"}}}"#);
    site.wait_for("globex", NUMBER, "Ready=True Ready");
    let told = site.conditions("globex", NUMBER);
    assert!(told.contains(&"Programmed=True Programmed".to_owned()), "{told:?}");
    site.patch(NUMBER, missing);
    site.wait_for_all(NUMBER, &kept);
    site.cluster.kubectl_ok(&["delete", "-n", "globex", "ringgroup", "reception"]);
    site.wait_for_all(NUMBER, &["Accepted=False RefNotFound", "Programmed=False NotAccepted"]);
    wait_for_answer(&switch, CALL, "user/1001@globex.example.com", false);
    site.patch(NUMBER, r#"{"spec": {"destination": {"kind": "Extension", "name": "hank"}}}"#);
    wait_for_answer(&switch, CALL, "user/1001@globex.example.com", true);
    site.wait_for("globex", NUMBER, "Ready=True Ready");

    // The right to the trunk is withdrawn, which is no mistake.
    site.patch("namespace/globex", r#"{"metadata": {"labels": {"centrex.dev/carrier": "none"}}}"#);
    site.wait_for_all(NUMBER, &["Accepted=False RefNotPermitted", "Programmed=False NotAccepted"]);
    wait_for_answer(&switch, CALL, "user/1001@globex.example.com", false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_password_keeps_the_previous_one() {
    let Some(site) = Site::start("operator::a_password_that_cannot_be_used").await else { return };
    let _operator = site.operator(&[]);
    let switch = site.switch("switch-1");
    site.apply_samples();
    site.samples_ready();
    let register = switch.answer(REGISTER);
    site.patch(HANK, r#"{"spec": {"credentials": {"secretRef": {"name": "hank-sip"}}}}"#);
    site.wait_for("globex", HANK, "Ready=True Ready");

    site.patch("secret/hank-sip", r#"{"stringData": {"password": "short"}}"#);
    let conditions = [
        "Accepted=False InvalidSecret",
        "Programmed=True LastGoodKept",
        "Live=True Live",
        "Ready=False InvalidSecret",
    ];
    site.wait_for_all(HANK, &conditions);
    let told = site.message(HANK, "Programmed");
    assert!(told.contains("spec.credentials.secretRef"), "{told}");
    assert_eq!(switch.answer(REGISTER), register, "the phone registers as before");

    // Deleted, so removed.
    site.cluster.kubectl_ok(&["delete", "-n", "globex", "secret", "hank-sip"]);
    site.wait_for("globex", HANK, "Accepted=Unknown CredentialsPending");
    wait_for_answer(&switch, REGISTER, "a1-hash", false);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: hank-sip, namespace: globex}\n\
                  stringData: {password: short}\n";
    site.cluster.apply(secret);
    site.wait_for_all(HANK, &["Accepted=False InvalidSecret", "Programmed=True Programmed"]);
    assert!(!switch.answer(REGISTER).contains("a1-hash"), "a mistake does not restore a withdrawn password");
    site.cluster.apply(&secret.replace("short", "hank-dummy-password"));
    wait_for_answer(&switch, REGISTER, "a1-hash", true);
    site.wait_for("globex", HANK, "Ready=True Ready");

    // A tenant that is suspended and refused for another reason is suspended.
    site.patch("tenant/globex", r#"{"spec": {"suspended": true, "profileRef": {"name": "nobody"}}}"#);
    site.wait_for_all("tenant/globex", &["Accepted=False RefNotFound", "Programmed=True LastGoodKept"]);
    wait_for_answer(&switch, "globex-dial-2000", "user/", false);
    assert_eq!(switch.answer(REGISTER), register, "its phones may call the emergency service");
    site.patch("tenant/globex", r#"{"spec": {"suspended": false, "profileRef": {"name": "small"}}}"#);
    site.wait_for("globex", "tenant/globex", "Ready=True Ready");
    assert_eq!(switch.answer(REGISTER), register);

    // An extension that is deleted while its tenant is refused is removed; the others stay.
    site.patch("tenant/globex", r#"{"spec": {"profileRef": {"name": "nobody"}}}"#);
    let others = ["Accepted=Unknown RefRefused", "Programmed=True LastGoodKept", "Live=True Live"];
    site.wait_for_all("extension/ivy", &others);
    assert_eq!(switch.answer(REGISTER), register);
    site.cluster.kubectl_ok(&["delete", "-n", "globex", "extension", "hank"]);
    wait_for_answer(&switch, REGISTER, "a1-hash", false);
    site.wait_for_all("extension/ivy", &others);
}
