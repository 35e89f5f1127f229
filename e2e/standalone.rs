//! The whole program: started, reconfigured, stopped and killed.

use std::path::Path;
use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use md5::{Digest, Md5};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::postgres::{Database, reachable_dir};
use crate::program::{Program, Setting, alive, recorded, recordings, url};
use crate::skip::skip;
use crate::wait::{DEADLINE, until};

const NOT_FOUND: &str = "status=\"not found\"";

/// True, and the test counts as skipped, if standalone cannot start its own Postgres because the programs are
/// missing.
pub fn without_postgres(test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders = std::env::split_paths(&path).chain(packaged.map(|release| release.path().join("bin")));
    let missing = !folders.any(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    if missing {
        skip(test, "no Postgres server programs");
    }
    missing
}

/// A setting in which standalone starts its own Postgres; `None` if the programs are missing.
fn with_own_postgres(test: &str) -> Option<Setting> {
    (!without_postgres(test)).then(Setting::samples)
}

/// Process id of the Postgres under the data directory.
fn postmaster(setting: &Setting) -> u32 {
    let file = std::fs::read_to_string(setting.data_dir().join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().trim().parse().unwrap()
}

/// The version of every row of all tables of Centrex, except the tables of writers and of switches: each
/// start is a new term and a new process.
async fn versions(admin: &mut PgConnection) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
         WHERE (schemaname = 'public' AND tablename NOT IN ('writer', 'switches', 'switch_state'))
            OR schemaname LIKE 'tenant_%' ORDER BY 1",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    let mut versions = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT coalesce(string_agg(xmin::text || ctid::text, ' ' ORDER BY ctid), '') FROM {table}"
        );
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *admin).await.unwrap();
        versions.push((table, rows));
    }
    assert!(versions.len() > 12, "{versions:?}");
    versions
}

async fn revision(admin: &mut PgConnection, tenant: &str) -> i64 {
    sqlx::query_scalar("SELECT revision FROM public.tenants WHERE name = $1")
        .bind(tenant)
        .fetch_one(admin)
        .await
        .unwrap()
}

/// Waits until an answer contains a text, and returns the answer.
fn until_answer(program: &mut Program, recording: &str, part: &str) -> String {
    program.wait_until(part, |program| program.ask(recording).1.contains(part));
    program.answer(recording)
}

