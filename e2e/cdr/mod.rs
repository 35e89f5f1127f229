//! Call records: what mod_xml_cdr posts (`recorded/`, from FreeSWITCH 1.11.2 and 1.10.12), received by
//! `centrex switch` and stored in a real Postgres.

mod documents;
mod durable;
mod full;
mod hostile;
mod intake;
mod keeping;
mod leftovers;
mod rights;
mod storm;

use std::time::{Duration, Instant};

use centrex::plan::TenantPlan;
use centrex::route::Caller;
use centrex::route::token::sign_call;
use centrex::secrets::signing_key::SigningKey;
use centrex::store::{Store, tenant_schema};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::plans;
use crate::postgres::{Database, keyring};
use crate::program::{Program, repository, sample};
use crate::switch::Site;
use crate::wait::DEADLINE;

/// A database with two tenants, and a switch.
struct Scene {
    database: Database,
    store: Store,
    admin: PgConnection,
    site: Site,
    a: Uuid,
    b: Uuid,
}

impl Scene {
    /// A scene without a switch; `None`, and the test counts as skipped, without Postgres.
    async fn start(test: &str) -> Option<Self> {
        let database = Database::start(test).await?;
        let store = database.store(&keyring(&[(1, 'a')])).await;
        store.write_platform(&plans::platform()).await.unwrap();
        let (a, b) = (tenant(&store, "a").await, tenant(&store, "b").await);
        let (admin, site) = (database.admin().await, Site::on(&database));
        Some(Self { database, store, admin, site, a, b })
    }

    /// A switch that is ready, with further options.
    fn switch(&self, name: &str, options: &[&str]) -> Program {
        let mut command = self.site.command(name);
        command.args(options);
        let mut program = self.site.start_command(&mut command, name);
        program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
        program
    }

    /// A signed variable of a tenant's calls.
    fn token(&self, tenant: Uuid) -> String {
        token(self.store.signing_key(), tenant)
    }

    /// The record of a tenant's leg, from a recorded document.
    fn document(&self, name: &str, tenant: Uuid, leg: Uuid) -> String {
        of_leg(&signed(name, &self.token(tenant)), leg)
    }

    /// Number of records of a tenant.
    async fn count(&mut self, tenant: Uuid) -> i64 {
        self.scalar(&format!("SELECT count(*) FROM {}.cdrs", tenant_schema(tenant))).await
    }

    /// A number that a query returns.
    async fn scalar(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.admin).await.unwrap()
    }

    /// Waits until a tenant has so many records.
    async fn counts(&mut self, tenant: Uuid, wanted: i64) {
        let sql = format!("SELECT count(*) FROM {}.cdrs", tenant_schema(tenant));
        self.becomes(&sql, wanted).await;
    }

    /// Waits until a query returns a number.
    async fn becomes(&mut self, sql: &str, wanted: i64) {
        let start = Instant::now();
        loop {
            let found = self.scalar(sql).await;
            if found == wanted {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{sql}: {found}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs SQL as the superuser.
    async fn sql(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.admin).await.unwrap();
    }

    /// Closes the database to all but the superuser, or opens it again.
    async fn postgres_is(&mut self, there: bool) {
        let mut server = self.database.server_admin().await;
        let sql = format!(
            "ALTER DATABASE {} CONNECTION LIMIT {}",
            self.database.name(),
            if there { -1 } else { 0 }
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await.unwrap();
        if !there {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND usename <> current_user";
            self.sql(end).await;
        }
    }

    /// Reasons of all records in quarantine.
    async fn reasons(&mut self) -> Vec<String> {
        let sql = "SELECT reason FROM public.cdr_quarantine ORDER BY reason";
        sqlx::query_scalar(sql).fetch_all(&mut self.admin).await.unwrap()
    }
}

/// A tenant in Postgres with the extensions 100 and 101, and a number.
async fn tenant(store: &Store, name: &str) -> Uuid {
    let mut plan: TenantPlan = plans::tenant_with(name, 2);
    if name == "a" {
        plan.numbers.insert("main".to_owned(), plans::number("+493023125000", "e100"));
    }
    store.write_tenant(&plan).await.unwrap();
    plan.tenant.id
}

fn token(key: &SigningKey, tenant: Uuid) -> String {
    token_of(key, tenant, &Caller::Extension("e100".to_owned()))
}

fn token_of(key: &SigningKey, tenant: Uuid, caller: &Caller) -> String {
    sign_call(key, tenant, caller, "8fe7ded1-e48c-4770-ad45-d34b63432a48").unwrap().to_string()
}

/// The body of a recorded request, or the whole of another recorded file.
fn recorded(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(repository("e2e/cdr/recorded").join(name)).unwrap();
    let Some(end) = name.ends_with(".http").then(|| find(&bytes, b"\r\n\r\n").unwrap()) else { return bytes };
    bytes[end + 4..].to_vec()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// A recorded document of a call that our dialplan routed: with its signed variable.
fn signed(name: &str, token: &str) -> String {
    with(&String::from_utf8(recorded(name)).unwrap(), "centrex_call", token)
}

/// A document with another variable.
fn with(document: &str, variable: &str, value: &str) -> String {
    let (before, after) = document.split_once("<variables>").unwrap();
    format!("{before}<variables><{variable}>{}</{variable}>{after}", encoded(value))
}

/// URL-encoded, as mod_xml_cdr does it.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The same document of another leg.
fn of_leg(document: &str, leg: Uuid) -> String {
    let (_, rest) = document.split_once("<uuid>").unwrap();
    document.replace(rest.split_once('<').unwrap().0, &leg.to_string())
}

/// What mod_xml_cdr sends with `encode` = `textxml`.
fn request(body: &[u8]) -> Vec<u8> {
    request_of("text/xml", body)
}

fn request_of(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /freeswitch/cdr?uuid=a_x HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
         Authorization: Basic ZnJlZXN3aXRjaDpkZW1vLW9ubHk=\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Posts a document; panics unless it is accepted.
fn post(program: &Program, document: &str) {
    let answer = program.send(&request(document.as_bytes()));
    assert_eq!(answer, (200, "kept\n".to_owned()), "{}", program.log());
}

/// Value of a metric; 0 if it was not counted yet.
fn metric(program: &Program, name: &str) -> f64 {
    sample(&program.get("/metrics").1, name).unwrap_or(0.0)
}
