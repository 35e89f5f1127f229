//! The real program on a folder of its own: a copy of `deploy/samples`, asked with what a real
//! FreeSWITCH sent (`e2e/requests`).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use crate::freeswitch::process::Process;
use crate::postgres::{Database, reachable_dir};
pub use crate::wait::DEADLINE as PATIENCE;
use crate::wait::{DEADLINE, until};

/// Manifests and a data directory.
pub struct Setting {
    directory: TempDir,
}

impl Setting {
    /// A copy of the samples.
    pub fn samples() -> Self {
        let setting = Self { directory: reachable_dir() };
        copy(&repository("deploy/samples"), &setting.manifests());
        setting
    }

    /// Folder of the manifests.
    pub fn manifests(&self) -> PathBuf {
        self.directory.path().join("manifests")
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A path beside both.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Text of a manifest.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.manifests().join(file)).unwrap()
    }

    /// Writes a manifest.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.manifests().join(file), text).unwrap();
    }

    /// Replaces a text that a manifest must have.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from}");
        self.write(file, &text.replace(from, to));
    }

    /// `centrex standalone` on it, with further options; not started.
    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.arg("standalone").arg("--manifests").arg(self.manifests());
        command.arg("--data-dir").arg(self.data_dir());
        if !options.contains(&"--xml-listen") {
            command.args(["--xml-listen", "127.0.0.1:0"]);
        }
        command.args(options).env("CENTREX_XML_USERNAME", "freeswitch");
        command.env("CENTREX_XML_PASSWORD", "demo-only").env_remove("CENTREX_DATABASE_URL");
        command
    }

    /// Starts it, and waits until it listens.
    pub fn start(&self, options: &[&str]) -> Program {
        self.start_command(&mut self.command(options))
    }

    /// Starts what runs it, and waits until it listens.
    pub fn start_command(&self, command: &mut Command) -> Program {
        Program::start(command, self.directory.path().join("output"), "answering mod_xml_curl")
    }

    /// Starts it, and waits until it is ready.
    pub fn start_ready(&self, options: &[&str]) -> Program {
        let mut program = self.start(options);
        program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
        program
    }
}

/// Runs a command to its end: whether it was 0, 1, 2 …, and what it printed.
pub fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.concat())
}

/// Runs a command that may not be there, or not be allowed: what it said, where it did not succeed.
pub fn succeeded(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// `--database-url` of a test's database.
pub fn url(database: &Database) -> String {
    let options = database.options();
    let socket = options.get_socket().expect("a socket").display().to_string();
    format!("postgres://centrex@localhost:{}/{}?host={socket}", options.get_port(), database.name())
}

/// A running `centrex standalone`, ended with the test.
pub struct Program {
    process: Process,
    output: PathBuf,
    address: SocketAddr,
}

impl Program {
    /// Starts a command, and waits until it says where it listens, in a message of these words.
    pub fn start(command: &mut Command, output: PathBuf, listening: &str) -> Self {
        let process = Process::start(command, &output);
        let mut program = Self { process, output, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        program.address = program.wait_for("that it listens", |program| program.listens(listening));
        program
    }

    /// Waits for something to become true.
    pub fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.wait_for(what, |program| holds(program).then_some(()));
    }

    fn wait_for<T>(&mut self, what: &str, ask: impl Fn(&Self) -> Option<T>) -> T {
        let found = until(DEADLINE, || match self.process.ended() {
            Some(status) => panic!("ended with {status} before {what}:\n{}", self.log()),
            None => ask(self),
        });
        found.unwrap_or_else(|| panic!("never came: {what}\n{}", self.log()))
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// The fields of everything it logged.
    fn messages(&self) -> impl Iterator<Item = serde_json::Value> {
        let lines: Vec<String> = self.log().lines().map(str::to_owned).collect();
        lines
            .into_iter()
            .filter_map(|line| Some(serde_json::from_str::<serde_json::Value>(&line).ok()?["fields"].take()))
    }

    /// Sends a recorded request; the answer's status and body.
    pub fn ask(&self, recording: &str) -> (u16, String) {
        self.send(&recorded(recording))
    }

    /// The answer to a recorded request, which must be one.
    pub fn answer(&self, recording: &str) -> String {
        let (status, body) = self.ask(recording);
        assert_eq!(status, 200, "{recording}: {body}");
        body
    }

    /// Gets a path; status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// Sends bytes on a connection of their own, and reads one answer; status 0 when none comes.
    pub fn send(&self, request: &[u8]) -> (u16, String) {
        exchange(self.address, request)
    }

    /// Where it says that it listens, in a message of these words.
    pub fn listens(&self, words: &str) -> Option<SocketAddr> {
        self.messages().find(|message| message["message"] == words)?["listen"].as_str()?.parse().ok()
    }

    /// A connection to its listener.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, such as `-KILL`, and waits for the end.
    pub fn end(mut self, signal: &str) -> (ExitStatus, String) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status =
            self.process.wait(DEADLINE).unwrap_or_else(|| panic!("{signal} is ignored: {}", self.log()));
        (status, self.log())
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends bytes on a connection of their own, and reads one answer; status 0 when none comes.
pub fn exchange(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, body.to_owned());
            }
        }
        match stream.read(&mut part) {
            Ok(0) => return (0, text),
            Ok(length) => bytes.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (0, text),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Names of all recorded requests for the samples.
pub fn recordings() -> Vec<String> {
    let files = std::fs::read_dir(repository("e2e/requests")).unwrap();
    let mut names: Vec<String> = files
        .filter_map(|file| Some(file.unwrap().file_name().to_str()?.strip_suffix(".http")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names
}

/// The bytes of a recorded request.
pub fn recorded(name: &str) -> Vec<u8> {
    std::fs::read(repository("e2e/requests").join(name).with_extension("http")).unwrap()
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// True while a process of this number runs.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The value of a metric without labels, or with those it is named with, on a page of them.
pub fn sample(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.trim().parse().expect("a number"))
}
