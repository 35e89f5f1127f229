//! A temporary Postgres: one server while any test needs it, and a database for each test.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Weak};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use centrex::secrets::keyring::Keyring;
use centrex::store::{Store, StoreOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::skip::skip;

/// The shared server. The last test that holds it stops it.
static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

struct Server {
    postgres: LocalPostgres,
    directory: TempDir,
}

/// Database of one test. Its login, `centrex`, is not a superuser.
pub struct Database {
    server: Arc<Server>,
    name: String,
}

impl Server {
    async fn start(test: &str) -> Option<Arc<Self>> {
        let directory = reachable_dir();
        let options = LocalOptions { data_dir: directory.path().to_owned(), durable: false };
        match LocalPostgres::start(&options).await {
            Err(error @ LocalError::Binaries) => {
                skip(test, &error.to_string());
                None
            }
            started => Some(Arc::new(Self { postgres: started.unwrap(), directory })),
        }
    }
}

impl Database {
    /// Creates a database; `None`, and the test counts as skipped, if Postgres is not installed.
    pub async fn start(test: &str) -> Option<Self> {
        let mut shared = SERVER.lock().await;
        let server = match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = Server::start(test).await?;
                *shared = Arc::downgrade(&server);
                server
            }
        };
        drop(shared);
        Some(Self::on(server).await)
    }

    /// Creates a database on its own server, for tests that read statistics of the server.
    pub async fn alone(test: &str) -> Option<Self> {
        Some(Self::on(Server::start(test).await?).await)
    }

    async fn on(server: Arc<Server>) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut admin = server.postgres.admin_options().connect().await.unwrap();
        let sql = format!("CREATE DATABASE {name} OWNER centrex");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        Self { server, name }
    }

    /// Log of the server so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.server.directory.path().join("postgres.log")).unwrap()
    }

    /// Options to log in as Centrex.
    pub fn options(&self) -> PgConnectOptions {
        self.server.postgres.connect_options().database(&self.name)
    }

    /// Options of a store on this database.
    pub fn store_options(&self, keyring: &Arc<Keyring>) -> StoreOptions {
        StoreOptions::new(self.options(), keyring.clone())
    }

    /// A store on this database.
    pub async fn store(&self, keyring: &Arc<Keyring>) -> Store {
        Store::connect(&self.store_options(keyring)).await.unwrap()
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection of the superuser to another database of the server.
    pub async fn server_admin(&self) -> PgConnection {
        self.server.postgres.admin_options().connect().await.unwrap()
    }

    /// A connection of the superuser to this database.
    pub async fn admin(&self) -> PgConnection {
        self.server.postgres.admin_options().database(&self.name).connect().await.unwrap()
    }

    /// Runs a script as the superuser, with the database's name in `DATABASE`, and returns its output.
    pub fn shell(&self, script: &str, variables: &[(&str, &str)]) -> String {
        let admin = self.server.postgres.admin_options();
        let output = std::process::Command::new("sh")
            .args(["-ec", script])
            .env("PATH", format!("{}:{}", programs().display(), std::env::var("PATH").unwrap_or_default()))
            .env("PGHOST", admin.get_socket().expect("a socket"))
            .env("PGPORT", admin.get_port().to_string())
            .env("PGUSER", admin.get_username())
            .env("DATABASE", &self.name)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{script}\n{}\n{}", said(&output.stdout), said(&output.stderr));
        said(&output.stdout)
    }

    /// Makes this database require a password of its login.
    pub async fn require_password(&self, password: &str) {
        let mut admin = self.admin().await;
        let file: String = sqlx::query_scalar("SHOW hba_file").fetch_one(&mut admin).await.unwrap();
        let rules = std::fs::read_to_string(&file).unwrap();
        let rule = format!("local {} centrex scram-sha-256\n", self.name);
        std::fs::write(&file, rule + &rules).unwrap();
        self.set_password(password).await;
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
    }

    /// Changes the password of the login.
    pub async fn set_password(&self, password: &str) {
        let sql = format!("ALTER ROLE centrex PASSWORD '{password}'");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.admin().await).await.unwrap();
    }

    /// Ends all connections to this database, as a failover of Postgres does, and returns their number.
    pub async fn cut_connections(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut self.admin().await)
        .await
        .unwrap()
    }
}

/// Directory of the newest release's programs.
fn programs() -> std::path::PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &std::path::PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(version);
    newest.map(|path| path.join("bin")).unwrap_or_default()
}

/// A temporary directory that the account of the server can enter.
pub fn reachable_dir() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// A keyring of these versions. The same letter makes the same key.
pub fn keyring(lines: &[(u32, char)]) -> Arc<Keyring> {
    let text: String = lines.iter().map(|(version, letter)| key_line(*version, *letter)).collect();
    Arc::new(Keyring::parse("test.key".as_ref(), &text).unwrap())
}

/// A line of a key file.
pub fn key_line(version: u32, letter: char) -> String {
    use base64::Engine;
    let key = base64::engine::general_purpose::STANDARD.encode([letter as u8; 32]);
    format!("{version}:{key}\n")
}
