//! Copies of what is in force of each manifest file, in the data directory: an object that is broken during a restart
//! stays in force.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::Vault;
use crate::util::atomic_file;

/// What is in force of a manifest file. Not `Debug`: it can contain Secrets.
#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Its text, whose valid objects are in force.
    pub text: String,
    /// Objects that are in force though the text has no valid version of them.
    pub kept: Vec<Value>,
}

/// A directory of encrypted copies: manifests can contain Secrets.
#[derive(Debug)]
pub(super) struct LastGood {
    directory: PathBuf,
    vault: Arc<dyn Vault>,
}

impl LastGood {
    /// Opens the directory, and creates it if it is missing.
    pub fn open(directory: PathBuf, vault: Arc<dyn Vault>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory, vault })
    }

    /// Saves the copy of a file. A failure is only logged: it matters after a restart at the earliest.
    pub fn save(&self, file: &Path, saved: &Saved) {
        if self.saved(file).is_some_and(|before| before == *saved) {
            return;
        }
        let name = name_of(file);
        let written = serde_json::to_vec(saved).map_err(io::Error::other).and_then(|bytes| {
            let sealed = self.vault.seal(&name, &bytes);
            atomic_file::replace(&self.directory.join(&name), &sealed, 0o600)
        });
        if let Err(error) = written {
            warn!(file = %file.display(), %error, "its last good version could not be saved");
        }
    }

    /// The copy of a file.
    pub fn saved(&self, file: &Path) -> Option<Saved> {
        let name = name_of(file);
        let sealed = fs::read(self.directory.join(&name)).ok()?;
        serde_json::from_slice(&self.vault.open(&name, &sealed)?).ok()
    }

    /// Removes the copy of a deleted file.
    pub fn remove(&self, file: &Path) {
        // There may be no copy. A copy that cannot be removed now is removed at the next start.
        let _ = fs::remove_file(self.directory.join(name_of(file)));
    }

    /// Removes the copies of all files but these, so that files deleted while this program was down stay deleted.
    pub fn retain<'a>(&self, files: impl Iterator<Item = &'a Path>) {
        let kept: BTreeSet<PathBuf> = files.map(|file| self.directory.join(name_of(file))).collect();
        let copies = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for copy in copies.map(|entry| entry.path()).filter(|path| !kept.contains(path)) {
            let _ = fs::remove_file(copy);
        }
    }
}

/// File name of the copy of `file`.
fn name_of(file: &Path) -> String {
    hex::encode(Sha256::digest(file.as_os_str().as_bytes()))
}
