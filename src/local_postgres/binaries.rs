//! Finds the server programs of Postgres on this system.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::LocalError;

/// Parent directory and name prefix of packaged releases: Debian and Ubuntu, then Red Hat and similar.
const PACKAGED: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];
/// Oldest release that is supported.
const OLDEST_RELEASE: u32 = 15;

/// The programs of one release.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    /// Major version.
    pub major: u32,
    /// Directory with `initdb` and `postgres`.
    pub directory: PathBuf,
}

impl Binaries {
    /// The newest installed release, or the release that existing data were created with.
    pub fn find(made_with: Option<u32>) -> Result<Self, LocalError> {
        let found = all().into_iter().filter(|found| match made_with {
            Some(major) => found.major == major,
            None => found.major >= OLDEST_RELEASE,
        });
        found.max_by_key(|found| found.major).ok_or(match made_with {
            Some(major) => LocalError::BinariesOf(major),
            None => LocalError::Binaries,
        })
    }

    /// A program of the release.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn all() -> Vec<Binaries> {
    let mut found = Vec::new();
    for (parent, prefix) in PACKAGED {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let major =
                name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|major| major.parse().ok());
            found.extend(major.map(|major| Binaries { major, directory: entry.path().join("bin") }));
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for directory in std::env::split_paths(&path) {
        found.extend(version(&directory).map(|major| Binaries { major, directory }));
    }
    found.retain(|found| found.program("initdb").is_file() && found.program("postgres").is_file());
    found
}

/// Asks `postgres --version`, which answers `postgres (PostgreSQL) 15.8 (…)`.
fn version(directory: &Path) -> Option<u32> {
    let program = directory.join("postgres");
    let output = program.is_file().then(|| Command::new(program).arg("--version").output())?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let digits: String = text.split(')').nth(1)?.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
