//! A real FreeSWITCH with the configuration of `deploy/freeswitch`, on loopback, in its own folder.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::esl::Esl;
use super::process::{Process, free_port, tail};
use super::wait::{DEADLINE, until};

/// Password of the event socket in tests.
pub const ESL_PASSWORD: &str = "esl-for-tests";
/// User and group without a login (Debian base-passwd).
const NOBODY: u32 = 65534;
/// Options of FreeSWITCH that name its folders.
const FOLDERS: [&str; 8] = ["log", "db", "run", "temp", "storage", "recordings", "cache", "certs"];

/// A running switch.
pub struct Switch {
    process: Process,
    dir: PathBuf,
    esl_port: u16,
}

/// The path of the installed FreeSWITCH, or what is missing.
pub fn installed() -> Result<PathBuf, String> {
    let prefix = std::env::var("FREESWITCH_PREFIX").unwrap_or_else(|_| "/opt/freeswitch".to_owned());
    let binary = Path::new(&prefix).join("bin/freeswitch");
    if !binary.is_file() {
        return Err(format!("no {} (FREESWITCH_PREFIX names the prefix)", binary.display()));
    }
    match Command::new("sipp").arg("-v").output() {
        Ok(_) => Ok(binary),
        Err(_) => Err("no sipp in PATH".to_owned()),
    }
}

impl Switch {
    /// Starts a switch in a folder, with Centrex at an address; returns when the event socket answers.
    pub fn start(binary: &Path, dir: &Path, url: &str, username: &str, password: &str) -> Self {
        Self::start_at(binary, dir, url, (username, password), free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }

    /// The same, with a port for the event socket.
    pub fn start_at(
        binary: &Path,
        dir: &Path,
        url: &str,
        (username, password): (&str, &str),
        esl_port: u16,
    ) -> Self {
        // Each of 60 switches starts at another port, with a range of 800 ports: a call holds its four until
        // its records are accepted or saved. FreeSWITCH skips ports that are in use.
        let rtp = 20_000 + free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)) / 4 % 60 * 200;
        let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/freeswitch");
        copy(&configuration, &dir.join("conf"));
        let mut command = Command::new(binary);
        command.args(["-nonat", "-nf", "-nc", "-nocal", "-conf"]).arg(dir.join("conf"));
        for folder in FOLDERS {
            std::fs::create_dir_all(dir.join(folder)).expect("folder of the switch");
            command.arg(format!("-{folder}")).arg(dir.join(folder));
        }
        command
            .env("CENTREX_XML_URL", url)
            .env("CENTREX_XML_USERNAME", username)
            .env("CENTREX_XML_PASSWORD", password)
            .env("CENTREX_ESL_PORT", esl_port.to_string())
            .env("CENTREX_ESL_PASSWORD", ESL_PASSWORD)
            .env("CENTREX_SWITCH_NAME", "switch-under-test")
            .env("CENTREX_RTP_START_PORT", rtp.to_string())
            .env("CENTREX_RTP_END_PORT", (rtp + 800).to_string())
            .env("CENTREX_SESSIONS_PER_SECOND", "1000")
            .env("CENTREX_LOG_LEVEL", "info")
            .env("CENTREX_PHRASES", "tones");
        give(dir);
        if is_root() {
            // The switch's user needs access to the folder with every umask.
            let above = dir.parent().expect("the folder above");
            let mode = std::fs::metadata(above).expect("its mode").permissions().mode();
            std::fs::set_permissions(above, std::fs::Permissions::from_mode(mode | 0o011)).expect("its mode");
            // A command that a phone makes the switch run must not have root's rights.
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = Process::start(&mut command, &dir.join("freeswitch.out"));
        let mut switch = Self { process, dir: dir.to_owned(), esl_port };
        let ready = until(DEADLINE, || match switch.process.ended() {
            Some(status) => Some(Err(status)),
            None => switch.ask("status").filter(|status| status.contains("is ready")).map(Ok),
        });
        match ready {
            Some(Ok(_)) => switch,
            Some(Err(status)) => panic!("FreeSWITCH ended with {status}\n{}", switch.log(60)),
            None => panic!("FreeSWITCH cannot be commanded after 120 s\n{}", switch.log(60)),
        }
    }

    /// A connection to the event socket; `None` if it does not answer.
    pub fn esl(&self) -> Option<Esl> {
        Esl::connect(self.esl_port, ESL_PASSWORD)
    }

    /// The answer to an API command; `None` if the event socket does not answer.
    pub fn ask(&self, command: &str) -> Option<String> {
        self.esl()?.api(command)
    }

    /// The answer to an API command.
    pub fn api(&self, command: &str) -> String {
        self.ask(command).unwrap_or_else(|| panic!("no answer to {command}\n{}", self.log(40)))
    }

    /// UUIDs of the legs that are up, sorted.
    pub fn legs(&self) -> Vec<String> {
        let answer: Value = serde_json::from_str(&self.api("show channels as json")).expect("JSON");
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let mut legs: Vec<String> =
            rows.iter().filter_map(|row| Some(row["uuid"].as_str()?.to_owned())).collect();
        legs.sort();
        legs
    }

    /// Sends a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    /// Ends the switch as a crash does.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.process.wait(Duration::from_secs(10)).expect("a killed process ends");
    }

    /// The last lines of the log, without the banner and the network lists.
    pub fn log(&self, lines: usize) -> String {
        let log = tail(&self.dir.join("log/freeswitch.log"), lines + 80);
        let kept: Vec<&str> =
            log.lines().filter(|line| line.contains("% [") && !line.contains(" to list ")).collect();
        format!("{}\n{}", self.process.tail(10), kept[kept.len().saturating_sub(lines)..].join("\n"))
    }
}

/// Templates with which profiles listen at the switch's own address, as on separate machines.
pub fn templates(folder: &Path, address: Ipv4Addr) {
    let folder = folder.join("configuration");
    std::fs::create_dir_all(&folder).expect("folder of templates");
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/configuration");
    for name in ["sofia_phones.xml", "sofia_trunks.xml"] {
        let mut text = std::fs::read_to_string(built_in.join(name)).expect("a template");
        for param in ["sip-ip", "rtp-ip"] {
            text.push_str(&format!("<param name=\"{param}\" value=\"{address}\"/>\n"));
        }
        std::fs::write(folder.join(name), text).expect("a template");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder of the configuration");
    for entry in std::fs::read_dir(from).expect("deploy/freeswitch") {
        let entry = entry.expect("entry of deploy/freeswitch");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copy of the configuration");
        }
    }
}

/// Gives a folder to the user that the switch runs as.
pub fn give(folder: &Path) {
    if is_root() {
        give_away(folder);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("folder given to nobody");
    if path.is_dir() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).expect("its mode");
        for entry in std::fs::read_dir(path).expect("folder of the switch") {
            give_away(&entry.expect("its entry").path());
        }
    }
}
