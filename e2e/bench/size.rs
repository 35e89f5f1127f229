//! 100,000 extensions: written to Postgres, held in memory, changed, and loaded at a restart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use memchr::memmem;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::Options;
use crate::load::{Socket, register};
use crate::manifests;
use crate::report::Row;
use crate::standalone::Standalone;
use crate::turns::percentile;

const TENANTS: usize = 1000;
const CHANGES: usize = 200;
const MOST_MS: f64 = 250.0;
const COPIES: usize = 3;
/// A number that no tenant has; an extension is changed to it.
const NEW_NUMBER: &str = "2000";

/// Runs all measurements that need Postgres, if Postgres is installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(options))
}

/// The Postgres under test.
pub fn postgres_version() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = reachable_folder();
        let Ok(postgres) = start_postgres(folder.path()).await else { return crate::facts::unknown() };
        let mut admin = postgres.admin_options().connect().await.expect("a login");
        let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut admin).await;
        version.expect("its version")
    })
}

/// Starts a Postgres in a folder, with the durability that users have.
pub async fn start_postgres(folder: &Path) -> Result<LocalPostgres, LocalError> {
    LocalPostgres::start(&LocalOptions { data_dir: folder.to_owned(), durable: true }).await
}

/// A folder that the account of a server can enter.
pub fn reachable_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    folder
}

async fn measure(options: &Options) -> Vec<Row> {
    let folder = reachable_folder();
    let postgres = match start_postgres(folder.path()).await {
        Ok(postgres) => postgres,
        Err(error @ LocalError::Binaries) => {
            return vec![Row::skipped("100k extensions", error.to_string())];
        }
        Err(error) => panic!("{error}"),
    };
    let (manifests, data) = (folder.path().join("manifests"), folder.path().join("data"));
    std::fs::create_dir(&data).expect("a data directory");
    let tenants = options.size(TENANTS);
    manifests::write(&manifests, tenants, &manifests::platform(5060, 5080));
    let database = postgres.connect_options().to_url_lossy().to_string();
    let mut admin = postgres.admin_options().database("centrex").connect().await.expect("a login");

    let centrex = Standalone::start(&manifests, &data, &database).await;
    let loaded = centrex.started.as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await; // the allocator returns unused memory
    let (memory, most) = centrex.memory();
    let latencies = changes(&centrex, &manifests, tenants, options.size(CHANGES)).await;
    centrex.end();

    let before = rows_written(&mut admin).await;
    let again = Standalone::start(&manifests, &data, &database).await;
    let (restarted, restarted_memory) = (again.started.as_secs_f64(), again.memory().0);
    again.end();
    let written = rows_written(&mut admin).await - before;

    let (count, copied) = copy(&mut admin, folder.path()).await;
    assert_eq!(count, tenants * manifests::EXTENSIONS, "extensions in Postgres");
    let _ = admin.close().await;
    let per_second = |seconds: f64| format!("{:.0} rows/s", count as f64 / seconds);
    let p99 = percentile(latencies.iter().copied(), 0.99);
    vec![
        Row::new(
            "Manifest changed → new answer, p99",
            format!(
                "{p99:.0} ms (p50 {:.0}, most {:.0})",
                percentile(latencies.iter().copied(), 0.5),
                percentile(latencies.iter().copied(), 1.0)
            ),
        )
        .goal("< 250 ms", p99 < MOST_MS),
        Row::new(
            "100k extensions to Postgres, until served",
            format!("{} ({loaded:.1} s)", per_second(loaded)),
        )
        .against(format!("{} by COPY", per_second(copied)), copied / loaded),
        Row::new("Memory with them", format!("{memory} MiB (at most {most})")),
        Row::new(
            "Restart, nothing changed: rows written",
            format!("{written} ({restarted:.1} s, {restarted_memory} MiB)"),
        )
        .goal("0", written == 0),
    ]
}

/// Milliseconds from before a file is written until a lookup returns the change.
async fn changes(centrex: &Standalone, manifests: &Path, tenants: usize, count: usize) -> Vec<f64> {
    let mut socket = Socket::open(centrex.address).await;
    let mut latencies = Vec::new();
    for change in 0..count {
        let tenant = change * 37 % tenants;
        let request = register(&manifests::domain(tenant), NEW_NUMBER);
        assert!(!found(&mut socket, &request).await, "the new number is unknown before the change");
        let text = manifests::tenant(tenant, Some(NEW_NUMBER));
        let start = Instant::now();
        std::fs::write(manifests::file(manifests, tenant), text).expect("a change");
        while !found(&mut socket, &request).await {
            assert!(start.elapsed() < Duration::from_secs(30), "not served\n{}", centrex.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latencies.push(start.elapsed().as_secs_f64() * 1000.0);
        // The pauses must not fall into step with a timer of the program.
        tokio::time::sleep(Duration::from_millis(20 + change as u64 * 31 % 100)).await;
    }
    latencies
}

async fn found(socket: &mut Socket, request: &[u8]) -> bool {
    memmem::find(socket.ask(request).await, b"a1-hash").is_some()
}

/// Rows inserted, updated and deleted in all tables so far, except the table of writers: each start begins a
/// new term.
pub async fn rows_written(admin: &mut PgConnection) -> i64 {
    // Backends that ended report their counts a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables
               WHERE relname NOT IN ('writer', 'switches', 'switch_state')";
    sqlx::query_scalar(sql).fetch_one(admin).await.expect("statistics")
}

/// Number of stored extensions, and the seconds of one COPY of them: median of three.
async fn copy(admin: &mut PgConnection, folder: &Path) -> (usize, f64) {
    let schemas: Vec<String> = sqlx::query_scalar("SELECT schema_name FROM public.tenants")
        .fetch_all(&mut *admin)
        .await
        .expect("schemas");
    let one = |schema: &String| {
        format!(
            "SELECT kind, name, body, sealed, fingerprint FROM {schema}.resources WHERE kind = 'Extension'"
        )
    };
    let all = schemas.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    let file = folder.join("postgres/rows.copy"); // a path that the server may write
    let first = &schemas[0];
    let prepare = format!(
        "COPY ({all}) TO '{}'; CREATE TABLE public.copied (LIKE {first}.resources INCLUDING GENERATED)",
        file.display()
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *admin).await.expect("rows to copy");
    let rows = std::fs::read(&file).expect("rows to copy");
    let mut seconds = Vec::new();
    for _ in 0..COPIES {
        sqlx::raw_sql("TRUNCATE public.copied").execute(&mut *admin).await.expect("an empty table");
        let start = Instant::now();
        let command = "COPY public.copied (kind, name, body, sealed, fingerprint) FROM STDIN";
        let mut copy = admin.copy_in_raw(command).await.expect("COPY");
        copy.send(rows.as_slice()).await.expect("rows that are taken");
        copy.finish().await.expect("the end of COPY");
        seconds.push(start.elapsed().as_secs_f64());
    }
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM public.copied").fetch_one(admin).await.expect("a count");
    (count as usize, percentile(seconds.into_iter(), 0.5))
}
