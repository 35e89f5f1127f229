//! On a cluster: time from applying extensions until they are programmed, compared with raw creates on the
//! same API server; a restart; time from a change until it is served; memory; one large tenant.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use centrex::resources::{Extension, Tenant};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use memchr::memmem;
use serde_json::json;
use sqlx::ConnectOptions;

use crate::Options;
use crate::load::{PASSWORD, Socket, USERNAME, register};
use crate::manifests;
use crate::peers::{Process, Writes};
use crate::report::Row;
use crate::size::{reachable_folder, rows_written};
use crate::turns::percentile;

/// Concurrent creates of extensions.
const CREATORS: usize = 16;
/// Numbers of extensions of the tenants, smallest first; the last is the large tenant.
const SIZES: [usize; 3] = [1_000, 10_000, 50_000];
/// Raw creates that are timed, at most: one DELETE of a collection must finish within the API server's limit
/// of a minute.
const MOST_RAW: usize = 5_000;
const CHANGES: usize = 50;
const PATIENCE: Duration = Duration::from_secs(2400);

/// Runs all measurements that need an API server, if one can be built.
pub fn rows(options: &Options) -> Vec<Row> {
    let folder = reachable_folder();
    let plane = match Plane::start(&folder.path().join("plane")) {
        Ok(plane) => plane,
        Err(why) => return vec![Row::skipped("On a cluster", why)],
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure(options, folder.path(), &plane))
}

