//! `centrex standalone` on a folder of manifests.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Process, free_port};
use super::wait::{DEADLINE, until};

/// User name of the switch.
pub const USERNAME: &str = "switch";
/// Password of the switch.
pub const PASSWORD: &str = "xml-for-tests";

/// A running Centrex.
pub struct Standalone {
    process: Process,
    port: u16,
}

impl Standalone {
    /// Starts Centrex on a folder of manifests; returns when Centrex is ready.
    pub fn start(manifests: &Path, dir: &Path) -> Self {
        Self::start_with(manifests, dir, &[])
    }

    /// The same, with further options.
    pub fn start_with(manifests: &Path, dir: &Path, options: &[&str]) -> Self {
        Self::start_at(free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)), manifests, dir, options)
    }

    /// The same, at the address that a switch already asks.
    pub fn start_at(port: u16, manifests: &Path, dir: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command
            .args(["standalone", "--manifests"])
            .arg(manifests)
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--media-dir")
            .arg(dir.join("media"))
            .args(["--xml-listen", &format!("127.0.0.1:{port}")])
            .args(["--xml-username", USERNAME, "--xml-password", PASSWORD])
            .args(options);
        let process = Process::start(&mut command, &dir.join("centrex.out"));
        let mut standalone = Self { process, port };
        let ready = until(DEADLINE, || match standalone.process.ended() {
            Some(status) => Some(Err(status)),
            None => standalone.ready().then_some(Ok(())),
        });
        match ready {
            Some(Ok(())) => standalone,
            Some(Err(status)) => panic!("centrex standalone ended with {status}\n{}", standalone.log()),
            None => panic!("centrex standalone is not ready after 60 s\n{}", standalone.log()),
        }
    }

    /// Stops Centrex.
    pub fn end(&mut self) {
        self.process.end();
    }

    /// URL for the switch.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Port for the switch.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The last lines of the output.
    pub fn log(&self) -> String {
        self.process.tail(40)
    }

    /// Its metrics.
    pub fn metrics(&self) -> String {
        self.get("/metrics").unwrap_or_default()
    }

    fn ready(&self) -> bool {
        self.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The answer to a path, with its head; retried for a minute at most.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
