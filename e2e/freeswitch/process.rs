//! Programs that a test starts: each is ended by its own process id, even if the test fails.

use std::fs::File;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::wait::until;

/// Time between SIGTERM and SIGKILL.
const END: Duration = Duration::from_secs(15);

/// A running program with its output in a file.
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program with both output streams in a file.
    pub fn start(command: &mut Command, output: &Path) -> Self {
        Self::start_with(Stdio::null(), command, output)
    }

    /// The same with an input that stays open until the program ends, for one that ends with its input.
    pub fn start_with_open_input(command: &mut Command, output: &Path) -> Self {
        Self::start_with(Stdio::piped(), command, output)
    }

    fn start_with(input: Stdio, command: &mut Command, output: &Path) -> Self {
        let file = File::create(output).expect("output file");
        let child = command
            .stdin(input)
            .stdout(file.try_clone().expect("output file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, output: output.to_owned() }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Exit status, if the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("state of a child")
    }

    /// Waits until the program ends by itself; `None` after the time.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        until(limit, || self.ended())
    }

    /// Ends the program: SIGTERM, then SIGKILL.
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

    /// The last lines of the output.
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

/// First port of those below the system's range for outgoing connections: a port of that range could be taken
/// before a slow program binds it.
const PORTS: std::ops::Range<u16> = 9_000..15_900;
/// Distance of ports: the next two are for the media of a port.
const STEP: u16 = 4;

/// A port that is free at an address for UDP and TCP; each is returned once, as long as there are others.
pub fn free_port(address: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = (PORTS.end - PORTS.start) / STEP;
    // Concurrent processes start at different ports.
    let first = u16::try_from(std::process::id() * 61 % u32::from(count)).expect("less than the count");
    for _ in 0..count {
        let port = PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed) % count) % count * STEP;
        if TcpListener::bind((address, port)).is_ok() && UdpSocket::bind((address, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP at {address}");
}
