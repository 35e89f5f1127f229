//! Time from a new revision in Postgres until three switches report that they have applied it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use centrex::local_postgres::LocalError;
use sqlx::{ConnectOptions, PgConnection};

use crate::Options;
use crate::freeswitch::{binary, memory_folder};
use crate::load::{PASSWORD, USERNAME};
use crate::manifests;
use crate::peers::switch::{ESL_PASSWORD, Switch, templates};
use crate::peers::{Process, free_port};
use crate::report::Row;
use crate::size::{reachable_folder, start_postgres};
use crate::standalone::{Standalone, ready};
use crate::turns::percentile;

const WHAT: &str = "Revision → live on 3 switches";
const TENANTS: usize = 100;
const CHANGES: usize = 100;
/// Last numbers of the SIP addresses of the switches.
const HOSTS: [u8; 3] = [91, 92, 93];
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the measurement if FreeSWITCH and Postgres are installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let Some(binary) = binary() else {
        return vec![Row::skipped(WHAT, "FreeSWITCH is not installed (FREESWITCH_PREFIX names its prefix)")];
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(options, &binary))
}

async fn measure(options: &Options, binary: &Path) -> Vec<Row> {
    let folder = reachable_folder();
    let postgres = match start_postgres(folder.path()).await {
        Ok(postgres) => postgres,
        Err(error @ LocalError::Binaries) => return vec![Row::skipped(WHAT, error.to_string())],
        Err(error) => panic!("{error}"),
    };
    let (manifests, data) = (folder.path().join("manifests"), folder.path().join("data"));
    std::fs::create_dir(&data).expect("a data directory");
    let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let platform = manifests::platform(port(), port()).replace(", bindAddress: 127.0.0.1", "");
    manifests::write(&manifests, TENANTS, &platform);
    let database = postgres.connect_options().to_url_lossy().to_string();
    let mut admin = postgres.admin_options().database("centrex").connect().await.expect("a login");
    let centrex = Standalone::start(&manifests, &data, &database).await;
    let memory = memory_folder();
    let mut switches = Vec::new();
    for host in HOSTS {
        let folder = memory.path().join(host_name(host));
        switches.push(Beside::start(binary, &folder, host, &database, &data).await);
    }
    wait_until_live(&mut admin, &switches).await;

    let mut took = Vec::new();
    for change in 0..options.size(CHANGES) {
        let tenant = change % TENANTS;
        // The first extension gets another number, so registrations under the old number are dropped.
        let text = manifests::tenant(tenant, Some(&(2000 + change).to_string()));
        let before = revision(&mut admin, tenant).await;
        std::fs::write(manifests::file(&manifests, tenant), text).expect("a manifest");
        let start = Instant::now();
        while revision(&mut admin, tenant).await == before {
            assert!(start.elapsed() < PATIENCE, "never compiled\n{}", centrex.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let start = Instant::now();
        while live(&mut admin).await < HOSTS.len() as i64 * TENANTS as i64 {
            assert!(start.elapsed() < PATIENCE, "never live\n{}", switches[0].sidecar.tail(20));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    centrex.end();
    let at = |share| percentile(took.iter().copied(), share);
    vec![Row::new(WHAT, format!("p50 {:.0} ms, p99 {:.0} ms", at(0.5), at(0.99)))]
}

/// The stored revision of a tenant.
async fn revision(admin: &mut PgConnection, tenant: usize) -> i64 {
    let query = sqlx::query_scalar("SELECT revision FROM public.tenants WHERE name = $1");
    query.bind(manifests::name(tenant)).fetch_one(admin).await.expect("a tenant's revision")
}

/// How many tenants have the stored revision on how many of the three switches: `centrex standalone` itself
/// answers and reports, too.
async fn live(admin: &mut PgConnection) -> i64 {
    let query = "SELECT count(*) FROM public.switch_state JOIN public.tenants ON id = tenant_id \
                 WHERE switch_state.revision = tenants.revision AND switch = ANY($1)";
    sqlx::query_scalar(query)
        .bind(HOSTS.map(host_name).to_vec())
        .fetch_one(admin)
        .await
        .expect("the live revisions")
}

async fn wait_until_live(admin: &mut PgConnection, switches: &[Beside]) {
    let start = Instant::now();
    while live(admin).await < (switches.len() * TENANTS) as i64 {
        let logs: String = switches.iter().map(|beside| beside.sidecar.tail(10)).collect();
        assert!(start.elapsed() < PATIENCE, "never live\n{logs}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A FreeSWITCH and its sidecar.
struct Beside {
    sidecar: Process,
    _switch: Switch,
}

impl Beside {
    async fn start(binary: &Path, folder: &Path, host: u8, database: &str, data: &Path) -> Self {
        let free = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (xml, esl, health) = (free(), free(), free());
        templates(&folder.join("templates"), Ipv4Addr::new(127, 0, 0, host));
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.args(["switch", "--log", "warn", "--name", &host_name(host)]);
        command.args(["--xml-listen", &format!("127.0.0.1:{xml}")]);
        command.args(["--health-listen", &format!("127.0.0.1:{health}")]);
        command.args(["--esl-address", &format!("127.0.0.1:{esl}"), "--esl-password", ESL_PASSWORD]);
        command.arg("--templates").arg(folder.join("templates")).arg("--data-dir").arg(folder.join("data"));
        command.env("CENTREX_DATABASE_URL", database);
        command.env("CENTREX_ENCRYPTION_KEY_FILE", data.join("encryption-keys"));
        command.env("CENTREX_XML_USERNAME", USERNAME).env("CENTREX_XML_PASSWORD", PASSWORD);
        let mut sidecar = Process::start(&mut command, &folder.join("sidecar.out"));
        // FreeSWITCH may exit at once if no lookups are answered when it starts.
        let start = Instant::now();
        while !ready((Ipv4Addr::LOCALHOST, xml).into()).await {
            let waits = sidecar.ended().is_none() && start.elapsed() < PATIENCE;
            assert!(waits, "the sidecar is not ready\n{}", sidecar.tail(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let url = format!("http://127.0.0.1:{xml}");
        let _switch = Switch::start_at(binary, &folder.join("switch"), &url, (USERNAME, PASSWORD), esl);
        Self { sidecar, _switch }
    }
}

fn host_name(host: u8) -> String {
    format!("switch-{host}")
}
