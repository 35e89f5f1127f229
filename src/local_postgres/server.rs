//! The server process: `initdb`, start, wait, stop.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use super::account::Account;
use super::binaries::Binaries;
use super::{LocalError, MAX_SOCKET_PATH, START_TIMEOUT};

/// Port in the socket's name, `.s.PGSQL.5432`.
pub(super) const SOCKET_PORT: u16 = 5432;
/// Wait for a fast shutdown: after a large load its checkpoint takes a while.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Wait for an immediate shutdown, which makes no checkpoint.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Size of the end of the log that an error shows, in bytes.
const LOG_TAIL: u64 = 1000;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Where the server listens.
#[derive(Clone, Debug)]
pub(super) enum Listen {
    /// A socket in the data directory, which is closed to other accounts: no password is needed.
    Socket(PathBuf),
    /// A port of 127.0.0.1 with a password, for a path that is too long for a socket.
    Loopback(u16),
}

impl Listen {
    /// Chooses a socket, if the path is short enough.
    pub fn choose(directory: &Path) -> std::io::Result<Self> {
        if directory.join(format!(".s.PGSQL.{SOCKET_PORT}")).as_os_str().len() < MAX_SOCKET_PATH {
            return Ok(Self::Socket(directory.to_owned()));
        }
        Ok(Self::Loopback(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()))
    }

    fn settings(&self) -> [OsString; 3] {
        match self {
            Self::Socket(directory) => {
                let mut sockets = OsString::from("unix_socket_directories=\"");
                sockets.push(directory);
                sockets.push("\"");
                [sockets, "listen_addresses=".into(), format!("port={SOCKET_PORT}").into()]
            }
            Self::Loopback(port) => [
                "unix_socket_directories=".into(),
                "listen_addresses=127.0.0.1".into(),
                format!("port={port}").into(),
            ],
        }
    }
}

/// Release that created the data; `None` without data.
pub(super) fn data_release(directory: &Path) -> Option<u32> {
    std::fs::read_to_string(directory.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Creates the data in `postgres.new` and renames it, so that a start that is killed leaves no half-made data.
pub(super) fn init(
    binaries: &Binaries,
    account: &Account,
    root: &Path,
    password: &str,
    durable: bool,
) -> Result<(), LocalError> {
    let fresh = root.join("postgres.new");
    let io = |source| LocalError::Io { path: fresh.clone(), source };
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(io)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(&fresh).map_err(io)?;
    account.chown(&fresh).map_err(io)?;
    let password_file = root.join("postgres.password.new");
    let _ = std::fs::remove_file(&password_file);
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&password_file).map_err(io)?;
    std::io::Write::write_all(&mut file, password.as_bytes()).map_err(io)?;
    account.chown(&password_file).map_err(io)?;
    let mut command = account.command(&binaries.program("initdb"), root);
    command
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C"])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions"])
        .arg("--pgdata")
        .arg(&fresh)
        .arg("--pwfile")
        .arg(&password_file);
    if !durable {
        command.arg("--no-sync");
    }
    let output = command.output();
    let _ = std::fs::remove_file(&password_file);
    let output = output.map_err(|error| failed("initdb", error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed("initdb", said.trim().to_owned()));
    }
    std::fs::rename(&fresh, root.join("postgres")).map_err(io)
}

/// Stops a server whose parent was killed, and removes the pid file of a server that no longer runs: Postgres would take
/// any process with that id for a server. The lock on the data directory guarantees that no other Centrex uses it.
pub(super) fn stop_orphan(directory: &Path) -> Result<(), LocalError> {
    let path = directory.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|pid| runs_in(*pid, directory)) {
        tracing::warn!(pid = pid.as_raw_nonzero().get(), "stopping the Postgres of a run that was killed");
        let _ = kill_process(pid, Signal::INT);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while runs_in(pid, directory) && Instant::now() < deadline {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(LocalError::Io { path, source }),
        _ => Ok(()),
    }
}

/// True when a process runs with this working directory, as the server of these data does.
fn runs_in(pid: Pid, directory: &Path) -> bool {
    let link = format!("/proc/{}/cwd", pid.as_raw_nonzero());
    test_kill_process(pid).is_ok() && std::fs::read_link(link).is_ok_and(|cwd| cwd == directory)
}

/// True when a failed start may succeed a moment later.
pub(super) fn is_temporary(error: &LocalError) -> bool {
    let LocalError::Program { output, .. } = error else { return false };
    ["Address already in use", "still in use", "starting up"].iter().any(|text| output.contains(text))
}

/// The server process. Dropping it stops the server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    log_start: u64,
    stopped: bool,
}

impl Server {
    /// Starts the process, without waiting until it accepts connections.
    pub fn spawn(
        binaries: &Binaries,
        account: &Account,
        root: &Path,
        listen: &Listen,
        durable: bool,
    ) -> Result<Self, LocalError> {
        let path = root.join("postgres.log");
        let io = |source| LocalError::Io { path: path.clone(), source };
        let log = File::options().create(true).append(true).mode(0o600).open(&path).map_err(io)?;
        let log_start = log.metadata().map_err(io)?.len();
        let directory = root.join("postgres");
        let mut command = account.command(&binaries.program("postgres"), &directory);
        command.arg("-D").arg(&directory);
        for setting in listen.settings() {
            command.arg("-c").arg(setting);
        }
        if !durable {
            command.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        }
        // Its own process group: Ctrl-C in a terminal must not reach the server, which this process stops.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| failed("postgres", error.to_string()))?;
        Ok(Self { child, log: path, log_start, stopped: false })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a login succeeds, and returns its connection.
    pub async fn wait_ready(&mut self, options: &PgConnectOptions) -> Result<PgConnection, LocalError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > deadline => return Err(failed("postgres", error.to_string())),
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                self.stopped = true;
                return Err(failed("postgres", format!("{status}: {}", self.log_tail())));
            }
        }
    }

    /// Requests a fast shutdown, and an immediate one when that takes too long: the next start then replays the log.
    /// Committed data are safe in both cases.
    pub fn stop(&mut self) -> Result<(), LocalError> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        for (signal, timeout) in [(Signal::INT, STOP_TIMEOUT), (Signal::QUIT, QUIT_TIMEOUT)] {
            if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal); // fails when the process has ended already
            }
            let deadline = Instant::now() + timeout;
            while Instant::now() < deadline {
                match self.child.try_wait() {
                    Ok(Some(status)) if status.success() || signal == Signal::QUIT => return Ok(()),
                    Ok(Some(status)) => {
                        return Err(failed("postgres", format!("{status}: {}", self.log_tail())));
                    }
                    Ok(None) => std::thread::sleep(POLL_INTERVAL),
                    Err(error) => return Err(failed("postgres", error.to_string())),
                }
            }
            tracing::warn!(?signal, "the local Postgres takes long to stop");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        Err(failed("postgres", "the server did not stop in time and was killed".to_owned()))
    }

    /// End of what this server wrote to its log.
    fn log_tail(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.log_start.max(end.saturating_sub(LOG_TAIL))))?;
            file.read_to_end(&mut text)
        });
        read.map_or_else(|error| error.to_string(), |_| String::from_utf8_lossy(&text).trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "the local Postgres failed to stop");
        }
    }
}

fn failed(program: &'static str, output: String) -> LocalError {
    LocalError::Program { program, output }
}
