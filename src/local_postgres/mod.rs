//! A Postgres server under a data directory, run with the system's programs: for standalone mode without
//! `--database-url`, and for tests.
//!
//! The data directory holds `postgres/` (data and socket), `postgres.log`, `postgres.password` and `postgres.lock`.

mod account;
mod binaries;
mod directory;
mod server;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use account::Account;
use binaries::Binaries;
use server::{Listen, Server};

/// Length of a socket's path, in bytes; `sun_path` has 108.
const MAX_SOCKET_PATH: usize = 100;
/// Wait for the server to start, which includes recovery after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Attempts to start the server while the cause of the failure is temporary: a port that was taken meanwhile, or the
/// last processes of a server that was killed.
const MAX_ATTEMPTS: usize = 5;

/// Errors of the local Postgres server.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No server programs are installed.
    #[error(
        "no Postgres server programs (15 or later) in /usr/lib/postgresql or PATH: apt-get install postgresql, or give --database-url"
    )]
    Binaries,
    /// The programs of the release that created the data are not installed.
    #[error(
        "the data directory was created by PostgreSQL {0}, whose programs are not installed: apt-get install postgresql-{0}"
    )]
    BinariesOf(u32),
    /// There is no unprivileged account to run as.
    #[error(
        "Postgres does not run as root, and there is no user postgres or nobody to run it as: apt-get install postgresql"
    )]
    NoAccount,
    /// The server's account may not enter a directory above its data.
    #[error(
        "--data-dir: the user {account}, who runs Postgres, may not enter {directory}: chmod o+x it, or choose another directory such as /var/lib/centrex"
    )]
    Unreachable {
        /// Directory that the account may not enter.
        directory: PathBuf,
        /// Name of the account.
        account: String,
    },
    /// Another Centrex uses the data directory.
    #[error("--data-dir {0}: another Centrex runs its Postgres there")]
    InUse(PathBuf),
    /// A file or directory cannot be created, read or given to the server's account.
    #[error("--data-dir: {path}: {source}")]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// A program of Postgres failed.
    #[error("--data-dir: {program} failed: {output}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// End of its output.
        output: String,
    },
    /// The server runs, but its login or database cannot be created.
    #[error("the Postgres under --data-dir cannot be prepared: {0}")]
    Prepare(sqlx::Error),
}

/// Options of the local Postgres server.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Directory of data, log and password; created if missing.
    pub data_dir: PathBuf,
    /// False for tests only: nothing is flushed to disk, and a crash of the machine loses data.
    pub durable: bool,
}

/// A running Postgres server. Dropping it stops the server.
#[derive(Debug)]
pub struct LocalPostgres {
    server: Server,
    listen: Listen,
    password: String,
    /// Locked while the server runs: only one Centrex may use a data directory.
    _lock: File,
}

impl LocalPostgres {
    /// Checks that a server can run with its data under a directory, which need not exist. Creates nothing.
    ///
    /// # Errors
    /// When programs or an account are missing, or the account may not enter the directory.
    pub fn check(data_dir: &Path) -> Result<(), LocalError> {
        let io = |source| LocalError::Io { path: data_dir.to_owned(), source };
        Account::choose()?.check_access(&directory::nearest_existing(data_dir).map_err(io)?)?;
        Binaries::find(server::data_release(&data_dir.join("postgres"))).map(drop)
    }

    /// Creates the data directory, open to the server's account whatever the umask is.
    ///
    /// # Errors
    /// [`LocalError::Io`] when it cannot be created.
    pub fn make_directory(data_dir: &Path) -> Result<(), LocalError> {
        directory::create_all(data_dir).map_err(|source| LocalError::Io { path: data_dir.to_owned(), source })
    }

