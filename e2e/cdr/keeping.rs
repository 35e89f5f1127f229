//! Retention of call records, and the bound on the quarantine.

use centrex::store::{cdrs, tenant_schema};
use uuid::Uuid;

use super::Scene;

/// Inserts a record that began and was received a number of days ago.
fn insert(tenant: Uuid, leg: u128, began: &str, received: &str) -> String {
    format!(
        "INSERT INTO {}.cdrs (uuid, leg, started_at, received_at, clock_skewed)
         VALUES ('{}', 'a', now() - interval '{began}', now() - interval '{received}', false);",
        tenant_schema(tenant),
        Uuid::from_u128(leg)
    )
}

#[tokio::test]
async fn only_records_past_their_retention_are_removed() {
    let Some(mut scene) = Scene::start("cdr: retention").await else { return };
    let (a, b) = (scene.a, scene.b);
    let schema = tenant_schema(a);
    scene
        .sql(&format!("UPDATE public.tenants SET body = body || '{{\"cdrDays\": 90}}' WHERE id = '{a}'"))
        .await;
    for tenant in [a, b] {
        scene.sql(&insert(tenant, 1, "1 day", "1 day")).await;
        scene.sql(&insert(tenant, 2, "89 days", "89 days")).await;
        scene.sql(&insert(tenant, 3, "91 days", "91 days")).await;
        scene.sql(&insert(tenant, 4, "400 days", "400 days")).await;
        // A record with a wrong clock, or one that arrived late.
        scene.sql(&insert(tenant, 5, "370 days", "1 day")).await;
        scene.sql(&insert(tenant, 6, "50 years", "1 day")).await;
        scene.sql(&insert(tenant, 7, "50 years", "91 days")).await;
    }
    let quarantined = |days: u32| {
        format!(
            "INSERT INTO public.cdr_quarantine VALUES ('\\x{days:02}', 'no_token', '', NULL, NULL, now() - interval '{days} days', '')"
        )
    };
    scene.sql(&quarantined(29)).await;
    scene.sql(&quarantined(31)).await;

    let keeping = tokio::spawn(cdrs::prune(scene.store.clone()));
    let left =
        format!("SELECT count(*) FROM {schema}.cdrs WHERE uuid = ANY (ARRAY[{}]::uuid[])", uuids(&[3, 4, 7]));
    scene.becomes(&left, 0).await;
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", 1).await;
    // One statement deleted all three.
    keeping.abort();
    assert_eq!((scene.count(a).await, scene.count(b).await), (4, 7));
}

#[tokio::test]
async fn a_large_backlog_of_expired_records_is_removed_in_small_batches() {
    let Some(mut scene) = Scene::start("cdr: retention in batches").await else { return };
    let (a, schema) = (scene.a, tenant_schema(scene.a));
    scene
        .sql(&format!(
            "UPDATE public.tenants SET body = body || '{{\"cdrDays\": 90}}' WHERE id = '{a}';
             INSERT INTO {schema}.cdrs (uuid, leg, started_at, received_at, clock_skewed)
             SELECT gen_random_uuid(), 'a', day, day, false
             FROM generate_series(1, 3600) AS n, LATERAL (SELECT now() - make_interval(days => 80 + n % 36)) AS at (day);
             CREATE TABLE {schema}.batches (transaction xid8, deleted bigint);
             CREATE FUNCTION {schema}.count_batch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO {schema}.batches SELECT pg_current_xact_id(), count(*) FROM deleted; RETURN NULL;
             END $$;
             CREATE TRIGGER count_batch AFTER DELETE ON {schema}.cdrs REFERENCING OLD TABLE AS deleted
                 FOR EACH STATEMENT EXECUTE FUNCTION {schema}.count_batch();
             GRANT ALL ON {schema}.batches TO {schema}"
        ))
        .await;
    let old = format!("SELECT count(*) FROM {schema}.cdrs WHERE started_at < now() - interval '90 days'");
    let (all, backlog) = (scene.count(a).await, scene.scalar(&old).await);
    assert!(backlog > 2000 && all > backlog, "{backlog} of {all}");
    let keeping = tokio::spawn(cdrs::prune(scene.store.clone()));
    scene.becomes(&old, 0).await;
    keeping.abort();
    assert_eq!(scene.count(a).await, all - backlog, "a record that was not old enough was removed");
    let largest = format!("SELECT max(deleted) FROM {schema}.batches");
    assert!(scene.scalar(&largest).await <= 1000);
    let transactions = format!("SELECT count(DISTINCT transaction) FROM {schema}.batches");
    assert!(scene.scalar(&transactions).await >= 3);
}

#[tokio::test]
async fn the_quarantine_keeps_a_bounded_number_of_the_newest_records() {
    let Some(mut scene) = Scene::start("cdr: full quarantine").await else { return };
    // Twelve times 100 MiB of equal bytes, which Postgres compresses well.
    scene
        .sql(
            "INSERT INTO public.cdr_quarantine
             SELECT int4send(age), 'unreadable', '', NULL, NULL, now() - make_interval(hours => age), body
             FROM generate_series(1, 12) AS age, (SELECT convert_to(repeat('x', 100 << 20), 'UTF8') AS body) AS one",
        )
        .await;
    let keeping = tokio::spawn(cdrs::prune(scene.store.clone()));
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", 10).await;
    keeping.abort();
    let youngest =
        "SELECT count(*) FROM public.cdr_quarantine WHERE received_at < now() - interval '10.5 hours'";
    assert_eq!(scene.scalar(youngest).await, 0, "others than the oldest were removed");
}

fn uuids(legs: &[u128]) -> String {
    legs.iter().map(|leg| format!("'{}'", Uuid::from_u128(*leg))).collect::<Vec<_>>().join(", ")
}
