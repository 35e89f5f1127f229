//! The real program on its own copy of `deploy/samples`, and recorded requests of a real FreeSWITCH
//! (`e2e/requests`).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use crate::freeswitch::process::Process;
use crate::postgres::{Database, reachable_dir};
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

    /// A path next to both.
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

    /// Replaces a text of a manifest; panics if it is missing.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from}");
        self.write(file, &text.replace(from, to));
    }

    /// The command of `centrex standalone` for this setting, with further options.
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

    /// Starts `centrex standalone`, and waits until it listens.
    pub fn start(&self, options: &[&str]) -> Program {
        self.start_command(&mut self.command(options))
    }

    /// Runs a command that starts `centrex standalone`, and waits until it listens.
    pub fn start_command(&self, command: &mut Command) -> Program {
        Program::start(command, self.directory.path().join("output"), "answering mod_xml_curl")
    }

    /// Starts `centrex standalone`, and waits until it is ready.
    pub fn start_ready(&self, options: &[&str]) -> Program {
        let mut program = self.start(options);
        program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
        program
    }
}

/// Runs a command to its end: its exit code (`None` after a signal), and what it printed on both streams.
pub fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.concat())
}

/// Runs a command that may be missing or forbidden.
///
/// # Errors
/// Its standard error, on one line, if it failed; the system's error, if it did not start.
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
    /// Starts a command, and waits until it logs its address in a message with this text.
    pub fn start(command: &mut Command, output: PathBuf, listening: &str) -> Self {
        let process = Process::start(command, &output);
        let mut program = Self { process, output, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        program.address = program.wait_for("that it listens", |program| program.listens(listening));
        program
    }

    /// Waits until a condition holds.
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

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// The fields of each line of the log.
    fn messages(&self) -> impl Iterator<Item = serde_json::Value> {
        let lines: Vec<String> = self.log().lines().map(str::to_owned).collect();
        lines
            .into_iter()
            .filter_map(|line| Some(serde_json::from_str::<serde_json::Value>(&line).ok()?["fields"].take()))
    }

    /// Sends a recorded request; returns the status and body of the answer.
    pub fn ask(&self, recording: &str) -> (u16, String) {
        self.send(&recorded(recording))
    }

    /// The body of the answer to a recorded request; panics unless the status is 200.
    pub fn answer(&self, recording: &str) -> String {
        let (status, body) = self.ask(recording);
        assert_eq!(status, 200, "{recording}: {body}");
        body
    }

    /// Gets a path; returns status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// Sends bytes on a new connection, and reads one answer; status 0 without one.
    pub fn send(&self, request: &[u8]) -> (u16, String) {
        exchange(self.address, request)
    }

    /// The address in a log message with this text.
    pub fn listens(&self, words: &str) -> Option<SocketAddr> {
        self.messages().find(|message| message["message"] == words)?["listen"].as_str()?.parse().ok()
    }

    /// A connection to the listener.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, such as `-KILL`, and waits until the process ends.
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

/// Sends bytes on a new connection, and reads one answer; status 0 without one.
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

/// True while a process with this id runs.
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

/// Value of a metric in a page of metrics; the name includes the labels.
pub fn sample(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.trim().parse().expect("a number"))
}