async fn measure(options: &Options, folder: &Path, plane: &Plane) -> Vec<Row> {
    let local = LocalOptions { data_dir: folder.to_owned(), durable: true };
    let postgres = match LocalPostgres::start(&local).await {
        Ok(postgres) => postgres,
        Err(error @ LocalError::Binaries) => return vec![Row::skipped("On a cluster", error.to_string())],
        Err(error) => panic!("{error}"),
    };
    let mut admin = postgres.admin_options().database("centrex").connect().await.expect("a login");
    let site = Site {
        kubeconfig: plane.kubeconfig.clone(),
        database: postgres.connect_options().to_url_lossy().to_string(),
        folder: folder.to_owned(),
    };
    std::fs::write(folder.join("keys"), format!("1:{}=\n", "A".repeat(43))).expect("keys");
    std::fs::set_permissions(folder.join("keys"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("their mode");
    plane.kubectl(&["apply", "--server-side", "-f", "crds"]);
    plane.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", "crds"]);
    plane.apply(&manifests::platform(5060, 5080));
    let client = plane.client().await;

    let mut rows = Vec::new();
    let (mut operator, mut switch) = (site.operator(), site.switch());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let empty_switch = memory(switch.id());
    let mut total = 0;
    let mut largest = String::new();
    for size in SIZES.map(|size| options.size(size)) {
        // Raw creates go to a namespace without a tenant, so that each causes only one status write.
        let raw = format!("raw-{size}");
        plane.apply(&namespace(&raw));
        operator.end();
        let (created, start) = (size.min(MOST_RAW), Instant::now());
        create(&client, &raw, created).await;
        let limit = created as f64 / start.elapsed().as_secs_f64();
        // One request: kubectl deletes one object at a time, five per second.
        let all = Api::<Extension>::namespaced(client.clone(), &raw);
        all.delete_collection(&Default::default(), &Default::default()).await.expect("a deletion");
        operator = site.operator();

        let tenant = format!("t{size}");
        plane.apply(&namespace(&tenant));
        plane.apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: sip, namespace: {tenant}}}, \
             stringData: {{password: for-all-of-them}}}}\n---\n\
             apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: {tenant}, namespace: {tenant}}}\n\
             spec: {{domains: [{tenant}.example.com]}}\n"
        ));
        ready(&client, &tenant, 0).await;
        let (before, start) = (plane.writes(), Instant::now());
        create(&client, &tenant, size).await;
        ready(&client, &tenant, size).await;
        let rate = size as f64 / start.elapsed().as_secs_f64();
        let statuses = plane.writes().since(&before).count("PATCH centrex.dev/extensions/status");
        rows.push(
            Row::new(
                label(size),
                format!("{rate:.0}/s, {:.2} status writes each", statuses as f64 / size as f64),
            )
            .against(format!("{limit:.0} raw creates/s"), rate / limit),
        );
        total += size;
        largest = tenant;
    }

    tokio::time::sleep(Duration::from_secs(5)).await;
    let (held, switch_held) = (memory(operator.id()), memory(switch.id()));
    let (latencies, writes) = changes(&client, plane, &switch, &largest, options.size(CHANGES)).await;
    let p99 = percentile(latencies.iter().copied(), 0.99);
    let p50 = percentile(latencies.iter().copied(), 0.5);
    rows.push(
        Row::new("One change in the largest tenant → new answer, p99", format!("{p99:.0} ms (p50 {p50:.0})"))
            .goal("< 1000 ms", p99 < 1000.0),
    );
    rows.push(Row::new("Status writes a change", format!("{writes:.2}")).goal("≤ 2", writes <= 2.0));
    let (small, _) =
        changes(&client, plane, &switch, &format!("t{}", options.size(SIZES[0])), options.size(CHANGES))
            .await;
    let fresh = newcomers(&client, options.size(CHANGES)).await;
    let p99 = percentile(fresh.iter().copied(), 0.99);
    rows.push(
        Row::new("One extension more, all others settled → Ready, p99", format!("{p99:.0} ms"))
            .goal("< 3000 ms", p99 < 3000.0),
    );
    let p99 = percentile(small.iter().copied(), 0.99);
    let p50 = percentile(small.iter().copied(), 0.5);
    rows.push(Row::new(
        "kubectl apply → new answer, in the smallest",
        format!("p50 {p50:.0} ms, p99 {p99:.0} ms"),
    ));

    operator.end();
    let (api, sql) = (plane.writes(), rows_written(&mut admin).await);
    let start = Instant::now();
    operator = site.operator();
    wait_until_idle(&operator).await;
    let restarted = start.elapsed();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let api = plane.writes().since(&api).of("centrex.dev").total();
    let sql = rows_written(&mut admin).await - sql;
    rows.push(
        Row::new(
            "Operator's restart, nothing changed: API writes, rows written",
            format!("{api}, {sql} ({:.1} s)", restarted.as_secs_f64()),
        )
        .goal("0, 0", api == 0 && sql == 0),
    );
    let (base, again) = (memory_of_nothing(&site, &mut operator).await, held);
    let each = (again.saturating_sub(base)) as f64 / total as f64;
    rows.push(
        Row::new(
            "Operator's memory",
            format!("{} MiB with {total} extensions: {each:.1} kB each", again >> 10),
        )
        .goal("≤ 4 kB", each <= 4.0),
    );
    let each = switch_held.saturating_sub(empty_switch) as f64 / total as f64;
    rows.push(
        Row::new(
            "Sidecar's memory",
            format!("{} MiB with {total} extensions: {each:.1} kB each", switch_held >> 10),
        )
        .goal("≤ 4 kB", each <= 4.0),
    );
    operator.end();
    switch.end();
    rows
}

fn label(size: usize) -> &'static str {
    match size {
        ..1_000 => "Extensions applied until ready (few)",
        1_000..5_000 => "1k extensions applied until ready",
        5_000..20_000 => "10k extensions applied until ready",
        _ => "50k extensions applied until ready",
    }
}

fn namespace(name: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}")
}

fn extension(tenant: &str, index: usize) -> Extension {
    let number = 100_000 + index;
    serde_json::from_value(json!({
        "apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
        "metadata": {"name": format!("e{number}"), "namespace": tenant},
        "spec": {
            "tenantRef": {"name": tenant}, "number": number.to_string(), "displayName": format!("Person {index}"),
            "credentials": {"secretRef": {"name": "sip"}}, "ringSeconds": 25,
        },
    }))
    .expect("an extension")
}

