//! Programs that a test starts: each is ended by its own process id, also when the test fails.

use std::fs::File;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::wait::until;

/// How long a program may take to end after SIGTERM before it is killed.
const END: Duration = Duration::from_secs(15);

/// A running program, whose output goes to a file.
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program with its output, both streams, in a file.
    pub fn start(command: &mut Command, output: &Path) -> Self {
        let file = File::create(output).expect("output file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("output file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, output: output.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, when it ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("state of a child")
    }

    /// Waits for it to end by itself; `None` after the time is up.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        until(limit, || self.ended())
    }

    /// Ends it: SIGTERM, and SIGKILL if it does not listen.
    pub fn end(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        if self.wait(END).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// What it printed last.
    pub fn tail(&self, lines: usize) -> String {
        tail(&self.output, lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The last lines of a file.
pub fn tail(file: &Path, lines: usize) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Ports below those that the system gives to connections: one of these would be gone by the time
/// that a slow program binds what was found free for it.
const PORTS: std::ops::Range<u16> = 9_000..15_900;
/// The next two are for the media that belong to a port.
const STEP: u16 = 4;

/// A port that nobody holds at an address, for UDP and TCP alike; each is given once, as long as
/// there are others.
pub fn free_port(address: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = (PORTS.end - PORTS.start) / STEP;
    // Processes that run at one time begin elsewhere.
    let first = u16::try_from(std::process::id() * 61 % u32::from(count)).expect("less than the count");
    for _ in 0..count {
        let port = PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed) % count) % count * STEP;
        if TcpListener::bind((address, port)).is_ok() && UdpSocket::bind((address, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP at {address}");
}
