//! Fifty thousand records, while Postgres and the sidecar are killed.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use centrex::store::{Store, StoreOptions, tenant_schema};
use sqlx::{AssertSqlSafe, ConnectOptions};
use uuid::Uuid;

use super::{metric, of_leg, post, recorded, request, tenant, token, with};
use crate::freeswitch::process::free_port;
use crate::plans;
use crate::postgres::{keyring, reachable_dir};
use crate::program::Program;
use crate::skip::skip;
use crate::switch::Site;
use crate::wait::DEADLINE;

const RECORDS: usize = 50_000;
const TENANTS: usize = 5;
/// Calls that end at the same time; FreeSWITCH posts from the thread of each call.
const POSTERS: usize = 128;
/// Time after which the test counts as stuck. Alone it takes less than a minute, next to four busy loops
/// three.
const LIMIT: Duration = Duration::from_secs(1500);

/// The leg of a record; the number contains the tenant.
fn leg(record: usize) -> Uuid {
    Uuid::from_u64_pair((record % TENANTS) as u64 + 1, (record / TENANTS) as u64)
}

/// A recorded document without the parts that are never read: an unoptimised parser needs a millisecond for
/// the whole document.
fn short(name: &str) -> String {
    let text = String::from_utf8(recorded(name)).unwrap();
    let (head, rest) = text.split_once("<channel_data>").unwrap();
    let (variables, _) = rest.split_once("<variables>").unwrap().1.split_once("</variables>").unwrap();
    let kept = [
        "uuid",
        "direction",
        "originating_leg_uuid",
        "originator",
        "start_uepoch",
        "end_uepoch",
        "hangup_cause",
    ];
    let kept: String = variables
        .lines()
        .filter(|line| kept.iter().any(|name| line.trim_start().starts_with(&format!("<{name}>"))))
        .collect();
    let callflow = "<caller_profile><destination_number>101</destination_number></caller_profile>";
    format!("{head}<variables>{kept}</variables><callflow>{callflow}</callflow></cdr>")
}

