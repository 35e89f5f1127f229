//! A `centrex standalone` that serves phones' files, on manifests of two tenants.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sqlx::PgConnection;

use super::client::Request;
use crate::postgres::{Database, reachable_dir};
use crate::program::{Program, sample, url};
use crate::wait::{DEADLINE, until};

/// What the certificates and phones of these tests call the server.
pub const URL: &str = "https://phones.example.com/provision";

/// Passwords of every Device of these tests.
pub const PASSWORD: &str = "Provision0Password1";
pub const SIP_PASSWORD: &str = "Sip0Password0Of0Phones";

const PLATFORM: &str = r#"
apiVersion: centrex.dev/v1alpha1
kind: SipProfile
metadata: {name: internal}
spec: {role: Phones, bindAddress: 127.0.0.1, sipPort: 5060}
---
apiVersion: v1
kind: Namespace
metadata: {name: acme}
---
apiVersion: v1
kind: Namespace
metadata: {name: globex}
---
apiVersion: centrex.dev/v1alpha1
kind: Tenant
metadata: {name: acme, namespace: acme}
spec: {domains: [acme.example.com], country: DE}
---
apiVersion: centrex.dev/v1alpha1
kind: Tenant
metadata: {name: globex, namespace: globex}
spec: {domains: [globex.example.com]}
---
apiVersion: centrex.dev/v1alpha1
kind: Extension
metadata: {name: alice, namespace: acme}
spec: {tenantRef: {name: acme}, number: "1001", displayName: Alice}
---
apiVersion: centrex.dev/v1alpha1
kind: Extension
metadata: {name: hank, namespace: globex}
spec: {tenantRef: {name: globex}, number: "1001", displayName: Hank}
"#;

/// The setting of a test.
pub struct Scene {
    pub program: Program,
    pub address: SocketAddr,
    pub database: Database,
    directory: tempfile::TempDir,
}

/// The manifest of a Device with these passwords. `spec` is further text of its spec, beginning with a comma.
pub fn device(tenant: &str, name: &str, mac: &str, spec: &str) -> String {
    let extension = if tenant == "acme" { "alice" } else { "hank" };
    let vendor = if spec.contains("vendor:") { "" } else { ", vendor: Yealink" };
    format!(
        "---\napiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}, namespace: {tenant}}}\n\
         spec: {{tenantRef: {{name: {tenant}}}, mac: \"{mac}\", lines: [{{extensionRef: {{name: {extension}}}}}]{vendor}{spec}}}\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-device, namespace: {tenant}}}\n\
         stringData: {{password: {SIP_PASSWORD}, provisioningPassword: {PASSWORD}}}\n"
    )
}

impl Scene {
    /// Starts Centrex on these Devices; `None`, and the test is skipped, without Postgres.
    pub async fn start(test: &str, devices: &str, options: &[&str]) -> Option<Self> {
        let database = Database::start(test).await?;
        let directory = reachable_dir();
        let manifests = directory.path().join("manifests");
        std::fs::create_dir_all(&manifests).unwrap();
        std::fs::write(manifests.join("platform.yaml"), PLATFORM).unwrap();
        std::fs::write(manifests.join("devices.yaml"), devices).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.arg("standalone").arg("--manifests").arg(&manifests);
        command.arg("--data-dir").arg(directory.path().join("data"));
        command.args(["--xml-listen", "127.0.0.1:0", "--database-url", &url(&database)]);
        command.args(["--provision-url", URL, "--provision-http-listen", "127.0.0.1:0"]);
        command.args(["--trusted-proxies", "127.0.0.0/8"]).args(options);
        let output = directory.path().join("output");
        let mut program = Program::start(&mut command, output, "answering mod_xml_curl");
        program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
        program.wait_until("phones are served", |program| program.listens(HTTP).is_some());
        let address = program.listens(HTTP).unwrap();
        Some(Self { program, address, database, directory })
    }

    /// The address of the listener with TLS.
    pub fn tls(&mut self) -> SocketAddr {
        self.program.wait_until("TLS", |program| program.listens(TLS).is_some());
        self.program.listens(TLS).unwrap()
    }

    /// Replaces the Devices, and waits until a request is answered with a status.
    pub fn change(&self, devices: &str, request: &Request, status: u16) {
        self.change_file("devices.yaml", devices, request, status);
    }

    /// Replaces a text of the platform's manifests in the same way.
    pub fn change_platform(&self, from: &str, to: &str, request: &Request, status: u16) {
        assert!(PLATFORM.contains(from));
        self.change_file("platform.yaml", &PLATFORM.replace(from, to), request, status);
    }

    fn change_file(&self, file: &str, text: &str, request: &Request, status: u16) {
        let path = self.directory.path().join("manifests").join(file);
        let next = self.directory.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, path).unwrap();
        let got = || {
            let answer = request.send(self.address);
            (answer.status == status).then_some(())
        };
        until(DEADLINE, got).unwrap_or_else(|| panic!("{request:?} is never answered {status}"));
    }

    /// The provisioning user of a Device.
    pub async fn user(&self, device: &str) -> String {
        let mut admin = self.database.admin().await;
        let schemas: Vec<String> =
            sqlx::query_scalar("SELECT schema_name FROM public.tenants").fetch_all(&mut admin).await.unwrap();
        for schema in schemas {
            let sql = format!(
                "SELECT body ->> 'provisioningUser' FROM {schema}.resources WHERE kind = 'Device' AND name = $1"
            );
            let user: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(device)
                .fetch_optional(&mut admin)
                .await
                .unwrap();
            if let Some(user) = user {
                return user;
            }
        }
        panic!("no Device {device}");
    }

    /// A counter of requests, by vendor and outcome.
    pub fn counted(&self, vendor: &str, outcome: &str) -> f64 {
        let name = format!("centrex_provision_requests_total{{vendor=\"{vendor}\",outcome=\"{outcome}\"}}");
        sample(&self.program.get("/metrics").1, &name).unwrap_or(0.0)
    }

    /// The history of a Device, once it has as many entries.
    pub async fn history(&self, device: &str, entries: usize) -> Vec<(String, String)> {
        let mut admin = self.database.admin().await;
        for _ in 0..DEADLINE.as_millis() / 50 {
            let rows = fetches(&mut admin, device).await;
            if rows.len() >= entries {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the history of {device} never has {entries} entries");
    }
}

const HTTP: &str = "phones that may are served without TLS";
const TLS: &str = "phones are served over TLS";

async fn fetches(admin: &mut PgConnection, device: &str) -> Vec<(String, String)> {
    sqlx::query_as("SELECT file, result FROM public.phone_fetches WHERE device = $1 ORDER BY id")
        .bind(device)
        .fetch_all(admin)
        .await
        .unwrap()
}
