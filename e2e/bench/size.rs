//! 100,000 extensions: into Postgres, in memory, changed, and started again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use centrex::store::migrate::TENANT;
use futures::StreamExt as _;
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
/// Most milliseconds until a change is served.
pub const MOST_MS: f64 = 250.0;
/// Load, as a share of what one session does with the same DDL and COPY.
const LEAST: f64 = 0.7;
/// Schemas that are made to measure an empty one.
const EMPTY_TENANTS: usize = 50;
/// The number that an extension is changed to; no tenant has it.
const NEW_NUMBER: &str = "2000";

/// Measures everything that needs Postgres, where it is installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(options))
}

/// Which Postgres there is.
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

/// Starts one under a folder, as durable as users' ones.
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
    tokio::time::sleep(Duration::from_secs(2)).await; // what is not needed is given back
    let (memory, most) = centrex.memory();
    let latencies = changes(&centrex, &manifests, tenants, options.size(CHANGES)).await;
    centrex.end();

    let before = rows_written(&mut admin).await;
    let again = Standalone::start(&manifests, &data, &database).await;
    let (restarted, restarted_memory) = (again.started.as_secs_f64(), again.memory().0);
    again.end();
    let written = rows_written(&mut admin).await - before;

    let (relations, kilobytes) = empty_tenant(&mut admin).await;
    let limit = limit(&mut admin).await;
    let count = limit.rows;
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
        .against(format!("{} by DDL and COPY", per_second(limit.whole)), limit.whole / loaded)
        .goal(&format!("≥ {LEAST:.2}"), limit.whole / loaded >= LEAST),
        Row::new("Relations of a tenant in pg_class", relations.to_string()).goal("≤ 30", relations <= 30),
        Row::new("DDL of a tenant", format!("{:.1} ms", limit.ddl)).goal("≤ 15 ms", limit.ddl <= 15.0),
        Row::new("Size of an empty tenant", format!("{kilobytes:.0} kB"))
            .goal("≤ 200 kB", kilobytes <= 200.0),
        Row::new("Memory with them", format!("{memory} MiB (at most {most})")),
        Row::new(
            "Restart, nothing changed: rows written",
            format!("{written} ({restarted:.1} s, {restarted_memory} MiB)"),
        )
        .goal("0", written == 0),
    ]
}