async fn create(client: &Client, tenant: &str, size: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let creators: Vec<_> = (0..CREATORS)
        .map(|_| {
            let (api, next): (Api<Extension>, _) = (Api::namespaced(client.clone(), tenant), next.clone());
            let tenant = tenant.to_owned();
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= size {
                        return;
                    }
                    api.create(&PostParams::default(), &extension(&tenant, index)).await.expect("a create");
                }
            })
        })
        .collect();
    for creator in creators {
        creator.await.expect("a creator");
    }
}

/// Waits until the status of a tenant counts so many ready extensions.
async fn ready(client: &Client, tenant: &str, size: usize) {
    let api: Api<Tenant> = Api::namespaced(client.clone(), tenant);
    let start = Instant::now();
    loop {
        let status = api.get(tenant).await.expect("the tenant").status.unwrap_or_default();
        let is_ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        let counted =
            status.resources.iter().find(|count| count.kind == "Extension").map_or(0, |count| count.ready);
        if is_ready && counted as usize >= size {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "never ready: {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Milliseconds from the acceptance of an edit until a lookup returns the change, and the status writes of
/// extensions per edit.
async fn changes(
    client: &Client,
    plane: &Plane,
    switch: &Running,
    tenant: &str,
    count: usize,
) -> (Vec<f64>, f64) {
    let api: Api<Extension> = Api::namespaced(client.clone(), tenant);
    let domain = format!("{tenant}.example.com");
    let mut socket = Socket::open(switch.address).await;
    let before = plane.writes();
    let mut latencies = Vec::new();
    for change in 0..count {
        let name = format!("e{}", 100_000 + change * 13);
        let number = format!("9{change:05}");
        let request = register(&domain, &number);
        let patch = Patch::Merge(json!({"spec": {"number": number}}));
        let start = Instant::now();
        api.patch(&name, &PatchParams::default(), &patch).await.expect("an edit");
        while memmem::find(socket.ask(&request).await, b"a1-hash").is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "not served\n{}", switch.process.tail(20));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latencies.push(start.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let written = plane.writes().since(&before).count("PATCH centrex.dev/extensions/status");
    (latencies, written as f64 / count as f64)
}

/// Milliseconds from the creation of an extension of the smallest tenant until the extension is ready.
async fn newcomers(client: &Client, count: usize) -> Vec<f64> {
    let tenants: Api<Tenant> = Api::all(client.clone());
    let all = tenants.list(&Default::default()).await.expect("tenants").items;
    let smallest = |tenant: &&Tenant| {
        tenant.status.as_ref().and_then(|status| status.resources.first()).map_or(0, |count| count.total)
    };
    let tenant =
        all.iter().min_by_key(smallest).and_then(|tenant| tenant.metadata.name.clone()).expect("a tenant");
    let api: Api<Extension> = Api::namespaced(client.clone(), &tenant);
    let mut latencies = Vec::new();
    for index in 0..count {
        let made = extension(&tenant, 700_000 + index);
        let name = made.metadata.name.clone().expect("a name");
        let start = Instant::now();
        api.create(&PostParams::default(), &made).await.expect("a create");
        loop {
            let status = api.get(&name).await.expect("it").status.unwrap_or_default();
            if status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "never ready: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        latencies.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    latencies
}

/// Kibibytes of memory of an operator in an empty cluster.
async fn memory_of_nothing(site: &Site, operator: &mut Running) -> usize {
    operator.end();
    let empty = site.watching("nowhere");
    tokio::time::sleep(Duration::from_secs(5)).await;
    memory(empty.id())
}

fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Waits until an operator leads and has nothing left to do.
async fn wait_until_idle(operator: &Running) {
    let start = Instant::now();
    loop {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut socket = Socket::open(operator.address).await;
        let (_, text) = socket.answer(request).await;
        let has = |line: &[u8]| memmem::find(text, line).is_some();
        if has(b"centrex_operator_leader 1") && has(b"centrex_operator_tenants_pending 0") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "never idle\n{}", operator.process.tail(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Arguments of the programs.
struct Site {
    kubeconfig: PathBuf,
    database: String,
    folder: PathBuf,
}

/// A running program with a listener.
struct Running {
    process: Process,
    address: std::net::SocketAddr,
}

impl Running {
    fn id(&self) -> u32 {
        self.process.id()
    }

    fn end(&mut self) {
        self.process.end();
    }
}

impl Site {
    fn operator(&self) -> Running {
        self.start("operator", &["--lease-seconds", "4"], "--listen")
    }

    fn watching(&self, namespace: &str) -> Running {
        self.start("operator", &["--namespaces", namespace, "--lease-name", "empty"], "--listen")
    }

    fn switch(&self) -> Running {
        let data = self.folder.join("switch").display().to_string();
        let health = format!("127.0.0.1:{}", free());
        self.start(
            "switch",
            &["--name", "bench", "--data-dir", &data, "--health-listen", &health],
            "--xml-listen",
        )
    }

    fn start(&self, role: &str, options: &[&str], listen: &str) -> Running {
        let port = free();
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.args([role, "--log", "warn", listen, &format!("127.0.0.1:{port}")]).args(options);
        command.env("KUBECONFIG", &self.kubeconfig).env("CENTREX_DATABASE_URL", &self.database);
        command.env("CENTREX_ENCRYPTION_KEY_FILE", self.folder.join("keys"));
        command.env("CENTREX_XML_USERNAME", USERNAME).env("CENTREX_XML_PASSWORD", PASSWORD);
        let mut process = Process::start(&mut command, &self.folder.join(format!("{role}-{port}.out")));
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        let start = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(process.ended().is_none() && start.elapsed() < PATIENCE, "{}", process.tail(20));
            std::thread::sleep(Duration::from_millis(20));
        }
        Running { process, address }
    }
}

fn free() -> u16 {
    crate::peers::free_port(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
}

/// A control plane on loopback, started by the script of the tests.
struct Plane {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    _processes: Vec<Process>,
}

impl Plane {
    fn start(folder: &Path) -> Result<Self, String> {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/kube").join(name);
        let built = Command::new(script("build.sh")).output().expect("build.sh");
        if !built.status.success() {
            let errors = String::from_utf8_lossy(&built.stderr).into_owned();
            return Err(errors.lines().last().unwrap_or_default().to_owned());
        }
        let programs = String::from_utf8_lossy(&built.stdout).trim().to_owned();
        let plane = |action: &str| {
            let mut command = Command::new(script("plane.sh"));
            command.arg(folder).arg(action);
            command
        };
        let run = |action: &str| assert!(plane(action).status().expect("plane.sh").success(), "{action}");
        let spawn = |name: &str| Process::start(&mut plane(name), &folder.join(format!("{name}.log")));
        run("prepare");
        let etcd = spawn("etcd");
        let api_server = spawn("kube-apiserver");
        run("wait");
        let controllers = spawn("kube-controller-manager");
        run("settle");
        Ok(Self {
            kubeconfig: folder.join("kubeconfig"),
            kubectl: Path::new(&programs).join("kubectl"),
            _processes: vec![controllers, api_server, etcd],
        })
    }

    async fn client(&self) -> Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
        Client::try_from(config.expect("a configuration")).expect("a client")
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    fn apply(&self, manifests: &str) {
        self.kubectl_with(&["apply", "-f", "-"], manifests);
    }

    fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new(&self.kubectl)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("kubectl");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("manifests");
        let output = child.wait_with_output().expect("kubectl");
        assert!(output.status.success(), "kubectl {arguments:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn writes(&self) -> Writes {
        Writes::parse(&self.kubectl(&["get", "--raw", "/metrics"]))
    }
}
