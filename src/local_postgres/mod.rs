//! A Postgres of our own under a data directory, run with the system's programs: for standalone
//! mode without `--database-url`, and for tests.
//!
//! In the data directory: `postgres/` (its data, and its socket), `postgres.log`,
//! `postgres.password` and `postgres.lock`.

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

/// Longest path of a socket there can be, less a little (`sun_path` has 108 bytes).
const SOCKET_PATH: usize = 100;
/// How long recovery after a crash may take.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a start is tried that failed for something that passes: a port taken meanwhile, the
/// last processes of a server that was killed.
const ATTEMPTS: usize = 5;

/// What can go wrong with a Postgres of our own.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No programs.
    #[error(
        "no Postgres server programs (15 or later) in /usr/lib/postgresql or PATH: apt-get install postgresql, or give --database-url"
    )]
    Binaries,
    /// No programs of the release that the data are of.
    #[error(
        "the data directory was made with PostgreSQL {0}, whose programs are not there: apt-get install postgresql-{0}"
    )]
    BinariesOf(u32),
    /// Nobody to run as.
    #[error(
        "Postgres does not run as root, and there is no user postgres or nobody to run it as: apt-get install postgresql"
    )]
    NoAccount,
    /// The server's account cannot get at its data.
    #[error(
        "--data-dir: the user {account}, who runs Postgres, may not enter {directory}: chmod o+x it, or choose another directory such as /var/lib/centrex"
    )]
    Unreachable {
        /// Directory that is closed.
        directory: PathBuf,
        /// Account of the server.
        account: String,
    },
    /// Another Centrex is at work there.
    #[error("--data-dir {0}: another Centrex runs its Postgres there")]
    InUse(PathBuf),
    /// A file or directory cannot be made, read or given away.
    #[error("--data-dir: {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("--data-dir: {program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The last it said.
        output: String,
    },
    /// It runs, but its database cannot be prepared.
    #[error("the Postgres under --data-dir cannot be prepared: {0}")]
    Prepare(sqlx::Error),
}

/// How to run it.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Directory it lives under; made when it is not there.
    pub data_dir: PathBuf,
    /// False for tests only: nothing is flushed to disk, and a crash of the machine loses it.
    pub durable: bool,
}

/// A Postgres that runs, and is stopped with this.
#[derive(Debug)]
pub struct LocalPostgres {
    server: Server,
    listen: Listen,
    password: String,
    /// Held as long as the server runs: one Centrex a data directory.
    _lock: File,
}

impl LocalPostgres {
    /// Whether a server can be run with its data under a directory, which need not exist yet. Nothing is
    /// made.
    ///
    /// # Errors
    /// Programs or an account are missing, or the account may not enter the directory.
    pub fn check(data_dir: &Path) -> Result<(), LocalError> {
        let io = |source| LocalError::Io { path: data_dir.to_owned(), source };
        Account::choose()?.check_reach(&directory::nearest(data_dir).map_err(io)?)?;
        Binaries::find(server::made_with(&data_dir.join("postgres"))).map(drop)
    }

    /// Makes the directory that the data are to be under, open to the server's account whatever the umask
    /// is.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_directory(data_dir: &Path) -> Result<(), LocalError> {
        directory::make(data_dir).map_err(|source| LocalError::Io { path: data_dir.to_owned(), source })
    }

    /// Starts it, making its data first where there are none, with a login `centrex` that is no
    /// superuser and owns a database `centrex`.
    ///
    /// # Errors
    /// What is missing or in the way, and what to do about it.
    pub async fn start(options: &LocalOptions) -> Result<Self, LocalError> {
        let root = &options.data_dir;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| LocalError::Io { path, source }
        };
        directory::make(root).map_err(io(root))?;
        let root = std::fs::canonicalize(root).map_err(io(root))?;
        let lock_path = root.join("postgres.lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.try_lock().map_err(|_| LocalError::InUse(root.clone()))?;
        let account = Account::choose()?;
        account.check_reach(&root)?;
        let password = password(&root)?;
        let directory = root.join("postgres");
        let binaries = Binaries::find(server::made_with(&directory))?;
        if !directory.exists() {
            server::init(&binaries, &account, &root, &password, options.durable)?;
        }
        server::stop_orphan(&directory)?;
        let mut failed = None;
        for _ in 0..ATTEMPTS {
            let listen = Listen::choose(&directory).map_err(io(&directory))?;
            let mut server = Server::spawn(&binaries, &account, &root, &listen, options.durable)?;
            match server.wait_ready(&admin(&listen, &password)).await {
                Ok(mut connection) => {
                    prepare(&mut connection, &password).await.map_err(LocalError::Prepare)?;
                    connection.close().await.map_err(LocalError::Prepare)?;
                    return Ok(Self { server, listen, password, _lock: lock });
                }
                Err(error) if server::passes(&error) => failed = Some(error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(failed.unwrap_or(LocalError::Binaries))
    }

    /// How Centrex logs in: as `centrex`, to the database `centrex`.
    pub fn connect_options(&self) -> PgConnectOptions {
        login(&self.listen, &self.password).username("centrex").database("centrex")
    }

    /// How its superuser logs in.
    pub fn admin_options(&self) -> PgConnectOptions {
        admin(&self.listen, &self.password)
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Stops it: open transactions end, everything committed is on disk. Dropping it does the same,
    /// and waits for it on the thread it is dropped on.
    ///
    /// # Errors
    /// When it did not end well.
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

/// The password of both logins, which TCP asks for: made once, readable by us alone.
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

/// Makes login and database where they are not there.
async fn prepare(connection: &mut PgConnection, password: &str) -> Result<(), sqlx::Error> {
    // The password is hexadecimal digits: it needs no quoting.
    let role = format!(
        "DO $$ BEGIN
             IF to_regrole('centrex') IS NULL THEN CREATE ROLE centrex LOGIN CREATEROLE; END IF;
         END $$;
         ALTER ROLE centrex PASSWORD '{password}';"
    );
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut *connection).await?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'centrex')")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        sqlx::raw_sql("CREATE DATABASE centrex OWNER centrex").execute(connection).await?;
    }
    Ok(())
}
