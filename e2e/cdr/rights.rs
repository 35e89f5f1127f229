//! Which accounts may insert call records, and that the right includes nothing else.

use centrex::store::tenant_schema;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use super::Scene;

async fn code(login: &mut PgConnection, sql: &str) -> Option<String> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(login).await;
    Some(done.err()?.as_database_error()?.code()?.into_owned())
}

fn insert_sql(tenant: Uuid, leg: u128) -> String {
    let now = "2026-11-21T00:00:00Z";
    format!(
        r#"SELECT {}.take_cdrs(ARRAY(SELECT json_populate_record(NULL::public.cdr,
           '{{"uuid": "{}", "leg": "a", "started_at": "{now}", "received_at": "{now}", "clock_skewed": false}}')))"#,
        tenant_schema(tenant),
        Uuid::from_u128(leg)
    )
}

#[tokio::test]
async fn a_switch_may_insert_records_and_change_nothing_else() {
    let Some(mut scene) = Scene::start("cdr: rights").await else { return };
    let (a, schema) = (scene.a, tenant_schema(scene.a));
    let id = Uuid::now_v7().simple();
    let (switch, reader) = (format!("switch_{id}"), format!("reader_{id}"));
    let grants = format!(
        "CREATE ROLE {switch} LOGIN; CREATE ROLE {reader} LOGIN; GRANT pg_read_all_data TO {switch}, {reader};
         GRANT INSERT ON public.cdr_quarantine, public.emergency_calls TO {switch};
         GRANT INSERT, UPDATE, DELETE ON public.registrations TO {switch};
         GRANT INSERT, UPDATE ON public.device_alerts TO {switch}"
    );
    scene.sql(&grants).await;
    let connect = |login: &str| scene.database.options().username(login);
    let mut theirs = connect(&switch).connect().await.unwrap();
    let mut readers = connect(&reader).connect().await.unwrap();

    const DENIED: Option<&str> = Some("42501");
    assert_eq!(code(&mut theirs, &insert_sql(a, 1)).await, None);
    assert_eq!(code(&mut readers, &insert_sql(a, 2)).await.as_deref(), DENIED);
    assert_eq!(scene.count(a).await, 1);
    for sql in [
        format!("INSERT INTO {schema}.cdrs SELECT * FROM {schema}.cdrs"),
        format!("UPDATE {schema}.cdrs SET billed_ms = 0"),
        format!("DELETE FROM {schema}.cdrs"),
        format!("TRUNCATE {schema}.cdrs"),
        format!("DELETE FROM {schema}.extensions"),
        format!("DELETE FROM {schema}.resources"),
        format!("DELETE FROM {schema}.changes"),
        format!("CREATE TABLE {schema}.x (y int)"),
        format!("SET ROLE {schema}"),
        "DELETE FROM public.cdr_quarantine".to_owned(),
        "DELETE FROM public.device_alerts".to_owned(),
        "UPDATE public.cdr_quarantine SET reason = ''".to_owned(),
    ] {
        assert_eq!(code(&mut theirs, &sql).await.as_deref(), DENIED, "{sql}");
    }

    // No object of the caller shadows a name in the function, so the caller cannot make the function run its
    // code with the tenant's rights.
    let trap = "CREATE TEMP TABLE cdrs (LIKE pg_class);
                CREATE FUNCTION pg_temp.has_table_privilege(name, text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
                CREATE FUNCTION pg_temp.unnest(anyarray) RETURNS SETOF anyelement
                    LANGUAGE plpgsql AS $$ BEGIN DELETE FROM extensions; END $$;
                SET search_path = pg_temp, public";
    for login in [&mut theirs, &mut readers] {
        assert_eq!(code(login, trap).await, None);
    }
    assert_eq!(code(&mut readers, &insert_sql(a, 3)).await.as_deref(), DENIED);
    assert_eq!(code(&mut theirs, &insert_sql(a, 4)).await, None);
    assert_eq!(scene.count(a).await, 2);
    assert_eq!(scene.scalar(&format!("SELECT count(*) FROM {schema}.extensions")).await, 2);
    // A tenant's own role cannot add to another tenant.
    let mut owner = scene.database.options().connect().await.unwrap();
    let as_b = format!("BEGIN; SET LOCAL ROLE {}; {}", tenant_schema(scene.b), insert_sql(a, 5));
    assert_eq!(code(&mut owner, &as_b).await.as_deref(), DENIED);

    for login in [theirs, readers, owner] {
        login.close().await.unwrap();
    }
    scene.sql(&format!("DROP OWNED BY {switch}, {reader}; DROP ROLE {switch}, {reader}")).await;
}

#[tokio::test]
async fn the_insert_function_has_a_fixed_owner_and_search_path() {
    let Some(mut scene) = Scene::start("cdr: definer").await else { return };
    let schema = tenant_schema(scene.a);
    let sql = format!(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace
         AND proowner = '{schema}'::regrole AND 'search_path={schema}, pg_temp' = ANY (proconfig)
         AND prosecdef AND proname = 'take_cdrs'"
    );
    assert_eq!(scene.scalar(&sql).await, 1);
    let all = format!("SELECT count(*) FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace");
    assert_eq!(scene.scalar(&all).await, 1);
    // Functions that all tenants share run with the rights of the caller.
    let common = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname ~ 'cdr' AND prosecdef";
    assert_eq!(scene.scalar(common).await, 0);
}

#[tokio::test]
async fn the_record_type_matches_the_columns_of_the_table() {
    let Some(mut scene) = Scene::start("cdr: columns").await else { return };
    // Postgres reads a composite value by position: the fields must be in the order of the columns.
    let source = include_str!("../../src/cdr/record.rs");
    let (_, fields) = source.split_once("pub struct Cdr {\n").unwrap();
    let (fields, _) = fields.split_once("\n}").unwrap();
    let fields: Vec<&str> = fields
        .lines()
        .map(|line| line.trim().strip_prefix("pub ").unwrap().split_once(':').unwrap().0)
        .collect();
    for of in ["public.cdr".to_owned(), format!("{}.cdrs", tenant_schema(scene.a))] {
        let sql = format!(
            "SELECT attname::text FROM pg_attribute
             WHERE attrelid = '{of}'::regclass AND attnum > 0 ORDER BY attnum"
        );
        let columns: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut scene.admin).await.unwrap();
        assert_eq!(columns, fields, "{of}");
    }
}
