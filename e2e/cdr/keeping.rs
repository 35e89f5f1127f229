//! Months ahead, and an end for what was kept long enough.

use centrex::store::{cdrs, tenant_schema};
use uuid::Uuid;

use super::Scene;

/// A record that began and was received so many days ago.
fn insert(tenant: Uuid, leg: u128, began: &str, received: &str) -> String {
    format!(
        "INSERT INTO {}.cdrs (uuid, leg, started_at, received_at, clock_skewed)
         VALUES ('{}', 'a', now() - interval '{began}', now() - interval '{received}', false);",
        tenant_schema(tenant),
        Uuid::from_u128(leg)
    )
}

#[tokio::test]
async fn months_are_made_ahead_and_take_over_what_waits() {
    let Some(mut scene) = Scene::start("cdr: months").await else { return };
    let schema = tenant_schema(scene.a);
    let months = format!(
        "SELECT count(*) FROM generate_series(-2, 3) AS ahead
         JOIN pg_class c ON c.relname = 'cdrs_' || to_char(now() AT TIME ZONE 'UTC' + make_interval(months => ahead), 'YYYY_MM')
         WHERE c.relnamespace = '{schema}'::regnamespace AND c.relispartition"
    );
    assert_eq!(scene.scalar(&months).await, 2, "this month and the next");
    // Months that nobody made: what began in them waits elsewhere until somebody does.
    let month = "to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')";
    let drop = format!("DO $$ BEGIN EXECUTE format('DROP TABLE {schema}.%I', 'cdrs_' || {month}); END $$");
    scene.sql(&drop).await;
    scene.sql(&insert(scene.a, 1, "-1 month", "0")).await;
    scene.sql(&insert(scene.a, 2, "1 month", "0")).await;
    scene.sql(&insert(scene.a, 3, "30 years", "0")).await;
    let other = format!("SELECT count(*) FROM {schema}.cdrs_other");
    assert_eq!(scene.scalar(&other).await, 3);
    let keeping = tokio::spawn(cdrs::keep(scene.store.clone()));
    scene.becomes(&months, 3).await;
    scene.becomes(&other, 1).await;
    keeping.abort();
    assert_eq!(scene.count(scene.a).await, 3);
}

#[tokio::test]
async fn what_was_kept_long_enough_goes_and_nothing_else() {
    let Some(mut scene) = Scene::start("cdr: retention").await else { return };
    let (a, b) = (scene.a, scene.b);
    let schema = tenant_schema(a);
    scene
        .sql(&format!("UPDATE public.tenants SET body = body || '{{\"cdrDays\": 90}}' WHERE id = '{a}'"))
        .await;
    // Months that were made when it was their time.
    for schema in [tenant_schema(a), tenant_schema(b)] {
        let make = format!(
            "SET ROLE {schema};
             SET search_path = {schema};
             SELECT public.make_cdr_month(now()::timestamp - make_interval(months => m)) FROM generate_series(1, 14) AS m;
             RESET search_path; RESET ROLE"
        );
        scene.sql(&make).await;
    }
    for tenant in [a, b] {
        scene.sql(&insert(tenant, 1, "1 day", "1 day")).await;
        scene.sql(&insert(tenant, 2, "89 days", "89 days")).await;
        scene.sql(&insert(tenant, 3, "91 days", "91 days")).await;
        scene.sql(&insert(tenant, 4, "400 days", "400 days")).await;
        // Its clock was wrong, or it was long on its way.
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

    let keeping = tokio::spawn(cdrs::keep(scene.store.clone()));
    let left =
        format!("SELECT count(*) FROM {schema}.cdrs WHERE uuid = ANY (ARRAY[{}]::uuid[])", uuids(&[3, 4, 7]));
    scene.becomes(&left, 0).await;
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", 1).await;
    // All of it was done in one transaction.
    keeping.abort();
    assert_eq!((scene.count(a).await, scene.count(b).await), (4, 7));
    let months = |schema: &str| {
        format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{schema}.cdrs'::regclass")
    };
    assert_eq!(
        scene.scalar(&months(&tenant_schema(b))).await,
        17,
        "a tenant without retention keeps its months"
    );
    let kept = scene.scalar(&months(&schema)).await;
    // Last month, this one and the next, those that hold what is kept, and the one for all else.
    assert!((6..=8).contains(&kept), "{kept}");
}

#[tokio::test]
async fn the_quarantine_is_bounded_and_the_newest_stay() {
    let Some(mut scene) = Scene::start("cdr: full quarantine").await else { return };
    // Twelve times 100 MiB, which Postgres keeps small: they are all alike.
    scene
        .sql(
            "INSERT INTO public.cdr_quarantine
             SELECT int4send(age), 'unreadable', '', NULL, NULL, now() - make_interval(hours => age), body
             FROM generate_series(1, 12) AS age, (SELECT convert_to(repeat('x', 100 << 20), 'UTF8') AS body) AS one",
        )
        .await;
    let keeping = tokio::spawn(cdrs::keep(scene.store.clone()));
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", 10).await;
    keeping.abort();
    let youngest =
        "SELECT count(*) FROM public.cdr_quarantine WHERE received_at < now() - interval '10.5 hours'";
    assert_eq!(scene.scalar(youngest).await, 0, "others than the oldest were removed");
}

fn uuids(legs: &[u128]) -> String {
    legs.iter().map(|leg| format!("'{}'", Uuid::from_u128(*leg))).collect::<Vec<_>>().join(", ")
}
