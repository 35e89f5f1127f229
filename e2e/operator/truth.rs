//! Statuses are correct: conflicts and their end, waiting, generated passwords.

use std::time::Duration;

use crate::wait::{DEADLINE, until};

use super::Site;

#[tokio::test(flavor = "multi_thread")]
async fn every_condition_of_every_resource_is_correct() {
    let Some(site) = Site::start("operator::the_truth").await else { return };
    let operator = site.operator(&[]);
    let _switch = site.switch("switch-1");

    // A child that is created before its tenant waits for the tenant: no error, and not stalled.
    site.cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: north}}");
    site.cluster.apply(&site.extension("north", 100));
    site.wait_for("north", "extension/e100", "Ready=False RefNotFound");
    assert!(!site.conditions("north", "extension/e100").iter().any(|c| c.starts_with("Stalled")));
    site.tenant("north", "");
    site.wait_for("north", "extension/e100", "Ready=True Ready");

    // The password of this phone was generated: the Secret is owned, and is not generated again while it
    // exists.
    let secret = site.get("north", "secret/e100-sip").unwrap();
    assert_eq!(secret["metadata"]["ownerReferences"][0]["name"], "e100");
    let password = secret["data"]["password"].clone();
    site.cluster.kubectl_ok(&["delete", "secret", "-n", "north", "e100-sip"]);
    let fresh = until(DEADLINE, || site.get("north", "secret/e100-sip")).unwrap();
    assert_ne!(fresh["data"]["password"], password, "deleting the Secret rotates the password");
    site.wait_for("north", "extension/e100", "Ready=True Ready");

    // Two tenants claim one domain: the older keeps it, the younger reports it without naming the other.
    std::thread::sleep(Duration::from_millis(1100)); // creation times are in whole seconds
    site.cluster.apply(
        "{apiVersion: v1, kind: Namespace, metadata: {name: south}}\n---\n\
         apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {name: south, namespace: south}\n\
         spec: {domains: [north.example.com]}\n",
    );
    site.wait_for("south", "tenant/south", "Accepted=False Conflict");
    let message = site.get("south", "tenant/south").unwrap()["status"]["conditions"][0]["message"].clone();
    let message = message.as_str().unwrap();
    assert!(message.contains("another tenant holds the domain north.example.com"), "{message}");
    assert!(!message.contains("north/north"), "{message}");
    assert!(site.get("south", "tenant/south").unwrap()["metadata"]["finalizers"].is_null());
    let events =
        until(DEADLINE, || Some(site.events("south", "Conflict")).filter(|events| !events.is_empty()));
    // One Event, and a second one of the next leader if no watch has returned the status yet.
    let terms = operator.log().matches("writing to the database").count();
    assert!(events.as_ref().unwrap().len() <= terms, "{events:?} in {terms} terms");

    // Deleting the loser changes nothing of the winner; deleting the winner releases the domain.
    site.cluster.kubectl_ok(&["delete", "tenant", "-n", "south", "south", "--timeout=300s"]);
    site.wait_for("north", "tenant/north", "Ready=True Ready");
    assert!(site.schema("north", "north").await.is_some());
    site.cluster.apply(
        "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {name: south, namespace: south}\n\
         spec: {domains: [north.example.com]}\n",
    );
    site.wait_for("south", "tenant/south", "Accepted=False Conflict");
    site.cluster.kubectl_ok(&["delete", "tenant", "-n", "north", "north", "--timeout=300s"]);
    site.wait_for("south", "tenant/south", "Ready=True Ready");
    site.wait_for("north", "extension/e100", "Ready=False RefNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_moves_between_tenants() {
    let Some(site) = Site::start("operator::a_number_moves").await else { return };
    let _operator = site.operator(&[]);
    let _switch = site.switch("switch-1");
    site.apply_samples();
    site.cluster.kubectl_ok(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=300s",
        "-n",
        "acme",
        "--all",
        "numbers",
    ]);
    let list = site.cluster.kubectl_ok(&["get", "numbers", "-n", "acme", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let old = &list["items"][0];
    let (name, number) = (old["metadata"]["name"].as_str().unwrap(), old["spec"]["number"].as_str().unwrap());
    let trunk = &old["spec"]["trunkRef"];
    let target = site.cluster.kubectl_ok(&["get", "extensions", "-n", "globex", "-o", "name"]);
    let target = target.lines().next().unwrap().rsplit('/').next().unwrap().to_owned();
    std::thread::sleep(Duration::from_millis(1100)); // creation times are in whole seconds
    site.cluster.apply(&format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: Number\nmetadata: {{name: moved, namespace: globex}}\n\
         spec: {{tenantRef: {{name: globex}}, number: \"{number}\", trunkRef: {trunk}, \
         destination: {{kind: Extension, name: {target}}}}}\n"
    ));
    site.wait_for("globex", "number/moved", "Accepted=False Conflict");
    // The number is free now. The Number that claims it waits for Postgres: it is not Programmed before its
    // row is stored, however often the statuses are computed meanwhile.
    let mut writer = site.database.admin().await;
    let hold = "BEGIN; LOCK TABLE public.numbers IN SHARE MODE";
    sqlx::raw_sql(hold).execute(&mut writer).await.unwrap();
    site.cluster.kubectl_ok(&["delete", "number", "-n", "acme", name]);
    let _late = site.switch("switch-2");
    until(DEADLINE, || site.get("default", "switch/switch-2")).expect("a second switch");
    // A fixed pause, because the write of this Number's tenant is blocked and no event can be awaited.
    let told = until(Duration::from_secs(3), || {
        let conditions = site.conditions("globex", "number/moved");
        conditions.iter().any(|c| c.starts_with("Programmed=True")).then_some(conditions)
    });
    assert_eq!(told, None, "nothing was written");
    sqlx::raw_sql("ROLLBACK").execute(&mut writer).await.unwrap();
    site.wait_for("globex", "number/moved", "Ready=True Ready");
    let holder = format!(
        "SELECT count(*) FROM public.numbers n JOIN public.tenants t ON t.id = n.tenant_id
         WHERE n.number = '{number}' AND t.name = 'globex'"
    );
    assert_eq!(site.count(&holder).await, 1);
}
