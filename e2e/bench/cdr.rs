//! Call records posted to the listener until they are in Postgres, compared with a batched INSERT of the same
//! rows.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use centrex::local_postgres::{LocalError, LocalPostgres};
use centrex::route::Caller;
use centrex::route::token::sign_call;
use centrex::secrets::keyring::Keyring;
use centrex::store::{Reader, StoreOptions};
use memchr::memmem;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Options;
use crate::load::{PASSWORD, Socket, USERNAME};
use crate::manifests;
use crate::report::Row;
use crate::size::{reachable_folder, start_postgres};
use crate::standalone::Standalone;
use crate::turns::by_turns;

/// Legs of a round, rounds, and calls that end at the same time.
const LEGS: usize = 20_000;
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 256;
/// Rows of one INSERT: the largest batch of the intake.
const BATCH: usize = 500;
const TENANTS: usize = 10;
const AGAINST_SWITCH: &str = "Call records of 20 kB taken in, none lost";
const LEGS_OF_A_CALL: f64 = 2.0;
/// Legs taken in a second, as a multiple of those that the FreeSWITCH of this run ends.
const LEAST: f64 = 20.0;

/// Runs the measurement if Postgres is installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folder = reachable_folder();
    let postgres = match runtime.block_on(start_postgres(folder.path())) {
        Ok(postgres) => postgres,
        Err(error @ LocalError::Binaries) => {
            return vec![Row::skipped("Call records taken in", error.to_string())];
        }
        Err(error) => panic!("{error}"),
    };
    let bench = Bench::new(&runtime, folder.path(), &postgres, options.size(LEGS));
    let turns = by_turns(ROUNDS, || bench.intake(&runtime), || bench.insert(&runtime));
    bench.centrex.end();
    let taken_in = |what| Row::new(what, format!("{:.0}/s", turns.first));
    let by_switch = match options.calls.get() {
        None => Row::skipped(AGAINST_SWITCH, "the part sip measures what FreeSWITCH ends"),
        Some(calls) => {
            let ratio = turns.first / (calls * LEGS_OF_A_CALL);
            taken_in(AGAINST_SWITCH)
                .against(format!("{:.0} legs/s ended by FreeSWITCH", calls * LEGS_OF_A_CALL), ratio)
                .goal(&format!("≥ {LEAST:.0}"), ratio >= LEAST)
        }
    };
    let by_insert = taken_in("Call records of 20 kB taken in")
        .against(format!("{:.0}/s by INSERT of {BATCH}", turns.second), turns.ratio);
    vec![by_switch, by_insert]
}

struct Bench {
    centrex: Standalone,
    admin: tokio::sync::Mutex<PgConnection>,
    schemas: Vec<String>,
    /// One signed document of each tenant; the uuid has the same offsets in all.
    documents: Vec<Vec<u8>>,
    legs: usize,
}

impl Bench {
    fn new(runtime: &Runtime, folder: &Path, postgres: &LocalPostgres, legs: usize) -> Self {
        let (manifests, data) = (folder.join("manifests"), folder.join("data"));
        std::fs::create_dir(&data).expect("a data directory");
        manifests::write(&manifests, TENANTS, &manifests::platform(5060, 5080));
        let url = postgres.connect_options().to_url_lossy().to_string();
        runtime.block_on(async {
            let centrex = Standalone::start(&manifests, &data, &url).await;
            let keys = Keyring::read_file(&data.join("encryption-keys")).expect("its keys");
            let reader = Reader::lazy(&StoreOptions::new(postgres.connect_options(), Arc::new(keys)));
            let key = reader.signing_key().await.expect("the signing key");
            let admin = postgres.admin_options().database("centrex").connect().await;
            let mut admin = admin.expect("a login");
            let tenants: Vec<(Uuid, String)> =
                sqlx::query_as("SELECT id, schema_name FROM public.tenants ORDER BY id")
                    .fetch_all(&mut admin)
                    .await
                    .expect("tenants");
            assert_eq!(tenants.len(), TENANTS);
            let documents = tenants.iter().map(|(id, _)| {
                let token = sign_call(&key, *id, &Caller::Outside, "leg").expect("a token").to_string();
                let text = include_str!("../cdr/recorded/bridged-a-leg.xml");
                let token = format!("<variables><centrex_call>{}</centrex_call>", token.replace('/', "%2F"));
                text.replacen("<variables>", &token, 1).into_bytes()
            });
            let documents = documents.collect();
            let schemas = tenants.iter().map(|(_, schema)| schema.clone()).collect();
            Self { centrex, admin: tokio::sync::Mutex::new(admin), schemas, documents, legs }
        })
    }

