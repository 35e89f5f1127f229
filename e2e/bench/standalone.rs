//! A `centrex standalone` process with a Postgres that outlives it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::{PASSWORD, Socket, USERNAME};
use crate::peers::{Process, free_port};

/// Longest time until the process is ready.
const READY: Duration = Duration::from_secs(300);

/// A process that is ready.
pub struct Standalone {
    process: Process,
    /// Address of the listener.
    pub address: SocketAddr,
    /// Time from the start until the process was ready.
    pub started: Duration,
}

impl Standalone {
    /// Starts the process, and waits until all manifests are served.
    pub async fn start(manifests: &Path, data_dir: &Path, database: &str) -> Self {
        Self::start_with(manifests, data_dir, database, &[]).await
    }

    /// The same, with further options.
    pub async fn start_with(manifests: &Path, data_dir: &Path, database: &str, options: &[&str]) -> Self {
        let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.args(["standalone", "--log", "warn", "--manifests"]).arg(manifests);
        command.arg("--data-dir").arg(data_dir).args(["--xml-listen", &format!("127.0.0.1:{port}")]);
        command.args(options).env("CENTREX_DATABASE_URL", database);
        command.env("CENTREX_XML_USERNAME", USERNAME).env("CENTREX_XML_PASSWORD", PASSWORD);
        let start = Instant::now();
        let mut process = Process::start(&mut command, &data_dir.join("centrex.out"));
        while !ready(address).await {
            assert!(process.ended().is_none() && start.elapsed() < READY, "not ready\n{}", process.tail(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { process, address, started: start.elapsed() }
    }

    /// Mebibytes of memory: current and peak.
    pub fn memory(&self) -> (usize, usize) {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<usize>().ok());
            kilobytes.unwrap_or(0) >> 10
        };
        (mebibytes("VmRSS:"), mebibytes("VmHWM:"))
    }

    /// The last lines of the log.
    pub fn log(&self) -> String {
        self.process.tail(20)
    }

    /// Stops the process.
    pub fn end(mut self) {
        self.process.end();
    }
}

/// Whether the program at an address reports that it is ready.
pub async fn ready(address: SocketAddr) -> bool {
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return false;
    }
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    Socket::open(address).await.answer(request).await.0
}
