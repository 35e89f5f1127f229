//! The role of a tenant reaches its own schema, and nothing else.

use centrex::store::{migrate, tenant_schema};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::plans;
use crate::postgres::{Database, keyring};

/// Runs one statement as a tenant in a transaction that is rolled back.
async fn as_tenant(login: &mut PgConnection, schema: &str, sql: &str) -> Result<u64, String> {
    let mut transaction = login.begin().await.unwrap();
    let enter = format!("SET LOCAL ROLE {schema}; SET LOCAL search_path TO {schema}, public");
    sqlx::raw_sql(AssertSqlSafe(enter)).execute(&mut *transaction).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *transaction).await;
    done.map(|done| done.rows_affected()).map_err(|error| {
        error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
    })
}

#[tokio::test]
async fn a_tenants_role_reaches_only_its_own_schema() {
    let Some(database) = Database::start("store: isolation").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (a, b) = (plans::tenant_with("a", 3), plans::tenant_with("b", 5));
    store.write_platform(&plans::platform()).await.unwrap();
    store.write_tenant(&a).await.unwrap();
    store.write_tenant(&b).await.unwrap();
    let (schema_a, schema_b) = (tenant_schema(a.tenant.id), tenant_schema(b.tenant.id));
    let mut login = store.pool().acquire().await.unwrap();

    // In its own schema it may do everything; a name without a schema means its own rows.
    assert_eq!(as_tenant(&mut login, &schema_a, "SELECT * FROM extensions").await, Ok(3));
    assert_eq!(as_tenant(&mut login, &schema_b, "SELECT * FROM extensions").await, Ok(5));
    assert_eq!(as_tenant(&mut login, &schema_a, "DELETE FROM extensions").await, Ok(3));

    const DENIED: &str = "42501";
    let mut hostile = Vec::new();
    for table in tables(&mut login, &schema_b).await {
        hostile.push(format!("SELECT * FROM {schema_b}.{table}"));
        hostile.push(format!("DELETE FROM {schema_b}.{table}"));
        hostile.push(format!("DROP TABLE {schema_b}.{table}"));
    }
    for table in tables(&mut login, "public").await {
        hostile.push(format!("SELECT * FROM public.{table}"));
        hostile.push(format!("DELETE FROM public.{table}"));
        hostile.push(format!("COPY public.{table} TO STDOUT"));
    }
    hostile.extend([
        "SELECT * FROM tenants".to_owned(),
        "UPDATE public.tenants SET suspended = true".to_owned(),
        "INSERT INTO public.domains VALUES ('stolen.example.com', gen_random_uuid())".to_owned(),
        format!("INSERT INTO {schema_b}.extensions (name, body, fingerprint) VALUES ('x', '{{}}', '')"),
        format!(
            "INSERT INTO {schema_b}.resources (kind, name, body, fingerprint) VALUES ('x', 'x', '{{}}', '')"
        ),
        "INSERT INTO public.platform_resources (kind, name, body, fingerprint) VALUES ('x', 'x', '{}', '')"
            .to_owned(),
        format!("DROP SCHEMA {schema_b} CASCADE"),
        "DROP TABLE public.tenants".to_owned(),
        "DROP SCHEMA public CASCADE".to_owned(),
        format!("DROP ROLE {schema_b}"),
        format!("ALTER ROLE {schema_b} LOGIN"),
        format!("GRANT {schema_b} TO {schema_a}"),
        format!("ALTER SCHEMA {schema_b} OWNER TO {schema_a}"),
        format!("CREATE TABLE {schema_b}.x (y int)"),
        "CREATE TABLE public.x (y int)".to_owned(),
        "CREATE SCHEMA x".to_owned(),
        "CREATE ROLE x".to_owned(),
        "COPY extensions TO PROGRAM 'id'".to_owned(),
        "SELECT pg_read_file('/etc/passwd')".to_owned(),
    ]);
    for sql in hostile {
        assert_eq!(as_tenant(&mut login, &schema_a, &sql).await, Err(DENIED.to_owned()), "{sql}");
    }
}

/// Tables and views of a schema.
async fn tables(login: &mut PgConnection, schema: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'v')",
    )
    .bind(schema)
    .fetch_all(login)
    .await
    .unwrap();
    assert!(tables.len() >= 7);
    tables
}

#[tokio::test]
async fn a_role_owns_its_schema_and_nothing_else() {
    let Some(database) = Database::start("store: ownership").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let plan = plans::tenant_with("acme", 1);
    store.write_tenant(&plan).await.unwrap();
    let schema = tenant_schema(plan.tenant.id);
    let mut admin = database.admin().await;
    let flags: (bool, bool, bool, bool) = sqlx::query_as(
        "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = $1",
    )
    .bind(&schema)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(flags, (false, false, false, false));
    let elsewhere: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relowner = $1::regrole AND n.nspname <> $1 AND n.nspname <> 'pg_toast'",
    )
    .bind(&schema)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
    let superuser: bool = sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = 'centrex'")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(!superuser, "the tests would show nothing with a superuser");
    // Every table has a comment.
    let silent: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND n.nspname IN ('public', $1) AND obj_description(c.oid) IS NULL",
    )
    .bind(&schema)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!((silent, migrate::TENANT.len()), (0, 2));
}
