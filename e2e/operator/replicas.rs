//! Two replicas: one writes and the other takes over, even if the first still believes that it leads.

use std::time::{Duration, Instant};

use super::Site;
use crate::program::Program;

fn leads(operator: &Program) -> bool {
    operator.get("/metrics").1.contains("centrex_operator_leader 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_replica_takes_over_when_the_first_is_killed_or_stops() {
    let Some(site) = Site::start("operator::the_second_takes_over").await else { return };
    let mut first = site.operator(&["--identity", "first"]);
    first.wait_until("leadership", leads);
    let mut second = site.operator(&["--identity", "second"]);
    site.tenant("one", "");
    site.wait_for("one", "tenant/one", "Programmed=True Programmed");
    assert!(!leads(&second));

    let start = Instant::now();
    first.end("-KILL");
    second.wait_until("leadership", leads);
    let killed = start.elapsed();
    site.tenant("two", "");
    site.wait_for("two", "tenant/two", "Programmed=True Programmed");
    assert!(killed < Duration::from_secs(4 * 3), "a lease of 4 s: {killed:?}");

    // A replica that stops releases the Lease, so the next one need not wait until the Lease expires.
    let mut third = site.operator(&["--identity", "third"]);
    third.wait_until("readiness", |operator| operator.get("/readyz").0 == 200);
    let start = Instant::now();
    second.end("-TERM");
    third.wait_until("leadership", leads);
    eprintln!("failover: killed {killed:?}, left {:?}", start.elapsed());
    site.tenant("three", "");
    site.wait_for("three", "tenant/three", "Programmed=True Programmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_publishes_changes_made_without_a_leader() {
    let Some(site) = Site::start("operator::what_came_while_nobody_led").await else { return };
    site.cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: early}}");
    let mut first = site.operator(&["--identity", "first", "--lease-seconds", "15"]);
    first.wait_until("leadership", leads);
    let mut second = site.operator(&["--identity", "second", "--lease-seconds", "15"]);
    second.wait_until("readiness", |operator| operator.get("/readyz").0 == 200);

    first.end("-KILL");
    site.cluster.apply(&site.extension("early", 100));
    assert!(!leads(&second), "the lease of the first has 15 s: this test shows nothing");
    second.wait_until("leadership", leads);
    site.wait_for("early", "extension/e100", "Ready=False RefNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_the_write_lock_says_so_and_starts_when_it_gets_the_lock() {
    let Some(site) = Site::start("operator::a_leader_that_is_kept_from_writing").await else { return };
    let mut operator = site.operator(&[]);
    operator.wait_until("leadership", leads);
    operator.end("-TERM");
    // As after a restore of the cluster: the Lease counts fewer transitions than Postgres has recorded.
    let mut admin = site.database.admin().await;
    sqlx::raw_sql("UPDATE public.writer SET transition = 100").execute(&mut admin).await.unwrap();

    let mut operator = site.operator(&[]);
    operator.wait_until("fence", |operator| operator.get("/livez").0 == 503);
    let told = operator.get("/livez").1;
    assert!(told.contains("delete the Lease"), "{told}");
    assert!(operator.log().contains("the Lease was set back"), "{}", operator.log());
    assert!(!leads(&operator));

    site.cluster.kubectl_ok(&["delete", "lease", "-A", "--field-selector", "metadata.name=centrex-operator"]);
    operator.wait_until("leadership", leads);
    site.tenant("one", "");
    site.wait_for("one", "tenant/one", "Programmed=True Programmed");
    assert_eq!(operator.get("/livez").0, 200);
}
