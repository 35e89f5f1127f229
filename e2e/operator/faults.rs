//! Postgres unreachable, the API server unreachable, the operator killed during work: no data are lost, and
//! switches answer meanwhile.

use std::time::Duration;

use crate::wait::{DEADLINE, until};

use super::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_survives_an_outage_of_the_api_server() {
    let Some(site) = Site::start("operator::the_api_server_goes_away").await else { return };
    let mut operator = site.operator(&[]);
    let switch = site.switch("switch-1");
    site.apply_samples();
    site.samples_ready();
    let answer = switch.answer("acme-register-1001");
    site.cluster.stop_api_server();
    std::thread::sleep(Duration::from_secs(12)); // an outage longer than the lease
    assert_eq!(switch.answer("acme-register-1001"), answer, "phones do not notice");
    assert!(site.schema("acme", "acme").await.is_some(), "an error is not an empty list");
    site.cluster.start_api_server();
    site.tenant("late", "");
    site.wait_for("late", "tenant/late", "Ready=True Ready");
    assert_eq!(operator.get("/livez").0, 200);
    // The outage was logged in one line with the address, and not by each failed request. An API server that
    // starts refuses some watches for seconds.
    let again = "the API server can be reached again";
    operator.wait_until("that the API server is said to be back", |operator| operator.log().contains(again));
    let log = operator.log();
    let config = std::fs::read_to_string(site.cluster.kubeconfig()).unwrap();
    let url =
        config.split("server: ").nth(1).unwrap().split_whitespace().next().unwrap().trim_matches(['"', ',']);
    let told: Vec<_> = log.lines().filter(|line| line.contains("the API server cannot be reached")).collect();
    assert!(told.iter().any(|line| line.contains(url)), "{url}: {told:?}");
    let of_a_watch = told.iter().filter(|line| line.contains("cannot be watched")).count();
    // The election logs its own failures, once.
    let of_a_request =
        |line: &&str| line.contains("client error") && !line.contains("election: trying again");
    assert_eq!((log.lines().filter(of_a_request).count(), of_a_watch), (0, 0), "{log}");
    assert!(log.matches("election: trying again").count() <= 1, "{log}");
    assert_eq!(switch.answer("acme-register-1001"), answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_survives_an_outage_of_postgres() {
    let Some(site) = Site::start("operator::postgres_goes_away").await else { return };
    let operator = site.operator(&[]);
    let switch = site.switch("switch-1");
    site.apply_samples();
    site.samples_ready();
    let answer = switch.answer("acme-register-1001");
    site.gate.shut(true);
    site.cluster.apply(&site.extension("globex", 7777));
    site.wait_for("globex", "extension/e7777", "Programmed=Unknown StoreFailed");
    let counted = operator.get("/metrics").1;
    assert!(counted.contains("centrex_operator_errors_total{category=\"unreachable\"}"), "{counted}");
    assert_eq!(switch.answer("acme-register-1001"), answer, "phones do not notice");
    assert!(
        site.conditions("acme", "tenant/acme").contains(&"Ready=True Ready".to_owned()),
        "what is stored stays true"
    );
    // A changed password is no change of its Extension; it is not stored yet either.
    site.cluster.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: alice-sip, namespace: acme}, \
         stringData: {password: changed-while-away}}\n---\n\
         {apiVersion: v1, kind: Secret, metadata: {name: carrier-credentials, namespace: carriers}, \
         stringData: {password: changed-while-away}}",
    );
    site.wait_for("acme", "extension/alice", "Programmed=Unknown StoreFailed");
    site.wait_for("carriers", "trunk/carrier", "Programmed=Unknown StoreFailed");
    assert!(
        site.conditions("acme", "extension/bob").contains(&"Programmed=True Programmed".to_owned()),
        "what is stored stays true"
    );
    site.gate.shut(false);
    site.wait_for("globex", "extension/e7777", "Ready=True Ready");
    site.wait_for("acme", "extension/alice", "Ready=True Ready");
    site.wait_for("carriers", "trunk/carrier", "Programmed=True Programmed");
    site.wait_for("acme", "tenant/acme", "Ready=True Ready");
    assert_ne!(switch.answer("acme-register-1001"), answer, "the new password is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_during_a_bulk_apply_completes_it_after_a_restart() {
    let Some(site) = Site::start("operator::killed_at_ten_moments").await else { return };
    let _switch = site.switch("switch-1");
    site.tenant("bulk", "");
    let all: String = (0..300).map(|index| site.extension("bulk", 1000 + index)).collect();
    std::thread::scope(|scope| {
        let applying = scope.spawn(|| site.cluster.apply(&all));
        for turn in 0..10u64 {
            let operator = site.operator(&[]);
            // The moments differ, and are the same in every run.
            std::thread::sleep(Duration::from_millis(300 + turn * 517 % 1900));
            operator.end("-KILL");
        }
        applying.join().unwrap();
    });
    let _operator = site.operator(&[]);
    site.cluster.kubectl_ok(&[
        "wait",
        "-n",
        "bulk",
        "--for=condition=Ready",
        "--timeout=300s",
        "--all",
        "extensions",
    ]);
    let schema = site.schema("bulk", "bulk").await.unwrap();
    assert_eq!(site.count(&format!("SELECT count(*) FROM {schema}.extensions")).await, 300);
    let secrets = site.cluster.kubectl_ok(&["get", "secrets", "-n", "bulk", "-o", "name"]);
    assert_eq!(secrets.lines().count(), 300, "one password each, never two");
    let same = until(DEADLINE, || {
        let status = site.get("bulk", "tenant/bulk")?["status"].clone();
        (status["resources"][0]["ready"] == 300).then_some(())
    });
    assert!(same.is_some(), "{:?}", site.get("bulk", "tenant/bulk"));
}
