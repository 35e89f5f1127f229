//! A partly damaged last good state, without Postgres.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Site;
use crate::postgres::Database;
use crate::program::{Program, Setting, recordings, url};

fn answers(program: &Program) -> BTreeMap<String, (u16, String)> {
    recordings().into_iter().map(|name| (name.clone(), program.ask(&name))).collect()
}

#[tokio::test]
async fn a_tenant_with_a_damaged_cache_file_is_not_answered_as_missing() {
    let Some(database) = Database::alone("switch: damaged file").await else { return };
    let setting = Setting::samples();
    setting.start_ready(&["--database-url", &url(&database)]).end("-TERM");
    let site = Site::beside(&setting, &url(&database));
    let switch = site.start_ready("a");
    let before = answers(&switch);
    switch.end("-TERM");

    let acme: Uuid = sqlx::query_scalar("SELECT id FROM public.tenants WHERE name = 'acme'")
        .fetch_one(&mut database.admin().await)
        .await
        .unwrap();
    let file = site.data_dir("a").join(format!("replica/tenant-{acme}.sealed"));
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let limit = |allowed: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", database.name());
    sqlx::raw_sql(AssertSqlSafe(limit(false))).execute(&mut database.server_admin().await).await.unwrap();

    // The other tenants are served, and a lookup of the missing tenant fails with an error instead of a miss.
    let mut switch = site.start_ready("a");
    for (name, answer) in answers(&switch).into_iter().filter(|(name, _)| name.starts_with("globex")) {
        assert_eq!(answer, before[&name], "{name}");
    }
    for name in ["acme-register-1001", "acme-invite-1001", "acme-dial-1002"] {
        assert_eq!((before[name].0, switch.ask(name).0), (200, 503), "{name}");
    }
    let number = "inbound-493023125000";
    assert!(switch.answer(number).contains("NORMAL_TEMPORARY_FAILURE"), "{}", switch.answer(number));

    sqlx::raw_sql(AssertSqlSafe(limit(true))).execute(&mut database.server_admin().await).await.unwrap();
    switch.wait_until("the tenant", |switch| switch.ask("acme-register-1001").0 == 200);
    assert_eq!(answers(&switch), before);
}
