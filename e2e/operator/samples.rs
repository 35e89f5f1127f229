//! What a new user does: install, apply the samples, wait for them, change them, delete them.

use super::Site;

/// All objects of a phone system.
const ALL: &str = "tenants,extensions,trunks,numbers,outboundroutes,ringgroups,queues,ivrmenus,conferences,\
    schedules,featurecodes";

#[tokio::test(flavor = "multi_thread")]
async fn samples_become_ready_and_a_restart_writes_nothing() {
    let Some(site) = Site::start("operator::samples_become_ready").await else { return };
    let operator = site.operator(&[]);
    site.apply_samples();

    // Without a switch everything is Programmed, and Live waits for a switch.
    site.wait_for("acme", "tenant/acme", "Programmed=True Programmed");
    site.wait_for("acme", "tenant/acme", "Live=Unknown NoSwitches");
    site.wait_for("acme", "tenant/acme", "Ready=Unknown NoSwitches");

    let switch = site.switch("switch-1");
    let wait = ["wait", "--for=condition=Ready", "--timeout=300s", "--all-namespaces", "--all", ALL];
    site.cluster.kubectl_ok(&wait);
    let listed = site.cluster.kubectl_ok(&["get", "pbx", "-A"]);
    assert!(
        listed.contains("tenant.centrex.dev/acme") && listed.contains("extension.centrex.dev/"),
        "{listed}"
    );
    site.wait_for("default", "switch/switch-1", "Ready=True Reporting");

    // Rows are in the tenants' schemas, and a switch answers from them.
    for (namespace, name) in [("acme", "acme"), ("globex", "globex")] {
        let schema = site.schema(namespace, name).await.unwrap();
        assert!(site.count(&format!("SELECT count(*) FROM {schema}.extensions")).await > 0);
        let status = site.get(namespace, &format!("tenant/{name}")).unwrap()["status"].clone();
        assert_eq!(status["schema"], schema);
        let extensions =
            status["resources"].as_array().unwrap().iter().find(|r| r["kind"] == "Extension").unwrap();
        assert_eq!(extensions["total"], extensions["ready"], "{status}");
    }
    let registering = switch.answer("acme-register-1001");
    assert!(registering.contains("a1-hash"), "{registering}");

    // The operator restarts, and writes nothing to the API server or to Postgres.
    let transactions = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables
                        WHERE relname NOT IN ('switches', 'switch_state', 'writer')";
    operator.end("-TERM");
    let (writes, rows) = (site.cluster.writes(), site.count(transactions).await);
    let mut operator = site.operator(&[]);
    operator.wait_until("readiness", |operator| operator.get("/readyz").0 == 200);
    operator.wait_until("leadership", |operator| {
        let (_, metrics) = operator.get("/metrics");
        metrics.contains("centrex_operator_leader 1")
            && metrics.contains("centrex_operator_tenants_pending 0")
    });
    assert_eq!(site.count(transactions).await, rows);

    // Two edits, one after the other: each causes at most two status writes, on the edited object alone. When
    // the second is Ready, all writes of the restart and of the first edit are counted.
    for namespace in ["acme", "globex"] {
        let patch = "{\"spec\":{\"displayName\":\"Anna Neu\"}}";
        let extension = site.cluster.kubectl_ok(&["get", "extensions", "-n", namespace, "-o", "name"]);
        let extension = extension.lines().next().unwrap().to_owned();
        site.cluster.patch(namespace, &extension, patch);
        for wanted in [
            "--for=jsonpath={.status.conditions[?(@.type=='Ready')].observedGeneration}=2",
            "--for=condition=Ready",
        ] {
            site.cluster.kubectl_ok(&["wait", "-n", namespace, wanted, "--timeout=300s", &extension]);
        }
    }
    let news = site.cluster.writes().since(&writes);
    let statuses = news.count("PATCH centrex.dev/extensions/status");
    assert!((2..=4).contains(&statuses), "{news:?}");
    assert!(news.total() <= 2 + 2 * statuses, "{news:?}"); // the edits, and the Tenants' counts
}
