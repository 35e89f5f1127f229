//! `centrex operator` and `centrex switch` on a real API server and a real Postgres.

mod admission;
mod deletion;
mod device_alerts;
mod emergency;
mod fair;
mod faults;
mod findings;
pub mod gate;
mod last_good;
mod namespaced;
mod refused;
mod replicas;
pub mod restore;
mod samples;
mod truth;
mod unreadable;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::postgres::{Database, reachable_dir};
use crate::program::Program;
use crate::wait::{DEADLINE, until};

/// A control plane, a database and a key file.
pub struct Site {
    pub cluster: Cluster,
    pub database: Database,
    /// The programs' connection to the database, which can be cut.
    pub gate: gate::Gate,
    directory: TempDir,
    started: AtomicUsize,
}

impl Site {
    /// `None`, and the test counts as skipped, if a control plane or Postgres is missing.
    pub async fn start(test: &str) -> Option<Self> {
        Self::with(test, Database::start(test).await?)
    }

    /// A site with its own Postgres server.
    pub async fn alone(test: &str) -> Option<Self> {
        Self::with(test, Database::alone(test).await?)
    }

    fn with(test: &str, database: Database) -> Option<Self> {
        let cluster = Cluster::own(test)?;
        cluster.install_crds();
        let options = database.options();
        let socket = options.get_socket().expect("a socket").join(format!(".s.PGSQL.{}", options.get_port()));
        let gate = gate::Gate::open(socket);
        let site = Self { cluster, database, gate, directory: reachable_dir(), started: AtomicUsize::new(0) };
        let key = format!("1:{}=\n", "A".repeat(43));
        std::fs::write(site.key_file(), key).unwrap();
        std::fs::set_permissions(site.key_file(), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        Some(site)
    }

    /// The database URL of the programs, with `:PASSWORD` if the database requires one.
    pub fn url(&self, password: &str) -> String {
        format!("postgres://centrex{password}@127.0.0.1:{}/{}", self.gate.port, self.database.name())
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.directory.path().join("keys")
    }

    /// A program of this site, with its output in a file.
    pub fn command(&self, role: &str) -> (Command, std::path::PathBuf) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.arg(role).env("KUBECONFIG", self.cluster.kubeconfig());
        command.env("CENTREX_DATABASE_URL", self.url(""));
        command.env("CENTREX_ENCRYPTION_KEY_FILE", self.key_file());
        (command, self.directory.path().join(format!("{role}-{number}.log")))
    }

    /// Starts an operator, with a lease of 4 s unless the options say otherwise.
    pub fn operator(&self, options: &[&str]) -> Program {
        self.operator_as(self.cluster.kubeconfig(), options)
    }

    /// Starts an operator with other rights.
    pub fn operator_as(&self, kubeconfig: &std::path::Path, options: &[&str]) -> Program {
        let (mut command, output) = self.command("operator");
        command.env("KUBECONFIG", kubeconfig).args(["--listen", "127.0.0.1:0"]).args(options);
        if !options.contains(&"--lease-seconds") {
            command.args(["--lease-seconds", "4"]);
        }
        Program::start(&mut command, output, "the operator watches")
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the sidecar of a switch.
    pub fn switch(&self, name: &str) -> Program {
        let (mut command, output) = self.command("switch");
        command.args(["--xml-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--name", name]);
        command.arg("--data-dir").arg(self.directory.path().join(name));
        command.env("CENTREX_XML_USERNAME", "freeswitch").env("CENTREX_XML_PASSWORD", "demo-only");
        Program::start(&mut command, output, "answering mod_xml_curl")
    }

    /// Applies the samples.
    pub fn apply_samples(&self) {
        self.cluster.kubectl_ok(&["apply", "-f", "deploy/samples"]);
    }

    /// Waits until the samples' tenants are Ready, which needs all of their resources.
    pub fn samples_ready(&self) {
        for kinds in ["extensions", "tenants"] {
            self.cluster.kubectl_ok(&[
                "wait",
                "--for=condition=Ready",
                "--timeout=300s",
                "-A",
                "--all",
                kinds,
            ]);
        }
    }

    /// An object as the API server returns it.
    pub fn get(&self, namespace: &str, object: &str) -> Option<Value> {
        let output = self.cluster.kubectl(&["get", "-n", namespace, object, "-o", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// `Type=Status Reason` of each condition of an object.
    pub fn conditions(&self, namespace: &str, object: &str) -> Vec<String> {
        let object = self.get(namespace, object).unwrap_or_default();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let text = |c: &Value, field: &str| c[field].as_str().unwrap_or_default().to_owned();
        conditions
            .iter()
            .map(|c| format!("{}={} {}", text(c, "type"), text(c, "status"), text(c, "reason")))
            .collect()
    }

    /// Waits for a condition of an object, such as `Ready=True Ready`.
    pub fn wait_for(&self, namespace: &str, object: &str, condition: &str) -> Duration {
        let start = Instant::now();
        let found = until(DEADLINE, || {
            self.conditions(namespace, object).contains(&condition.to_owned()).then_some(())
        });
        assert!(
            found.is_some(),
            "{namespace} {object} never said {condition}: {:?}\n{}",
            self.get(namespace, object),
            self.logs()
        );
        start.elapsed()
    }

    /// The last log lines of each program of this site.
    fn logs(&self) -> String {
        let numbers = 0..self.started.load(Ordering::Relaxed);
        let paths =
            numbers.flat_map(|number| ["operator", "switch"].map(|role| format!("{role}-{number}.log")));
        let tail = |name: String| {
            let text = std::fs::read_to_string(self.path(&name)).ok()?;
            let lines: Vec<_> = text.lines().rev().take(40).collect();
            Some(format!("{name}:\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n")))
        };
        paths.filter_map(tail).collect()
    }

    /// The notes of all events about an object.
    pub fn events(&self, namespace: &str, reason: &str) -> Vec<String> {
        let list = self.cluster.kubectl_ok(&["get", "events.events.k8s.io", "-n", namespace, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let items = list["items"].as_array().unwrap().iter().filter(|event| event["reason"] == reason);
        items.map(|event| event["note"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A number that a query returns.
    pub async fn count(&self, sql: &str) -> i64 {
        let mut admin: PgConnection = self.database.admin().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut admin).await.unwrap()
    }

    /// The schema of a tenant, by its namespace and name.
    pub async fn schema(&self, namespace: &str, name: &str) -> Option<String> {
        let mut admin: PgConnection = self.database.admin().await;
        let sql = "SELECT schema_name FROM public.tenants WHERE namespace = $1 AND name = $2 AND retained_at IS NULL";
        sqlx::query_scalar(sql).bind(namespace).bind(name).fetch_optional(&mut admin).await.unwrap()
    }

    /// Creates a namespace and a tenant in it, with the domain `<name>.example.com`.
    pub fn tenant(&self, name: &str, spec: &str) {
        self.cluster.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n---\n\
             apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: {name}, namespace: {name}}}\n\
             spec: {{domains: [{name}.example.com]{spec}}}\n"
        ));
    }

    /// The manifest of an extension of that tenant.
    pub fn extension(&self, tenant: &str, number: usize) -> String {
        format!(
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Extension\n\
             metadata: {{name: e{number}, namespace: {tenant}}}\n\
             spec: {{tenantRef: {{name: {tenant}}}, number: \"{number}\"}}\n"
        )
    }
}
