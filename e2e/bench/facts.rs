//! The conditions of a run: machine, date, versions.

use std::fs::read_to_string;
use std::process::Command;

/// Names and values.
pub struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// A Markdown list.
    pub fn list(&self) -> String {
        self.0.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
    }
}

/// Reads the facts of the machine; `unknown` for those that cannot be read.
pub fn gather() -> Facts {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = field("/proc/cpuinfo", "model name");
    let kilobytes = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0u64);
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    Facts(vec![
        ("Date", jiff::Zoned::now().date().to_string()),
        ("Processors", format!("{cores} ({processor})")),
        ("Memory", format!("{} GiB", kilobytes.div_ceil(1 << 20))),
        ("Load of others when it began (1 min)", load.split(' ').next().unwrap_or_default().to_owned()),
        ("Kernel", read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()),
        ("Centrex", env!("CARGO_PKG_VERSION").to_owned()),
        ("Rust", said("rustc", &["--version"])),
        ("PostgreSQL", crate::size::postgres_version()),
        ("FreeSWITCH", crate::freeswitch::version()),
    ])
}

fn field(file: &str, name: &str) -> String {
    let text = read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.map_or_else(unknown, |value| value.trim().to_owned())
}

/// The version that a program prints.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| unknown(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Value of a fact that could not be read.
pub fn unknown() -> String {
    "unknown".to_owned()
}
