//! Phones and carriers: sipp with a scenario of this folder, each at its own loopback address.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{Process, free_port};
use super::wait::{DEADLINE, until};

/// Longest duration of one scenario.
const LIMIT: Duration = Duration::from_secs(30);

/// How often a scenario is restarted that sent nothing.
const ATTEMPTS: usize = 3;

/// A SIP client.
pub struct Peer {
    /// SIP user name.
    pub user: &'static str,
    /// SIP domain.
    pub domain: &'static str,
    /// Password.
    pub password: &'static str,
    /// Address.
    pub address: Ipv4Addr,
    /// Port for incoming calls.
    pub port: u16,
    /// Address of the switch.
    pub switch: Ipv4Addr,
    traces: PathBuf,
}

/// The result of a scenario.
pub struct Outcome {
    /// Whether the scenario ran from its first line to its last.
    pub completed: bool,
    /// All SIP sent and received.
    pub trace: String,
}

impl Outcome {
    /// The status of the last final answer.
    pub fn status(&self) -> Option<u16> {
        self.trace
            .split("UDP message received")
            .skip(1)
            .filter_map(|message| message.lines().find_map(|line| line.strip_prefix("SIP/2.0 ")))
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .filter(|status| *status >= 200)
            .last()
    }

    /// Received requests of one method, as complete messages.
    pub fn received(&self, method: &str) -> Vec<&str> {
        let messages = self.trace.split("-----------------------------------------------");
        let received = messages.filter(|message| message.contains("UDP message received"));
        received.filter(|message| message.lines().any(|line| is_request(line, method))).collect()
    }
}

fn is_request(line: &str, method: &str) -> bool {
    line.strip_prefix(method).is_some_and(|rest| rest.starts_with(' ')) && line.ends_with("SIP/2.0")
}

impl Peer {
    /// A client at a loopback address, with a free port for calls.
    pub fn new(
        user: &'static str,
        domain: &'static str,
        password: &'static str,
        host: u8,
        dir: &Path,
    ) -> Self {
        Self::from(Ipv4Addr::new(127, 0, 0, host), user, domain, password, dir)
    }

    /// A client at any address.
    pub fn from(
        address: Ipv4Addr,
        user: &'static str,
        domain: &'static str,
        password: &'static str,
        dir: &Path,
    ) -> Self {
        let traces = dir.join(format!("{user}-{domain}-{address}"));
        std::fs::create_dir_all(&traces).expect("folder for traces");
        let port = free_port(IpAddr::V4(address));
        Self { user, domain, password, address, port, switch: Ipv4Addr::LOCALHOST, traces }
    }

    /// The same, with a switch at another address.
    pub fn at(self, switch: Ipv4Addr) -> Self {
        Self { switch, ..self }
    }

    /// Runs a scenario towards a port of the switch, with further keywords.
    pub fn play(&self, scenario: &str, target: u16, keys: &[(&str, &str)]) -> Outcome {
        self.play_talking(scenario, target, keys, Duration::from_millis(500))
    }

    /// Runs a scenario, with a duration of talk.
    pub fn play_talking(
        &self,
        scenario: &str,
        target: u16,
        keys: &[(&str, &str)],
        talk: Duration,
    ) -> Outcome {
        // Another program may bind the free port before sipp does: sipp then exits without a message.
        for _ in 1..ATTEMPTS {
            let outcome = self.play_once(scenario, target, keys, talk);
            if !outcome.trace.is_empty() {
                return outcome;
            }
        }
        self.play_once(scenario, target, keys, talk)
    }

    fn play_once(&self, scenario: &str, target: u16, keys: &[(&str, &str)], talk: Duration) -> Outcome {
        let port = free_port(IpAddr::V4(self.address));
        let (mut process, trace) =
            self.sipp(scenario, target, port, keys, &["-m", "1", "-d", &talk.as_millis().to_string()]);
        let completed = process.wait(LIMIT).is_some_and(|status| status.success());
        process.end();
        Outcome { completed, trace: std::fs::read_to_string(trace).unwrap_or_default() }
    }

    /// Starts a scenario in the background; it talks for a duration, unless it is stopped before.
    pub fn begin(&self, scenario: &str, target: u16, keys: &[(&str, &str)], talk: Duration) -> Talk {
        let port = free_port(IpAddr::V4(self.address));
        let talk = talk.as_millis().to_string();
        let (process, _) = self.sipp(scenario, target, port, keys, &["-m", "1", "-d", &talk]);
        Talk { process }
    }

    /// Starts a scenario in the background, and keeps what it sends and receives until it is stopped.
    pub fn follow(&self, scenario: &str, target: u16, keys: &[(&str, &str)]) -> Listener {
        let port = free_port(IpAddr::V4(self.address));
        let (process, trace) = self.sipp(scenario, target, port, keys, &["-m", "1"]);
        Listener { process, trace }
    }

    /// Accepts calls at the client's port by a scenario until stopped.
    pub fn listen(&self, scenario: &str, target: u16) -> Listener {
        self.listen_with(scenario, target, &[])
    }

    /// The same, with further keywords.
    pub fn listen_with(&self, scenario: &str, target: u16, keys: &[(&str, &str)]) -> Listener {
        // A registration causes a NOTIFY of the voicemail box: answered, and no part of a scenario.
        let (process, trace) = self.sipp(scenario, target, self.port, keys, &["-aa", "-deadcall_wait", "0"]);
        let bound = || std::net::UdpSocket::bind((self.address, self.port)).err();
        until(DEADLINE, bound).expect("sipp binds its port");
        Listener { process, trace }
    }

    fn sipp(
        &self,
        scenario: &str,
        target: u16,
        port: u16,
        keys: &[(&str, &str)],
        more: &[&str],
    ) -> (Process, PathBuf) {
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/freeswitch");
        let trace = self.traces.join(format!("{scenario}-{port}.log"));
        let address = self.address.to_string();
        let media = free_port(IpAddr::V4(self.address)) & !1;
        let mut command = Command::new("sipp");
        command
            .current_dir(&self.traces)
            .arg(format!("{}:{target}", self.switch))
            .arg("-sf")
            .arg(scenarios.join(format!("{scenario}.xml")))
            .args(["-i", &address, "-p", &port.to_string(), "-bind_local"])
            .args(["-mi", &address, "-mp", &media.to_string()])
            .args(["-ci", &address, "-cp", &free_port(IpAddr::V4(self.address)).to_string()])
            .args(["-au", self.user, "-ap", self.password, "-nostdin"])
            .args(["-key", "user", self.user, "-key", "domain", self.domain])
            .args(["-key", "listens", &self.port.to_string()])
            .args(["-trace_msg", "-message_overwrite", "true", "-message_file"])
            .arg(&trace)
            .args(more);
        for (name, value) in keys {
            command.args(["-key", name, value]);
        }
        let output = self.traces.join(format!("{scenario}-{port}.out"));
        (Process::start(&mut command, &output), trace)
    }
}

/// A scenario that is still running.
pub struct Talk {
    process: Process,
}

impl Talk {
    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }
}

/// A client that accepts calls until it is stopped.
pub struct Listener {
    process: Process,
    trace: PathBuf,
}

impl Listener {
    /// Stops the client, and returns its result.
    pub fn end(mut self) -> Outcome {
        let outcome = self.seen();
        self.process.end();
        outcome
    }

    /// The result so far.
    pub fn seen(&self) -> Outcome {
        // The last message may still be in transit.
        std::thread::sleep(Duration::from_millis(200));
        Outcome { completed: true, trace: std::fs::read_to_string(&self.trace).unwrap_or_default() }
    }
}