    /// Starts the server, and initializes its data directory first if needed, with a login `centrex` that is
    /// no superuser and owns a database `centrex`.
    ///
    /// # Errors
    /// When a program or directory cannot be used; the message says what to do about it.
    pub async fn start(options: &LocalOptions) -> Result<Self, LocalError> {
        let root = &options.data_dir;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| LocalError::Io { path, source }
        };
        directory::create_all(root).map_err(io(root))?;
        let root = std::fs::canonicalize(root).map_err(io(root))?;
        let lock_path = root.join("postgres.lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.try_lock().map_err(|_| LocalError::InUse(root.clone()))?;
        let account = Account::choose()?;
        account.check_access(&root)?;
        let password = password(&root)?;
        let directory = root.join("postgres");
        let binaries = Binaries::find(server::data_release(&directory))?;
        if !directory.exists() {
            server::init(&binaries, &account, &root, &password, options.durable)?;
        }
        server::stop_orphan(&directory)?;
        let mut failed = None;
        for _ in 0..MAX_ATTEMPTS {
            let listen = Listen::choose(&directory).map_err(io(&directory))?;
            let mut server = Server::spawn(&binaries, &account, &root, &listen, options.durable)?;
            match server.wait_ready(&admin(&listen, &password)).await {
                Ok(mut connection) => {
                    prepare(&mut connection, &password).await.map_err(LocalError::Prepare)?;
                    connection.close().await.map_err(LocalError::Prepare)?;
                    return Ok(Self { server, listen, password, _lock: lock });
                }
                Err(error) if server::is_temporary(&error) => failed = Some(error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(failed.unwrap_or(LocalError::Binaries))
    }

    /// Options to log in as `centrex`, to the database `centrex`.
    pub fn connect_options(&self) -> PgConnectOptions {
        login(&self.listen, &self.password).username("centrex").database("centrex")
    }

    /// Options to log in as the superuser.
    pub fn admin_options(&self) -> PgConnectOptions {
        admin(&self.listen, &self.password)
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Stops the server: open transactions end, committed data are on disk. Dropping does the same, and blocks the
    /// thread until the server has stopped.
    ///
    /// # Errors
    /// [`LocalError::Program`] when the server fails, or had to be killed.
    pub async fn stop(self) -> Result<(), LocalError> {
        let mut this = self;
        tokio::task::spawn_blocking(move || this.server.stop()).await.unwrap_or(Ok(()))
    }
}

fn login(listen: &Listen, password: &str) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass().password(password).ssl_mode(PgSslMode::Disable);
    match listen {
        Listen::Socket(directory) => options.socket(directory).port(server::SOCKET_PORT),
        Listen::Loopback(port) => options.host("127.0.0.1").port(*port),
    }
}

fn admin(listen: &Listen, password: &str) -> PgConnectOptions {
    login(listen, password).username("postgres").database("postgres")
}

/// Reads the password of both logins, which TCP connections need. Creates it on the first start, readable by this
/// account only.
fn password(root: &Path) -> Result<String, LocalError> {
    use std::io::{Read, Write};
    let path = root.join("postgres.password");
    let io = |source| LocalError::Io { path: path.clone(), source };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io)?;
    let mut password = String::new();
    file.read_to_string(&mut password).map_err(io)?;
    if password.is_empty() {
        password = hex::encode(crate::secrets::keyring::random());
        file.write_all(password.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    }
    Ok(password)
}

/// Creates login and database if they are missing.
async fn prepare(connection: &mut PgConnection, password: &str) -> Result<(), sqlx::Error> {
    // The password is hexadecimal digits: it needs no quoting.
    let role = format!(
        "DO $$ BEGIN
             IF to_regrole('centrex') IS NULL THEN CREATE ROLE centrex LOGIN CREATEROLE; END IF;
         END $$;
         ALTER ROLE centrex PASSWORD '{password}';"
    );
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut *connection).await?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'centrex')")
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        sqlx::raw_sql("CREATE DATABASE centrex OWNER centrex").execute(connection).await?;
    }
    Ok(())
}
