//! Programs that a test starts: each is ended by its own process id, also when the test fails.

use std::fs::File;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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

/// Asks again and again until there is an answer or the time is up.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port that nobody holds at an address, for UDP and TCP alike.
pub fn free_port(address: IpAddr) -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind((address, 0)).expect("a free port");
        let port = tcp.local_addr().expect("its address").port();
        if UdpSocket::bind((address, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP at {address}");
}