/// Posts as mod_xml_cdr does: retries for ever on any status but 200.
fn post_all(address: SocketAddr, next: &AtomicUsize, of: impl Fn(usize) -> Vec<u8>, again: &AtomicUsize) {
    let mut kept: Option<TcpStream> = None;
    loop {
        let record = next.fetch_add(1, Ordering::Relaxed);
        if record >= RECORDS {
            return;
        }
        let request = of(record);
        while try_post(address, &mut kept, &request) != Some(200) {
            kept = None;
            again.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The status of an answer; `None` if the connection ends.
fn try_post(address: SocketAddr, kept: &mut Option<TcpStream>, request: &[u8]) -> Option<u16> {
    if kept.is_none() {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.set_nodelay(true).ok()?;
        *kept = Some(stream);
    }
    let stream = kept.as_mut()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    // A body of one line at the end of a short answer.
    while !answer.ends_with(b"\n") || !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = stream.read(&mut part).ok().filter(|length| *length > 0)?;
        answer.extend_from_slice(&part[..length]);
    }
    std::str::from_utf8(&answer).ok()?.split(' ').nth(1)?.parse().ok()
}

/// A Postgres that may be killed, tenants in it, and the URL for a switch.
struct Ground {
    _directory: tempfile::TempDir,
    options: LocalOptions,
    postgres: LocalPostgres,
    tenants: Vec<Uuid>,
    /// Per tenant: a document of an A leg and one of a B leg.
    documents: Vec<[String; 2]>,
    site: Site,
}

/// `None`, and the test counts as skipped, without Postgres.
async fn ground(test: &str) -> Option<Ground> {
    let directory = reachable_dir();
    // The test kills servers and no machine, so fsync is not needed. `synchronous_commit` is off by default,
    // which must lose no acknowledged record.
    let options = LocalOptions { data_dir: directory.path().join("postgres"), durable: false };
    let postgres = match LocalPostgres::start(&options).await {
        Err(error @ LocalError::Binaries) => {
            skip(test, &error.to_string());
            return None;
        }
        started => started.unwrap(),
    };
    let connect = postgres.connect_options();
    let store = Store::connect(&StoreOptions::new(connect.clone(), keyring(&[(1, 'a')]))).await.unwrap();
    store.write_platform(&plans::platform()).await.unwrap();
    let (mut tenants, mut documents) = (Vec::new(), Vec::new());
    for at in 0..TENANTS {
        let id = tenant(&store, &format!("t{at}")).await;
        let token = token(store.signing_key(), id);
        tenants.push(id);
        documents.push(
            ["bridged-a-leg.xml", "bridged-b-leg.xml"].map(|name| with(&short(name), "centrex_call", &token)),
        );
    }
    let socket = connect.get_socket().expect("a socket").display().to_string();
    let site = Site::at(format!("postgres://centrex@localhost:{}/centrex?host={socket}", connect.get_port()));
    Some(Ground { _directory: directory, options, postgres, tenants, documents, site })
}

#[tokio::test]
async fn acknowledged_records_survive_a_crash_of_postgres() {
    let Some(ground) = ground("cdr: killed server").await else { return };
    let Ground { options, mut postgres, tenants, documents, site, _directory } = ground;
    let mut switch = site.start_command(&mut site.command("one"), "one");
    switch.wait_until("readiness", |program| program.get("/readyz").0 == 200);
    let stored = || metric(&switch, "centrex_cdrs_total{result=\"stored\"}");
    for round in 1..=3 {
        // Directly to Postgres once Postgres is reachable; not to the spool.
        let start = Instant::now();
        for other in 1.. {
            let before = stored();
            post(&switch, &of_leg(&documents[1][0], Uuid::from_u64_pair(round, other)));
            if stored() > before {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "{}", switch.log());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let before = stored();
        post(&switch, &of_leg(&documents[0][0], Uuid::from_u64_pair(0, round)));
        // At once: a record that is not being written to disk is lost with the server.
        kill(postgres);
        assert_eq!(stored(), before + 1.0, "{}", switch.log());
        postgres = LocalPostgres::start(&options).await.unwrap();
        let mut admin = postgres.admin_options().database("centrex").connect().await.unwrap();
        let count = format!("SELECT count(*) FROM {}.cdrs", tenant_schema(tenants[0]));
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut admin).await.unwrap();
        assert_eq!(count, i64::try_from(round).unwrap());
    }
}

#[test]
fn fifty_thousand_records_are_stored_exactly_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(ground) = runtime.block_on(ground("cdr: 50,000 records")) else { return };
    let Ground { options, postgres, tenants, documents, site, _directory } = ground;
    let mut postgres = Some(postgres);
    let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let sidecar = |name: &str| -> Program {
        let mut command = site.command_at("one", &address.to_string());
        site.start_command(&mut command, name)
    };
    let mut first = sidecar("first");
    first.wait_until("readiness", |program| program.get("/readyz").0 == 200);
    let mut running = Some(first);

    let (next, again) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let of = |record: usize| {
        let document = &documents[record % TENANTS][record / TENANTS % 2];
        request(of_leg(document, leg(record)).as_bytes())
    };
    std::thread::scope(|threads| {
        let posters: Vec<_> =
            (0..POSTERS).map(|_| threads.spawn(|| post_all(address, &next, of, &again))).collect();
        let reach = |share: usize| {
            while next.load(Ordering::Relaxed) < RECORDS * share / 100 {
                assert!(start.elapsed() < LIMIT, "{} were posted", next.load(Ordering::Relaxed));
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let mut sidecar_is_killed = |next: &str| {
            running.take().unwrap().end("-KILL");
            running = Some(sidecar(next));
        };
        reach(15);
        sidecar_is_killed("second");
        reach(30);
        kill(postgres.take().unwrap());
        reach(45);
        sidecar_is_killed("third"); // with a spool, and without a Postgres
        reach(55);
        postgres = Some(runtime.block_on(LocalPostgres::start(&options)).unwrap());
        reach(70);
        kill(postgres.take().unwrap());
        postgres = Some(runtime.block_on(LocalPostgres::start(&options)).unwrap());
        reach(85);
        sidecar_is_killed("fourth");
        posters.into_iter().for_each(|poster| poster.join().unwrap());
    });
    eprintln!("posted in {:?}, {} tries again", start.elapsed(), again.load(Ordering::Relaxed));

    let (postgres, running) = (postgres.unwrap(), running.unwrap());
    runtime.block_on(async {
        let mut admin = postgres.admin_options().database("centrex").connect().await.unwrap();
        let all: Vec<String> =
            tenants.iter().map(|id| format!("SELECT count(*) FROM {}.cdrs", tenant_schema(*id))).collect();
        let all = format!("SELECT sum(count)::bigint FROM ({}) AS counts", all.join(" UNION ALL "));
        loop {
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(all.clone())).fetch_one(&mut admin).await.unwrap();
            if count == RECORDS as i64 {
                break;
            }
            assert!(start.elapsed() < LIMIT && count < RECORDS as i64, "{count} rows\n{}", running.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (at, id) in (1u64..).zip(&tenants) {
            let sql = format!(
                "SELECT count(*), count(DISTINCT uuid),
                        count(*) FILTER (WHERE uuid::text LIKE '00000000-0000-{at:04x}-%'),
                        count(*) FILTER (WHERE leg = 'b')
                 FROM {}.cdrs",
                tenant_schema(*id)
            );
            let counts: (i64, i64, i64, i64) =
                sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut admin).await.unwrap();
            let each = (RECORDS / TENANTS) as i64;
            assert_eq!(counts, (each, each, each, each / 2), "tenant {at}");
        }
        let quarantined: i64 = sqlx::query_scalar("SELECT count(*) FROM public.cdr_quarantine")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert_eq!(quarantined, 0);
    });
    let (status, log) = running.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    eprintln!("all there after {:?}", start.elapsed());
}

/// Ends a server as a crash does.
fn kill(postgres: LocalPostgres) {
    let pid = postgres.pid().to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
}
