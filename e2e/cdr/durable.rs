//! Postgres unreachable, the process killed, the disk damaged: acknowledged records are delivered.

use std::time::{Duration, Instant};

use centrex::store::tenant_schema;
use uuid::Uuid;

use super::{Scene, metric, post, request};
use crate::program::Program;
use crate::wait::DEADLINE;

const WAITING: &str = "centrex_cdr_spool_records";

fn waits_for(program: &Program, name: &str, wanted: f64) {
    let start = Instant::now();
    while metric(program, name) != wanted {
        assert!(
            start.elapsed() < DEADLINE,
            "{name} is {}, not {wanted}\n{}",
            metric(program, name),
            program.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn spooled_records_survive_a_restart_and_are_delivered_in_order() {
    let Some(mut scene) = Scene::start("cdr: Postgres away").await else { return };
    let a = scene.a;
    let switch = scene.switch("one", &[]);
    let document = |scene: &Scene, leg| scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg));
    post(&switch, &document(&scene, 1));
    scene.counts(a, 1).await;
    waits_for(&switch, WAITING, 0.0);
    scene.postgres_is(false).await;
    for leg in 2..=6 {
        post(&switch, &document(&scene, leg));
    }
    post(&switch, &document(&scene, 2));
    assert_eq!(metric(&switch, WAITING), 6.0);
    assert!(metric(&switch, "centrex_cdr_spool_bytes") > 100_000.0);
    assert!(metric(&switch, "centrex_cdr_spool_oldest_timestamp_seconds") > 1.7e9);
    assert!(switch.log().contains("spooled until Postgres takes them"), "{}", switch.log());
    switch.end("-KILL");

    // A later process knows neither the URL of Postgres nor the signing keys yet.
    let switch = scene.site.start_command(&mut scene.site.command("one"), "one");
    assert_eq!(metric(&switch, WAITING), 6.0);
    post(&switch, &document(&scene, 7));
    scene.postgres_is(true).await;
    scene.counts(a, 7).await;
    waits_for(&switch, WAITING, 0.0);
    let left = std::fs::read_dir(scene.site.data_dir("one").join("cdrs")).unwrap().count();
    assert_eq!(left, 0, "files of the spool");
    // The oldest records were delivered first.
    let late = format!(
        "SELECT count(*) FROM {schema}.cdrs AS late, {schema}.cdrs AS early
         WHERE late.uuid = '{}' AND early.uuid <> late.uuid AND early.xmin::text::bigint > late.xmin::text::bigint",
        Uuid::from_u128(7),
        schema = tenant_schema(a),
    );
    assert_eq!(scene.scalar(&late).await, 0);
    // New records go to Postgres without the spool again.
    post(&switch, &document(&scene, 8));
    scene.counts(a, 8).await;
    let before = metric(&switch, "centrex_cdrs_total{result=\"spooled\"}");
    post(&switch, &document(&scene, 9));
    assert_eq!(metric(&switch, "centrex_cdrs_total{result=\"spooled\"}"), before);
    switch.end("-TERM");
}

#[tokio::test]
async fn a_full_spool_refuses_records_and_logs_the_reason() {
    let Some(mut scene) = Scene::start("cdr: spool is full").await else { return };
    let a = scene.a;
    let switch = scene.switch("one", &["--cdr-spool-bytes", "50000"]);
    scene.postgres_is(false).await;
    let document = |scene: &Scene, leg| scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg));
    let mut taken = Vec::new();
    for leg in 1..=4 {
        let (status, answer) = switch.send(&request(document(&scene, leg).as_bytes()));
        if status == 200 {
            taken.push(leg);
        } else {
            assert_eq!(status, 503, "{answer}");
            assert!(answer.contains("--cdr-spool-bytes"), "{answer}");
        }
    }
    assert_eq!(taken, [1, 2]);
    assert_eq!(metric(&switch, "centrex_cdrs_total{result=\"refused\"}"), 2.0);
    // Lookups are answered meanwhile.
    assert_eq!(switch.ask("configuration-sofia").0, 200);
    scene.postgres_is(true).await;
    scene.counts(a, 2).await;
    waits_for(&switch, WAITING, 0.0);
    for leg in 3..=4 {
        post(&switch, &document(&scene, leg));
    }
    scene.counts(a, 4).await;
}