/// Milliseconds from before a file is written until a lookup finds what is new in it.
pub async fn changes(centrex: &Standalone, manifests: &Path, tenants: usize, count: usize) -> Vec<f64> {
    let mut socket = Socket::open(centrex.address).await;
    let mut latencies = Vec::new();
    for change in 0..count {
        let tenant = change * 37 % tenants;
        let request = register(&manifests::domain(tenant), NEW_NUMBER);
        assert!(!found(&mut socket, &request).await, "the new number is not there before");
        let text = manifests::tenant(tenant, Some(NEW_NUMBER));
        let start = Instant::now();
        std::fs::write(manifests::file(manifests, tenant), text).expect("a change");
        while !found(&mut socket, &request).await {
            assert!(start.elapsed() < Duration::from_secs(30), "not served\n{}", centrex.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latencies.push(start.elapsed().as_secs_f64() * 1000.0);
        // No rhythm that falls in with one of theirs.
        tokio::time::sleep(Duration::from_millis(20 + change as u64 * 31 % 100)).await;
    }
    latencies
}

async fn found(socket: &mut Socket, request: &[u8]) -> bool {
    memmem::find(socket.ask(request).await, b"a1-hash").is_some()
}

/// Rows inserted, updated and deleted in all tables so far, but for the one that says who writes:
/// each start is a new term.
pub async fn rows_written(admin: &mut PgConnection) -> i64 {
    // Backends that ended report what they counted a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables
               WHERE relname NOT IN ('writer', 'switches', 'switch_state')";
    sqlx::query_scalar(sql).fetch_one(admin).await.expect("statistics")
}

/// The statements that make the tables and views of a tenant's schema.
fn tenant_migrations() -> String {
    TENANT.iter().map(|migration| migration.sql).collect()
}

/// What one session takes to make the same schemas and to COPY the same rows into them.
struct Limit {
    rows: usize,
    /// Seconds of all.
    whole: f64,
    /// Milliseconds of one tenant's role and schema, the median of all.
    ddl: f64,
}

/// Drops each tenant's schema, and makes it with the same rows again: role, schema, tables and views of
/// `migrations/tenant`, then COPY of its resources, one transaction a tenant.
async fn limit(admin: &mut PgConnection) -> Limit {
    let schemas: Vec<String> = sqlx::query_scalar("SELECT schema_name FROM public.tenants")
        .fetch_all(&mut *admin)
        .await
        .expect("schemas");
    let columns = "kind, name, body, sealed, fingerprint, uid, generation";
    let migrations = tenant_migrations();
    let mut all = Vec::new();
    for schema in &schemas {
        let command = format!("COPY (SELECT {columns} FROM {schema}.resources) TO STDOUT");
        let mut copy = admin.copy_out_raw(&command).await.expect("rows to copy");
        let mut rows = Vec::new();
        while let Some(part) = copy.next().await {
            rows.extend_from_slice(&part.expect("rows to copy"));
        }
        drop(copy);
        all.push(rows);
    }
    for schema in &schemas {
        let sql = format!("DROP SCHEMA {schema} CASCADE; DROP OWNED BY {schema}; DROP ROLE {schema}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *admin).await.expect("a schema that is dropped");
    }
    let (start, mut ddl) = (Instant::now(), Vec::new());
    for (schema, rows) in schemas.iter().zip(&all) {
        let one = Instant::now();
        let sql = format!(
            "BEGIN; CREATE ROLE {schema} NOLOGIN; GRANT {schema} TO CURRENT_USER;
             CREATE SCHEMA {schema} AUTHORIZATION {schema};
             SET LOCAL ROLE {schema}; SET LOCAL search_path TO {schema}, public; {migrations}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *admin).await.expect("a schema");
        ddl.push(one.elapsed().as_secs_f64() * 1000.0);
        let mut copy =
            admin.copy_in_raw(&format!("COPY resources ({columns}) FROM STDIN")).await.expect("COPY");
        copy.send(rows.as_slice()).await.expect("rows that are taken");
        copy.finish().await.expect("the end of COPY");
        sqlx::raw_sql("COMMIT").execute(&mut *admin).await.expect("a commit");
    }
    let whole = start.elapsed().as_secs_f64();
    let count = |schema: &String| format!("SELECT count(*) FROM {schema}.extensions");
    let sql = format!(
        "SELECT sum(count)::bigint FROM ({}) AS c",
        schemas.iter().map(count).collect::<Vec<_>>().join(" UNION ALL ")
    );
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(admin).await.expect("a count");
    Limit { rows: rows as usize, whole, ddl: percentile(ddl.into_iter(), 0.5) }
}

/// Relations of a tenant, and the kilobytes of an empty one: what the database grows by when a schema is made.
async fn empty_tenant(admin: &mut PgConnection) -> (i64, f64) {
    let migrations = tenant_migrations();
    let size = "SELECT pg_database_size(current_database())";
    sqlx::raw_sql("CHECKPOINT").execute(&mut *admin).await.expect("a checkpoint");
    let before: i64 = sqlx::query_scalar(size).fetch_one(&mut *admin).await.expect("a size");
    for index in 0..EMPTY_TENANTS {
        let sql = format!(
            "BEGIN; CREATE SCHEMA empty_{index}; SET LOCAL search_path TO empty_{index}, public; {migrations} COMMIT"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *admin).await.expect("a schema");
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut *admin).await.expect("a checkpoint");
    let after: i64 = sqlx::query_scalar(size).fetch_one(&mut *admin).await.expect("a size");
    let relations = "WITH own AS (SELECT c.oid, c.reltoastrelid FROM pg_class c
                                  WHERE c.relnamespace = 'empty_0'::regnamespace)
                     SELECT (SELECT count(*) FROM own)
                          + (SELECT count(*) FROM pg_class WHERE oid IN (SELECT reltoastrelid FROM own))
                          + (SELECT count(*) FROM pg_index WHERE indrelid IN (SELECT reltoastrelid FROM own))";
    let relations = sqlx::query_scalar(relations).fetch_one(admin).await.expect("a count");
    (relations, (after - before) as f64 / EMPTY_TENANTS as f64 / 1e3)
}
