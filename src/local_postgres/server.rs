//! The server process: made, started, waited for, stopped.

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
use super::{LocalError, SOCKET_PATH, START_TIMEOUT};

/// Names the socket: `.s.PGSQL.5432`.
pub(super) const SOCKET_PORT: u16 = 5432;
/// How long a server gets to stop in order: after a large load its last checkpoint takes a while.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it gets to stop without one.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a log an error shows, in bytes.
const LOG_TAIL: u64 = 1000;
const POLL: Duration = Duration::from_millis(20);

/// Where the server listens.
#[derive(Clone, Debug)]
pub(super) enum Listen {
    /// A socket in its data directory, which is closed to others: no password is asked.
    Socket(PathBuf),
    /// A port of 127.0.0.1, with a password, where the path is too long for a socket.
    Loopback(u16),
}

impl Listen {
    /// A socket where the path allows it.
    pub fn choose(directory: &Path) -> std::io::Result<Self> {
        if directory.join(format!(".s.PGSQL.{SOCKET_PORT}")).as_os_str().len() < SOCKET_PATH {
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

/// The release that data were made with; none without data.
pub(super) fn made_with(directory: &Path) -> Option<u32> {
    std::fs::read_to_string(directory.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Makes the data, beside their place first: a start that is killed leaves nothing half made.
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
    account.own(&fresh).map_err(io)?;
    let password_file = root.join("postgres.password.new");
    let _ = std::fs::remove_file(&password_file);
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&password_file).map_err(io)?;
    std::io::Write::write_all(&mut file, password.as_bytes()).map_err(io)?;
    account.own(&password_file).map_err(io)?;
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

/// A server whose parent was killed still runs; a pid file may also be left by one that does not.
/// The first is stopped, the second removed: Postgres itself would take any process of that
/// number for a server. Our lock on the data directory says that nobody else uses it.
pub(super) fn stop_orphan(directory: &Path) -> Result<(), LocalError> {
    let path = directory.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|pid| works_in(*pid, directory)) {
        tracing::warn!(pid = pid.as_raw_nonzero().get(), "stopping the Postgres of a run that was killed");
        let _ = kill_process(pid, Signal::INT);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while works_in(pid, directory) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(LocalError::Io { path, source }),
        _ => Ok(()),
    }
}

/// Whether a process runs and has its working directory there, as a server of these data has.
fn works_in(pid: Pid, directory: &Path) -> bool {
    let link = format!("/proc/{}/cwd", pid.as_raw_nonzero());
    test_kill_process(pid).is_ok() && std::fs::read_link(link).is_ok_and(|cwd| cwd == directory)
}

/// Whether a failed start may go well a moment later.
pub(super) fn passes(error: &LocalError) -> bool {
    let LocalError::Program { output, .. } = error else { return false };
    ["Address already in use", "still in use", "starting up"].iter().any(|text| output.contains(text))
}

/// The process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    log_start: u64,
    stopped: bool,
}

impl Server {
    /// Starts the server; whether it comes up is another question.
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
        // A group of its own: Ctrl-C in a terminal is for us, and we stop the server in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| failed("postgres", error.to_string()))?;
        Ok(Self { child, log: path, log_start, stopped: false })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody can log in.
    pub async fn wait_ready(&mut self, options: &PgConnectOptions) -> Result<PgConnection, LocalError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > deadline => return Err(failed("postgres", error.to_string())),
                Err(_) => tokio::time::sleep(POLL).await,
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                self.stopped = true;
                return Err(failed("postgres", format!("{status}: {}", self.log_tail())));
            }
        }
    }

    /// Asks for a fast shutdown and waits for it; for an immediate one when that takes too long,
    /// after which the next start replays the log. What is committed is safe either way.
    pub fn stop(&mut self) -> Result<(), LocalError> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        for (signal, timeout) in [(Signal::INT, STOP_TIMEOUT), (Signal::QUIT, QUIT_TIMEOUT)] {
            if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal); // fails when it is gone already
            }
            let deadline = Instant::now() + timeout;
            while Instant::now() < deadline {
                match self.child.try_wait() {
                    Ok(Some(status)) if status.success() || signal == Signal::QUIT => return Ok(()),
                    Ok(Some(status)) => {
                        return Err(failed("postgres", format!("{status}: {}", self.log_tail())));
                    }
                    Ok(None) => std::thread::sleep(POLL),
                    Err(error) => return Err(failed("postgres", error.to_string())),
                }
            }
            tracing::warn!(?signal, "the Postgres of our own takes long to stop");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        Err(failed("postgres", "it did not stop in time, and was killed".to_owned()))
    }

    /// The end of what this server wrote to its log.
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
            tracing::warn!(%error, "the Postgres of our own did not stop well");
        }
    }
}

fn failed(program: &'static str, output: String) -> LocalError {
    LocalError::Program { program, output }
}
