//! The account that the server runs as: Postgres refuses to run as root.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::LocalError;

/// Accounts to run as instead of root, in order of preference.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Account of the server; `None` for the account of this process.
#[derive(Clone, Debug)]
pub(super) struct Account(Option<Ids>);

#[derive(Clone, Debug)]
struct Ids {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Chooses the account of this process, or an unprivileged one if that is root.
    pub fn choose() -> Result<Self, LocalError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let ids = CANDIDATES.iter().find_map(|name| users.lines().find_map(|line| parse(line, name)));
        ids.map(|ids| Self(Some(ids))).ok_or(LocalError::NoAccount)
    }

    /// A command that runs as the account. `directory`, its working directory, must be open to the account.
    pub fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).env("LC_ALL", "C");
        if let Some(ids) = &self.0 {
            command.uid(ids.uid).gid(ids.gid);
        }
        command
    }

    /// Makes the account the owner of a file or directory.
    pub fn chown(&self, path: &Path) -> std::io::Result<()> {
        match &self.0 {
            Some(ids) => chown(path, Some(ids.uid), Some(ids.gid)),
            None => Ok(()),
        }
    }

    /// Checks that the account may enter a directory and all directories above it.
    pub fn check_access(&self, directory: &Path) -> Result<(), LocalError> {
        let Some(ids) = &self.0 else { return Ok(()) };
        for parent in directory.ancestors() {
            let Ok(metadata) = parent.metadata() else { continue };
            let search = match (metadata.uid() == ids.uid, metadata.gid() == ids.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if metadata.mode() & search == 0 {
                return Err(LocalError::Unreachable {
                    directory: parent.to_owned(),
                    account: ids.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Parses a line of `/etc/passwd` (name, password, uid, gid, …); `None` for another account.
fn parse(line: &str, account: &str) -> Option<Ids> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| *name == account)?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Ids { name: name.to_owned(), uid, gid })
}
