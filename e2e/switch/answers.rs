//! Answers of switches next to a `centrex standalone` that writes, and without Postgres.

use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use sqlx::postgres::PgListener;
use sqlx::{ConnectOptions, PgConnection};

use super::{Site, names, reported};
use crate::postgres::{Database, reachable_dir};
use crate::program::{Program, Setting, recordings, url};
use crate::skip::skip;
use crate::wait::DEADLINE;

fn answers(program: &Program) -> Vec<(String, String)> {
    recordings().into_iter().map(|name| (name.clone(), program.answer(&name))).collect()
}

fn row(switch: &str, tenant: &str, revision: i64) -> (String, i64, String, i64) {
    (switch.to_owned(), 1, tenant.to_owned(), revision)
}

#[tokio::test]
async fn two_switches_answer_alike_and_report_what_differs() {
    let Some(database) = Database::alone("switch: two beside standalone").await else { return };
    let setting = Setting::samples();
    let writer = setting.start_ready(&["--database-url", &url(&database)]);
    let site = Site::beside(&setting, &url(&database));
    let (mut a, mut b) = (site.start_ready("a"), site.start_ready("b"));
    let expected = answers(&writer);
    assert!(expected.iter().any(|(_, answer)| answer.contains("a1-hash")));
    assert_eq!(answers(&a), expected);
    assert_eq!(answers(&b), expected);

    let mut admin = database.admin().await;
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let all = |acme| -> Vec<_> {
        ["a", "b", &here].iter().flat_map(|name| [row(name, "acme", acme), row(name, "globex", 1)]).collect()
    };
    until_reported(&mut admin, &all(1)).await;
    assert_eq!(reported(&mut admin).await.len(), 6);

    // A change of one tenant: both switches answer with it, and report it for this tenant only.
    let untouched = "SELECT string_agg(h.xmin::text, ' ' ORDER BY h.switch) FROM public.switch_state h
                     JOIN public.tenants t ON t.id = h.tenant_id WHERE t.name = 'globex'";
    let before: String = sqlx::query_scalar(untouched).fetch_one(&mut admin).await.unwrap();
    setting.edit("20-acme-groups.yaml", "  ringSeconds: 25\n", "  ringSeconds: 26\n");
    for switch in [&mut a, &mut b] {
        switch.wait_until("the change", |s| s.answer("acme-dial-2000").contains("leg_timeout=26"));
    }
    until_reported(&mut admin, &all(2)).await;
    let after: String = sqlx::query_scalar(untouched).fetch_one(&mut admin).await.unwrap();
    assert_eq!(after, before, "rows that did not change were written");

    // Then only heartbeats, which are not published.
    let mut listener =
        PgListener::connect_with(&sqlx::PgPool::connect_lazy_with(database.options())).await.unwrap();
    listener.listen("centrex_acks").await.unwrap();
    let seen = "SELECT min(last_seen)::text FROM public.switches";
    let first: String = sqlx::query_scalar(seen).fetch_one(&mut admin).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(11), listener.recv()).await;
    assert!(told.is_err(), "{told:?}");
    let later: String = sqlx::query_scalar(seen).fetch_one(&mut admin).await.unwrap();
    assert!(later > first, "not heard: {later}");

    // A switch that stops removes its report.
    let (status, log) = b.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(names(&mut admin).await.len(), 2);
    let told = listener.recv().await.unwrap();
    assert_eq!(told.payload(), r#"{"switch":"b","gone":true}"#);
}

/// Waits until these reports are in Postgres.
async fn until_reported(admin: &mut PgConnection, rows: &[(String, i64, String, i64)]) {
    let started = Instant::now();
    loop {
        let found = reported(admin).await;
        if rows.iter().all(|row| found.contains(row)) {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{found:?} is not {rows:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_postgres_a_switch_continues_and_starts_from_its_last_good_state() {
    let directory = reachable_dir();
    let options = LocalOptions { data_dir: directory.path().to_owned(), durable: false };
    let postgres = match LocalPostgres::start(&options).await {
        Err(error @ LocalError::Binaries) => return skip("switch: Postgres is away", &error.to_string()),
        started => started.unwrap(),
    };
    let socket = directory.path().join("postgres").display().to_string();
    let database_url = format!("postgres://centrex@localhost/centrex?host={socket}");
    let start = ["--database-url", &database_url];
    let setting = Setting::samples();
    setting.start_ready(&start).end("-TERM");
    postgres.stop().await.unwrap();

    // Without Postgres and without a last good state the switch waits, and says for what.
    let site = Site::beside(&setting, &database_url);
    let mut switch = site.start("a");
    switch.wait_until("the reason", |switch| {
        let (status, why) = switch.get("/readyz");
        status == 503 && why.contains("Postgres cannot be reached") && why.contains("--data-dir")
    });
    assert_eq!(switch.get("/healthz").0, 200);
    assert_eq!(switch.ask("acme-register-1001").0, 503, "not ready is no true miss");
    let postgres = LocalPostgres::start(&options).await.unwrap();
    switch.wait_until("readiness", |switch| switch.get("/readyz").0 == 200);
    let before = answers(&switch);
    assert!(before.iter().any(|(_, answer)| answer.contains("a1-hash")));

    // Postgres stops: answers continue, and the switch ends within seconds.
    postgres.stop().await.unwrap();
    switch.wait_until("a word about it", |switch| switch.log().contains("not following Postgres"));
    assert_eq!(answers(&switch), before);
    assert_eq!(switch.get("/readyz").0, 200, "the last good state is served");
    let began = Instant::now();
    let (status, log) = switch.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let mut switch = site.start_ready("a");
    assert_eq!(answers(&switch), before);

    // Postgres is back: changes are followed and reported again.
    let postgres = LocalPostgres::start(&options).await.unwrap();
    setting.edit("20-acme-extensions.yaml", "number: \"1003\"", "number: \"1999\"");
    let writer = setting.start_ready(&start);
    switch.wait_until("the change", |s| s.answer("acme-dial-1999").contains("user/1999@acme.example.com"));
    let mut admin = postgres.admin_options().database("centrex").connect().await.unwrap();
    until_reported(&mut admin, &[row("a", "acme", 2)]).await;
    drop((writer, switch));
    drop(admin);
    postgres.stop().await.unwrap();
}
