//! Call records of a standalone, read from its Postgres.

use std::path::Path;

use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

/// The row of an `a` leg by the number that was dialled first, and the rows of its outbound legs.
pub fn of<'a>(rows: &'a [Value], dialled: &str, cause: &str) -> (&'a Value, Vec<&'a Value>) {
    let is =
        |row: &&Value| row["leg"] == "a" && row["destination"] == dialled && row["hangup_cause"] == cause;
    let a =
        rows.iter().find(is).unwrap_or_else(|| panic!("no call to {dialled} ended with {cause}: {rows:#?}"));
    (a, rows.iter().filter(|row| row["leg"] == "b" && row["originating_uuid"] == a["uuid"]).collect())
}

/// All rows of `cdrs` with the name of their `tenant`, ordered by start, and of the quarantine, without the
/// posted documents.
pub fn all(data_dir: &Path) -> (Vec<Value>, Vec<Value>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut admin = connect(data_dir).await;
        let tenants: Vec<(String, String)> =
            sqlx::query_as("SELECT name, schema_name FROM public.tenants").fetch_all(&mut admin).await.unwrap();
        let of = |(name, schema): &(String, String)| format!("SELECT '{name}' AS tenant, * FROM {schema}.cdrs");
        let union = tenants.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
        let rows = format!("SELECT row_to_json(c)::text FROM ({union}) AS c ORDER BY started_at");
        let quarantine =
            "SELECT (to_jsonb(q) - 'body' - 'digest')::text FROM public.cdr_quarantine AS q ORDER BY received_at";
        (fetch(&mut admin, rows).await, fetch(&mut admin, quarantine.to_owned()).await)
    })
}

/// The rows of `emergency_calls`, with the name of their `tenant`, in order.
pub fn emergency_calls(data_dir: &Path) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut admin = connect(data_dir).await;
        let sql = "SELECT row_to_json(c)::text FROM (
                       SELECT t.name AS tenant, e.* FROM public.emergency_calls e
                       JOIN public.tenants t ON t.id = e.tenant_id) AS c ORDER BY called_at";
        fetch(&mut admin, sql.to_owned()).await
    })
}

/// The rows of a query, each as one JSON object.
pub fn query(data_dir: &Path, sql: &str) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut admin = connect(data_dir).await;
        fetch(&mut admin, format!("SELECT row_to_json(q)::text FROM ({sql}) AS q")).await
    })
}

/// Executes a statement.
pub fn execute(data_dir: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut admin = connect(data_dir).await;
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut admin).await.expect("a statement");
    });
}

async fn connect(data_dir: &Path) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().socket(data_dir.join("postgres"));
    let options = options.username("postgres").database("centrex");
    options.connect().await.expect("Postgres of the standalone")
}

async fn fetch(admin: &mut PgConnection, sql: String) -> Vec<Value> {
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(admin).await.expect("rows");
    rows.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect()
}
