//! Files as they were when they were last good, kept in the data directory: a restart while one is
//! broken takes nothing away from what it held.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tracing::warn;

use super::Vault;
use crate::util::atomic_file;

/// A directory of copies, sealed: manifests can hold Secrets.
#[derive(Debug)]
pub(super) struct LastGood {
    directory: PathBuf,
    vault: Arc<dyn Vault>,
}

impl LastGood {
    /// The copies in a directory, which is made when it is not there.
    pub fn open(directory: PathBuf, vault: Arc<dyn Vault>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory, vault })
    }

    /// Keeps a file's text. That it could not be kept is logged: what is served is not concerned.
    pub fn keep(&self, file: &Path, text: &str) {
        if self.text(file).is_some_and(|kept| kept == text) {
            return;
        }
        let name = name_of(file);
        let sealed = self.vault.seal(&name, text.as_bytes());
        if let Err(error) = atomic_file::replace(&self.directory.join(name), &sealed, 0o600) {
            warn!(file = %file.display(), %error, "its last good state could not be kept");
        }
    }

    /// The text a file had when it was last good.
    pub fn text(&self, file: &Path) -> Option<String> {
        let name = name_of(file);
        let sealed = fs::read(self.directory.join(&name)).ok()?;
        String::from_utf8(self.vault.open(&name, &sealed)?).ok()
    }

    /// Forgets a file that is gone.
    pub fn forget(&self, file: &Path) {
        // One that was never kept is no error; one that stays is dropped at the next start.
        let _ = fs::remove_file(self.directory.join(name_of(file)));
    }

    /// Forgets all files but these: what was deleted while nobody looked does not come back.
    pub fn retain<'a>(&self, files: impl Iterator<Item = &'a Path>) {
        let kept: BTreeSet<PathBuf> = files.map(|file| self.directory.join(name_of(file))).collect();
        let copies = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for copy in copies.map(|entry| entry.path()).filter(|path| !kept.contains(path)) {
            let _ = fs::remove_file(copy);
        }
    }
}

/// The name of a file's copy.
fn name_of(file: &Path) -> String {
    hex::encode(Sha256::digest(file.as_os_str().as_bytes()))
}