    /// Legs per second, from the first post until the last record is in Postgres.
    fn intake(&self, runtime: &Runtime) -> f64 {
        runtime.block_on(async {
            self.empty().await;
            let (next, legs) = (Arc::new(AtomicUsize::new(0)), self.legs);
            let start = Instant::now();
            let address = self.centrex.address;
            let posting: Vec<_> = (self.documents.iter().cycle().take(CONNECTIONS))
                .map(|document| tokio::spawn(post(address, document.clone(), next.clone(), legs)))
                .collect();
            for task in posting {
                task.await.expect("a posting task");
            }
            while self.count().await < legs {
                assert!(start.elapsed() < Duration::from_secs(300), "{}", self.centrex.log());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            legs as f64 / start.elapsed().as_secs_f64()
        })
    }

    /// Legs per second by INSERT of the stored rows into the same tables, tenant by tenant.
    fn insert(&self, runtime: &Runtime) -> f64 {
        if runtime.block_on(self.count()) < self.legs {
            self.intake(runtime);
        }
        runtime.block_on(async {
            let mut batches = Vec::new();
            for schema in &self.schemas {
                let sql = format!(
                    "SELECT (SELECT '(' || string_agg(quote_nullable(value), ',') || ')'
                             FROM json_each_text(row_to_json(c)))
                     FROM {schema}.cdrs AS c"
                );
                let mut admin = self.admin.lock().await;
                let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *admin);
                let rows: Vec<String> = rows.await.expect("rows");
                let insert = |rows: &[String]| format!("INSERT INTO {schema}.cdrs VALUES {}", rows.join(","));
                batches.extend(rows.chunks(BATCH).map(insert));
            }
            self.empty().await;
            let start = Instant::now();
            for batch in batches {
                sqlx::raw_sql(AssertSqlSafe(batch))
                    .execute(&mut *self.admin.lock().await)
                    .await
                    .expect("INSERT");
            }
            assert_eq!(self.count().await, self.legs, "rows");
            self.legs as f64 / start.elapsed().as_secs_f64()
        })
    }

    async fn empty(&self) {
        let all = self.schemas.iter().map(|schema| format!("{schema}.cdrs")).collect::<Vec<_>>().join(", ");
        let sql = AssertSqlSafe(format!("TRUNCATE {all}"));
        sqlx::raw_sql(sql).execute(&mut *self.admin.lock().await).await.expect("TRUNCATE");
    }

    async fn count(&self) -> usize {
        let of = |schema: &String| format!("SELECT count(*) AS count FROM {schema}.cdrs");
        let all = self.schemas.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
        let sql = AssertSqlSafe(format!("SELECT sum(count)::bigint FROM ({all}) AS counts"));
        let count: i64 =
            sqlx::query_scalar(sql).fetch_one(&mut *self.admin.lock().await).await.expect("a count");
        usize::try_from(count).expect("a count")
    }
}

/// Posts legs one after the other on one connection until none is left. Only the uuid of the document is
/// rewritten, so that the client leaves the processors to the server.
async fn post(address: SocketAddr, document: Vec<u8>, next: Arc<AtomicUsize>, legs: usize) {
    let old = b"8fe7ded1-e48c-4770-ad45-d34b63432a48";
    let credentials = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    let head = format!(
        "POST /freeswitch/cdr HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        document.len()
    );
    let mut request = [head.into_bytes(), document].concat();
    let places: Vec<usize> = memmem::find_iter(&request, old).collect();
    let mut socket = Socket::open(address).await;
    loop {
        let leg = next.fetch_add(1, Ordering::Relaxed);
        if leg >= legs {
            return;
        }
        let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
        Uuid::from_u128(leg as u128).hyphenated().encode_lower(&mut uuid);
        for place in &places {
            request[*place..*place + uuid.len()].copy_from_slice(&uuid);
        }
        // A record that is not acknowledged is sent again.
        while !socket.answer(&request).await.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