#[tokio::test]
async fn a_damaged_spool_file_loses_only_its_damaged_records() {
    let Some(mut scene) = Scene::start("cdr: spoilt spool").await else { return };
    let a = scene.a;
    let switch = scene.switch("one", &[]);
    scene.postgres_is(false).await;
    let documents: Vec<String> =
        (1..=3).map(|leg| scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg))).collect();
    documents.iter().for_each(|document| post(&switch, document));
    switch.end("-KILL");
    let spool = scene.site.data_dir("one").join("cdrs");
    let file = std::fs::read_dir(&spool).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let second = super::find(&bytes, Uuid::from_u128(2).to_string().as_bytes()).unwrap();
    bytes[second] ^= 1;
    bytes.extend(b"\xc5cdr\0\x1a\r\n torn");
    std::fs::write(&file, bytes).unwrap();
    // A file that is no spool file, and one that cannot be read.
    std::fs::write(spool.join("notes.txt"), "not ours").unwrap();
    std::fs::create_dir(spool.join("00000000000000000000.cdrs")).unwrap();
    let switch = scene.site.start_command(&mut scene.site.command("one"), "one");
    scene.postgres_is(true).await;
    scene.counts(a, 2).await;
    let lost =
        format!("SELECT count(*) FROM {}.cdrs WHERE uuid = '{}'", tenant_schema(a), Uuid::from_u128(2));
    assert_eq!(scene.scalar(&lost).await, 0);
    assert!(switch.log().contains("damaged on the disk"), "{}", switch.log());
    assert!(spool.join("notes.txt").exists());
    // FreeSWITCH has nothing to send again; a person might.
    post(&switch, &documents[1]);
    scene.counts(a, 3).await;
}

#[tokio::test]
async fn a_record_that_postgres_rejects_is_quarantined_alone() {
    let Some(mut scene) = Scene::start("cdr: poison").await else { return };
    let (a, schema) = (scene.a, tenant_schema(scene.a));
    let switch = scene.switch("one", &[]);
    scene
        .sql(&format!(
            "CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'of the test' USING ERRCODE = 'XX000'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON {schema}.cdrs FOR EACH ROW
             WHEN (NEW.uuid = '{}') EXECUTE FUNCTION {schema}.fail()",
            Uuid::from_u128(3)
        ))
        .await;
    for leg in 1..=5 {
        post(&switch, &scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg)));
    }
    scene.counts(a, 4).await;
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", 1).await;
    assert_eq!(scene.reasons().await, ["refused"]);
    waits_for(&switch, WAITING, 0.0);
}

#[tokio::test]
async fn a_revoked_insert_right_of_one_tenant_delays_no_other_tenant() {
    let Some(mut scene) = Scene::start("cdr: closed schema").await else { return };
    let (a, b) = (scene.a, scene.b);
    let switch = scene.switch("one", &[]);
    scene.sql(&format!("REVOKE INSERT ON {schema}.cdrs FROM {schema}", schema = tenant_schema(b))).await;
    for leg in 1..=6 {
        let tenant = if leg % 2 == 0 { a } else { b };
        post(&switch, &scene.document("bridged-a-leg.xml", tenant, Uuid::from_u128(leg)));
    }
    scene.counts(a, 3).await;
    scene
        .becomes("SELECT count(*) FROM public.cdr_quarantine WHERE detail LIKE '%permission denied%'", 3)
        .await;
    assert_eq!(scene.reasons().await, ["refused"; 3]);
    waits_for(&switch, WAITING, 0.0);
    scene.sql(&format!("GRANT INSERT ON {schema}.cdrs TO {schema}", schema = tenant_schema(b))).await;
    post(&switch, &scene.document("bridged-a-leg.xml", b, Uuid::from_u128(7)));
    scene.counts(b, 1).await;
}

#[tokio::test]
async fn records_wait_while_the_insert_function_is_missing() {
    let Some(mut scene) = Scene::start("cdr: not as it should be").await else { return };
    let a = scene.a;
    let switch = scene.switch("one", &[]);
    let schemas = [tenant_schema(a), tenant_schema(scene.b)];
    for schema in &schemas {
        let away = format!("ALTER FUNCTION {schema}.take_cdrs(public.cdr[]) RENAME TO away");
        scene.sql(&away).await;
    }
    for leg in 1..=3 {
        post(&switch, &scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg)));
    }
    // Longer than the retries for a failure of a single tenant.
    let start = Instant::now();
    while switch.log().matches("call records wait for Postgres").count() < 7 {
        assert!(start.elapsed() < DEADLINE, "{}", switch.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((scene.reasons().await, metric(&switch, WAITING)), (vec![], 3.0));
    for schema in &schemas {
        scene.sql(&format!("ALTER FUNCTION {schema}.away(public.cdr[]) RENAME TO take_cdrs")).await;
    }
    scene.counts(a, 3).await;
}