#[test]
fn standalone_with_its_own_postgres_survives_a_kill() {
    let Some(setting) = with_own_postgres("standalone: a Postgres of its own") else { return };
    let program = setting.start_ready(&[]);
    let answers: Vec<(String, String)> =
        recordings().into_iter().map(|name| (name.clone(), program.answer(&name))).collect();
    for (name, answer) in &answers {
        assert_eq!(answer.contains(NOT_FOUND), name.starts_with("attack-"), "{name}: {answer}");
    }
    let postgres = postmaster(&setting);
    assert!(alive(postgres));

    let start = Instant::now();
    let (status, log) = program.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(!alive(postgres), "Postgres is left behind");

    // The next process is killed, and cannot stop its Postgres.
    let program = setting.start_ready(&[]);
    let postgres = postmaster(&setting);
    program.end("-KILL");
    assert!(alive(postgres));
    let program = setting.start_ready(&[]);
    assert!(!alive(postgres), "two Postgres on one data directory");
    for name in
        ["acme-register-1001", "globex-register-1001", "acme-voicemail-1002", "configuration-callcenter"]
    {
        let before = &answers.iter().find(|(known, _)| known == name).unwrap().1;
        assert_eq!(&program.answer(name), before, "{name}");
    }
    let (status, log) = program.end("-INT");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn a_restart_on_unchanged_manifests_writes_nothing() {
    let Some(database) = Database::alone("standalone: a restart writes nothing").await else { return };
    let setting = Setting::samples();
    let options = ["--database-url", &url(&database)];
    setting.start_ready(&options).end("-TERM");
    let mut admin = database.admin().await;
    let before = versions(&mut admin).await;
    setting.start_ready(&options).end("-TERM");
    assert_eq!(versions(&mut admin).await, before);

    // Proves that the comparison sees a change.
    setting.edit("20-acme-groups.yaml", "  ringSeconds: 25\n", "  ringSeconds: 26\n");
    setting.start_ready(&options).end("-TERM");
    assert_ne!(versions(&mut admin).await, before);
}

#[tokio::test]
async fn a_change_is_served_and_a_mistake_is_not() {
    let Some(database) = Database::alone("standalone: live changes").await else { return };
    let setting = Setting::samples();
    let mut program = setting.start_ready(&["--database-url", &url(&database)]);
    let mut admin = database.admin().await;
    assert_eq!((revision(&mut admin, "acme").await, revision(&mut admin, "globex").await), (1, 1));
    let globex = program.answer("globex-dial-2000");

    let alice = "    - {extensionRef: {name: alice}}\n";
    setting.edit("20-acme-groups.yaml", alice, &format!("{alice}    - {{extensionRef: {{name: carol}}}}\n"));
    let after = until_answer(&mut program, "acme-dial-2000", "user/1003@acme.example.com");
    assert_eq!((revision(&mut admin, "acme").await, revision(&mut admin, "globex").await), (2, 1));

    setting.edit("20-acme-groups.yaml", "  ringSeconds: 25\n", "  ringSeconds: soon\n");
    program.wait_until("the mistake is logged", |program| {
        let log = program.log();
        log.contains("groups.yaml:14: RingGroup acme/sales: spec.ringSeconds: must be a whole number")
    });
    assert_eq!(program.answer("acme-dial-2000"), after);
    assert_eq!(program.get("/readyz").0, 200, "a mistake of one tenant makes no switch unready");
    assert_eq!(revision(&mut admin, "acme").await, 2);

    // A new number works at once, though it was looked up before it existed.
    assert!(program.answer("acme-dial-1999").contains("UNALLOCATED_NUMBER"));
    let dave = "---\napiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {name: dave, namespace: acme}\n\
                spec: {tenantRef: {name: acme}, number: \"1999\"}\n";
    setting.write("20-acme-extensions.yaml", &(setting.read("20-acme-extensions.yaml") + dave));
    until_answer(&mut program, "acme-dial-1999", "user/1999@acme.example.com");
    assert_eq!(program.answer("globex-dial-2000"), globex);

    // A well-formed but wrong change: the previous state stays in force, and the log says so.
    let call = program.answer("inbound-442079460000");
    let to = "destination: {kind: RingGroup, name: reception}";
    setting.edit("20-globex-phones.yaml", to, "destination: {kind: RingGroup, name: nobody}");
    program.wait_until("the last good state is logged", |program| {
        let log = program.log();
        log.contains("tenant globex has no RingGroup nobody")
            && log.contains("what was in force before stays in force")
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(program.answer("inbound-442079460000"), call);
}

#[tokio::test]
async fn the_last_good_state_is_served_without_postgres() {
    let directory = reachable_dir();
    let options = LocalOptions { data_dir: directory.path().to_owned(), durable: false };
    let postgres = match LocalPostgres::start(&options).await {
        Err(error @ LocalError::Binaries) => {
            return skip("standalone: Postgres is away", &error.to_string());
        }
        started => started.unwrap(),
    };
    let socket = directory.path().join("postgres").display().to_string();
    let database_url = format!("postgres://centrex@localhost/centrex?host={socket}");
    let start = ["--database-url", &database_url];
    let setting = Setting::samples();
    let program = setting.start_ready(&start);
    let names = ["acme-register-1001", "acme-dial-1002", "inbound-442079460000", "configuration-sofia"];
    let before = names.map(|name| program.answer(name));
    program.end("-TERM");
    postgres.stop().await.unwrap();

    let mut program = setting.start(&start);
    program.wait_until("answers from the cache", |program| program.ask(names[0]).0 == 200);
    assert_eq!(names.map(|name| program.answer(name)), before);
    let (status, why) = program.get("/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("not all compiled and stored"), "{why}");
    program.wait_until("the reason", |program| program.log().contains("Postgres cannot be reached"));
    setting.edit("20-acme-extensions.yaml", "number: \"1003\"", "number: \"1999\"");
    assert!(program.answer("acme-dial-1999").contains("UNALLOCATED_NUMBER"));

    // Postgres starts again while all this runs.
    let postgres = LocalPostgres::start(&options).await.unwrap();
    program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
    assert!(program.answer("acme-dial-1999").contains("user/1999@acme.example.com"));

    // Postgres stops again: answers continue, and standalone ends within seconds.
    postgres.stop().await.unwrap();
    assert_eq!(program.answer(names[0]), before[0]);
    let start = Instant::now();
    let (status, log) = program.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_second_process_on_one_database_serves_and_waits_to_write() {
    let Some(database) = Database::start("standalone: two on one database").await else { return };
    let (setting, other) = (Setting::samples(), Setting::samples());
    let url = url(&database);
    let first = setting.start_ready(&["--database-url", &url]);
    let keys = setting.data_dir().join("encryption-keys").display().to_string();
    other.edit("20-acme-extensions.yaml", "number: \"1003\"", "number: \"1999\"");
    let mut second = other.start(&["--database-url", &url, "--encryption-key-file", &keys]);

    let who = format!("is being written by another Centrex: standalone, process {}, --data-dir", first.id());
    second.wait_until("a word about who writes", |second| second.log().contains(&who));
    until_answer(&mut second, "acme-register-1001", "a1-hash");
    assert_ne!(second.get("/readyz").0, 200);
    assert!(!first.answer("acme-dial-1999").contains("user/1999@"), "a process without the lock wrote");

    let (status, log) = first.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    second.wait_until("readiness", |second| second.get("/readyz").0 == 200);
    until_answer(&mut second, "acme-dial-1999", "user/1999@");

    // The lock is lost, as at a failover of Postgres: standalone takes it again, and continues.
    let killed = database.cut_connections().await;
    assert!(killed > 1);
    second.wait_until("the loss", |second| second.log().contains("writer's lock was lost"));
    other.edit("20-acme-extensions.yaml", "number: \"1999\"", "number: \"1003\"");
    second.wait_until("a change after it", |second| !second.answer("acme-dial-1999").contains("user/1999@"));
    let term: i64 = sqlx::query_scalar("SELECT term FROM public.writer")
        .fetch_one(&mut database.admin().await)
        .await
        .unwrap();
    assert_eq!(term, 3);
}

#[tokio::test]
async fn a_deleted_or_suspended_tenant_is_not_served_and_its_data_stay() {
    let Some(database) = Database::alone("standalone: gone and suspended").await else { return };
    let setting = Setting::samples();
    let mut program = setting.start_ready(&["--database-url", &url(&database)]);
    let acme = program.answer("acme-register-1001");
    // A suspended tenant's phones make emergency calls, and no others.
    let serves_emergencies = |program: &Program| {
        let inbound = program.answer("inbound-493023125000");
        program.answer("acme-register-1001") == acme
            && program.answer("acme-dial-1002").contains("OUTGOING_CALL_BARRED")
            && program.answer("acme-dial-112").contains("sofia/gateway/")
            && !inbound.contains("application=\"bridge\"")
    };
    let serves_nothing = |program: &Program, tenant: &str, number: &str| {
        let register = program.answer(&format!("{tenant}-register-1001"));
        let dial = program.answer(&format!("{tenant}-dial-1002"));
        let inbound = program.answer(&format!("inbound-{number}"));
        register.contains(NOT_FOUND)
            && !dial.contains("bridge")
            && !inbound.contains("application=\"bridge\"")
    };

    setting.edit("10-acme.yaml", "suspended: false", "suspended: true");
    program.wait_until("suspension", serves_emergencies);
    assert!(program.answer("globex-register-1001").contains("a1-hash"));
    setting.edit("10-acme.yaml", "suspended: true", "suspended: false");
    program.wait_until("the end of it", |program| program.answer("acme-dial-1002").contains("bridge"));

    let away = setting.path("away");
    std::fs::create_dir(&away).unwrap();
    let (here, there) = (setting.manifests(), away.as_path());
    let moved = |from: &Path, to: &Path| {
        for file in ["10-globex.yaml", "20-globex-phones.yaml"] {
            std::fs::rename(from.join(file), to.join(file)).unwrap();
        }
    };
    moved(&here, there);
    program.wait_until("removal", |program| serves_nothing(program, "globex", "442079460000"));
    assert_eq!(program.answer("acme-register-1001"), acme);
    let mut admin = database.admin().await;
    let kept: (String, bool) = sqlx::query_as(
        "SELECT schema_name, retained_at IS NOT NULL FROM public.tenants WHERE name = 'globex'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(kept.1, "not marked as retained");
    let sql = format!("SELECT count(*) FROM {}.extensions", kept.0);
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut admin).await.unwrap();
    assert_eq!(rows, 2, "a retained tenant keeps its rows");

    // The next start notices manifests that were removed while Centrex was stopped.
    moved(there, &here);
    program.wait_until("its return", |program| program.answer("globex-register-1001").contains("a1-hash"));
    program.end("-TERM");
    moved(&here, there);
    let program = setting.start_ready(&["--database-url", &url(&database)]);
    assert!(serves_nothing(&program, "globex", "442079460000"));
}

#[tokio::test]
async fn a_file_broken_at_a_restart_loses_no_data() {
    let Some(database) = Database::alone("standalone: broken at restart").await else { return };
    let setting = Setting::samples();
    let options = ["--database-url", &url(&database)];
    let acme = ["acme-register-1001", "acme-dial-1002", "acme-dial-2000"];
    let names = [acme[0], acme[1], acme[2], "globex-dial-2000"];
    let hidden = |answer: String| answer.split("centrex_call=").next().unwrap().len();
    let program = setting.start_ready(&options);
    let before = names.map(|name| hidden(program.answer(name)));
    program.end("-TERM");
    let mut admin = database.admin().await;
    let revisions = (revision(&mut admin, "acme").await, revision(&mut admin, "globex").await);

    let right = setting.read("20-acme-extensions.yaml");
    setting.write("20-acme-extensions.yaml", &right.replace("number: \"1003\"", "number: 1003"));
    let mut program = setting.start(&options);
    program.wait_until("the problem", |program| {
        program.log().contains("extensions.yaml:39: Extension acme/carol: spec.number")
    });
    program.wait_until("answers", |program| program.ask(names[0]).0 == 200);
    assert_eq!(names.map(|name| hidden(program.answer(name))), before, "{}", program.log());
    assert_eq!((revision(&mut admin, "acme").await, revision(&mut admin, "globex").await), revisions);

    // Other tenants are followed; if Acme lost the broken file's content, that would show by now.
    setting.edit("20-globex-phones.yaml", "ringSeconds: 20", "ringSeconds: 16");
    until_answer(&mut program, "globex-dial-2000", "leg_timeout=16");
    assert_eq!(acme.map(|name| hidden(program.answer(name))), before[..3], "{}", program.log());
    assert_eq!(revision(&mut admin, "acme").await, revisions.0);
    // The file is followed again once it is valid.
    setting.write("20-acme-extensions.yaml", &right.replace("number: \"1003\"", "number: \"1999\""));
    until_answer(&mut program, "acme-dial-1999", "user/1999@acme.example.com");
}

#[tokio::test]
async fn a_generated_password_lets_a_phone_register() {
    let Some(database) = Database::alone("standalone: generated passwords").await else { return };
    let setting = Setting::samples();
    setting.edit("15-acme-secrets.yaml", "metadata: {name: bob-sip,", "metadata: {name: unused,");
    let program = setting.start_ready(&["--database-url", &url(&database)]);
    let request = String::from_utf8(recorded("acme-register-1001")).unwrap().replace("1001", "1002");
    let (status, answer) = program.send(request.as_bytes());
    assert_eq!(status, 200);
    let secret =
        std::fs::read_to_string(setting.data_dir().join("generated-secrets/acme/bob-sip.yaml")).unwrap();
    let password = secret.split("password: \"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(password.len(), 24);
    let hash = hex::encode(Md5::digest(format!("1002:acme.example.com:{password}")));
    assert!(answer.contains(&format!("<param name=\"a1-hash\" value=\"{hash}\"/>")), "{answer}");
    assert!(!answer.contains(password) && !program.log().contains(password));
}

#[test]
fn the_oldest_recordings_are_removed_at_the_quota() {
    let Some(setting) = with_own_postgres("standalone::the_oldest_recordings_are_removed_at_the_quota")
    else {
        return;
    };
    setting.edit("05-tenant-profiles.yaml", "maxStorage: 20Gi", "maxStorage: 2.5Mi");
    setting.edit(
        "05-tenant-profiles.yaml",
        "maxExtensions: 20\n",
        "maxExtensions: 20\n  maxStorage: 2.5Mi\n",
    );
    let program = setting.start_ready(&[]);
    let tenants = std::fs::read_dir(setting.data_dir().join("media/tenants")).unwrap();
    let tenants: Vec<_> = tenants.map(|tenant| tenant.unwrap().path()).collect();
    assert_eq!(tenants.len(), 2, "{tenants:?}");
    let now = std::time::SystemTime::now();
    let recording = |tenant: &Path, name: &str, hours: u32| {
        let path = tenant.join("recordings/2026/10").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.set_modified(now - Duration::from_secs(3600) * hours).unwrap();
        path
    };
    let all: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            [("b.wav", 3), ("c.wav", 1), ("a.wav", 2)].map(|(name, hours)| recording(tenant, name, hours))
        })
        .collect();
    // The first sweep is a minute after the start.
    let gone = || all.iter().all(|[oldest, ..]| !oldest.exists()).then_some(());
    assert!(until(DEADLINE, gone).is_some(), "{}", program.log());
    assert!(all.iter().all(|[_, youngest, middle]| youngest.exists() && middle.exists()));
    assert!(program.log().contains("the oldest recordings made room"), "{}", program.log());
}
