//! Call records: what mod_xml_cdr posts (`recorded/`, from FreeSWITCH 1.11.2 and 1.10.12), taken in by
//! `centrex switch` and kept in a real Postgres.

mod documents;

use centrex::plan::TenantPlan;
use centrex::route::token::sign_call;
use centrex::route::{Caller, SigningKey};
use centrex::store::{Store, tenant_schema};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::plans;
use crate::program::{Program, repository};

/// The body of a recorded request, or the whole of another recorded file.
fn recorded(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(repository("e2e/cdr/recorded").join(name)).unwrap();
    let Some(end) = name.ends_with(".http").then(|| find(&bytes, b"\r\n\r\n").unwrap()) else { return bytes };
    bytes[end + 4..].to_vec()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// A recorded document of a call that our dialplan routed for somebody: with its signed variable.
fn signed(name: &str, token: &str) -> String {
    with(&String::from_utf8(recorded(name)).unwrap(), "centrex_call", token)
}

/// A document with another variable.
fn with(document: &str, variable: &str, value: &str) -> String {
    let (before, after) = document.split_once("<variables>").unwrap();
    let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
    format!("{before}<variables><{variable}>{value}</{variable}>{after}")
}

/// The same document of another leg.
fn of_leg(document: &str, leg: Uuid) -> String {
    let (_, rest) = document.split_once("<uuid>").unwrap();
    document.replace(rest.split_once('<').unwrap().0, &leg.to_string())
}

/// A tenant in Postgres, with the signed variable of its calls.
async fn tenant(store: &Store, name: &str) -> (TenantPlan, String) {
    let plan = plans::tenant_with(name, 1);
    store.write_tenant(&plan).await.unwrap();
    let token = token(&store.signing_key(), plan.tenant.id);
    (plan, token)
}

fn token(key: &SigningKey, tenant: Uuid) -> String {
    let caller = Caller::Extension("e100".to_owned());
    sign_call(key, tenant, &caller, "8fe7ded1-e48c-4770-ad45-d34b63432a48").unwrap().to_string()
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

/// Posts a document, which must be taken.
fn post(program: &Program, document: &str) {
    let answer = program.send(&request(document.as_bytes()));
    assert_eq!(answer, (200, "kept\n".to_owned()));
}

/// How many records a tenant has.
async fn count(admin: &mut PgConnection, tenant: Uuid) -> i64 {
    let sql = format!("SELECT count(*) FROM {}.cdrs", tenant_schema(tenant));
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(admin).await.unwrap()
}

/// Reasons of everything in quarantine.
async fn reasons(admin: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT reason FROM public.cdr_quarantine ORDER BY reason";
    sqlx::query_scalar(sql).fetch_all(admin).await.unwrap()
}

/// A metric's value.
fn metric(program: &Program, name: &str) -> f64 {
    let (_, page) = program.get("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}
