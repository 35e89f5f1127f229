//! Resources from a folder of manifests, followed as it changes.
//!
//! - Read are files named `.yaml`, `.yml` and `.json`, in sub-folders too. Hidden files are ignored.
//! - An object with a problem keeps no other object of its file out. Its last good version stays in force, after a
//!   restart too, and a [`FileProblem`] names file, line and field. An object that never was good contributes
//!   nothing.
//! - While a part of a file cannot be parsed, or does not say which object it is, that part may be any object of the
//!   file: none that is missing elsewhere in the file counts as deleted.
//! - If several files define the same object, the one whose object is in force keeps it, and the others have
//!   a problem. At the first start none is in force: all have a problem, and none is accepted.
//! - An object's UID is derived from its kind, namespace and name. Its creation time is when it was first
//!   seen, which the data directory remembers.

mod document;
mod first_seen;
mod generated_secrets;
mod json;
mod last_good;
mod lines;
mod load;
mod locate;
mod problem;
mod read;
mod scan;
mod state;
mod tree;
mod watch;
mod yaml_words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use problem::{FileProblem, FolderError};
pub use read::MAX_FILE_SIZE;

use super::{Change, ObjectKey};
use tree::Tree;

/// Options of a folder source.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// Folder of the manifests.
    pub manifests: PathBuf,
    /// Directory for creation times, generated Secrets and last good versions. Created if missing.
    pub data_dir: PathBuf,
    /// Encrypts the copies of manifests in the data directory.
    pub vault: Arc<dyn Vault>,
}

/// Encrypts copies of manifests, which can contain Secrets. A source has no keys of its own.
pub trait Vault: std::fmt::Debug + Send + Sync {
    /// Encrypts a text, which can be decrypted only with the same name.
    fn seal(&self, name: &str, text: &[u8]) -> Vec<u8>;

    /// Decrypts what was sealed for this name; `None` when it was not, or is damaged.
    fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>>;
}

/// Changes of a folder.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Objects that were created, changed or deleted, each at most once.
    pub changes: Vec<Change>,
    /// All current problems of files, ordered by file and line.
    pub problems: Vec<FileProblem>,
}

/// A line of a manifest file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileLocation {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// A folder of manifests that is followed.
#[derive(Debug)]
pub struct Folder {
    tree: Arc<Mutex<Tree>>,
    /// Ends when `stop` is cancelled or the receiver of updates is dropped.
    pub task: JoinHandle<()>,
}

impl Folder {
    /// Checks that a file or a folder of manifests can be read.
    ///
    /// # Errors
    /// When it cannot be opened or listed.
    pub fn check(manifests: &Path) -> Result<(), FolderError> {
        tree::readable(manifests)
    }

    /// Reads the folder and follows it. The first update contains everything; each later one comes some tens of
    /// milliseconds after a change.
    ///
    /// # Errors
    /// When the folder cannot be read or the data directory cannot be written.
    pub async fn start(
        mut options: FolderOptions,
        updates: mpsc::Sender<Update>,
        stop: CancellationToken,
    ) -> Result<Self, FolderError> {
        // Change notifications have absolute paths.
        let manifests = std::path::absolute(&options.manifests);
        options.manifests = manifests.map_err(|source| FolderError::Manifests {
            path: options.manifests.display().to_string(),
            source,
        })?;
        options.data_dir = std::path::absolute(&options.data_dir)
            .map_err(|source| FolderError::Data { path: options.data_dir.display().to_string(), source })?;
        let tree = Arc::new(Mutex::new(Tree::open(&options)?));
        let task = tokio::spawn(watch::follow(tree.clone(), updates, stop));
        Ok(Self { tree, task })
    }

    /// The line of a field of an object in force, or of its nearest parent.
    pub fn locate(&self, key: &ObjectKey, field: &str) -> Option<FileLocation> {
        lock(&self.tree).locate(&[(key, field)]).pop().flatten()
    }

    /// Reads files and folders once, without a data directory. Objects without a creation time get the latest
    /// possible one: they are younger than all that have one. No Secret is generated.
    ///
    /// # Errors
    /// When one of the paths cannot be read.
    pub fn read_once(paths: &[PathBuf]) -> Result<Reading, FolderError> {
        let mut tree = Tree::new(paths.to_vec())?;
        let Update { changes, problems } = tree.rescan().unwrap_or_default();
        Ok(Reading { changes, problems, tree })
    }
}

/// Contents of files and folders, read once.
#[derive(Debug)]
pub struct Reading {
    /// All objects.
    pub changes: Vec<Change>,
    /// All problems of the files, ordered by file and line.
    pub problems: Vec<FileProblem>,
    tree: Tree,
}

impl Reading {
    /// The first of the given paths that contains no manifest, neither a good nor a broken one.
    pub fn without_manifests(&self) -> Option<&Path> {
        self.tree.without_manifests()
    }

    /// Objects that are in the files and were not accepted, because they or something else in their file has a
    /// problem. Objects in text that cannot be parsed are missing.
    pub fn refused(&self) -> BTreeSet<ObjectKey> {
        self.tree.refused()
    }

    /// The line of each field, or of its nearest parent; `None` when the object does not exist. Pass all fields
    /// at once: each call reads every file again.
    pub fn locate(&self, fields: &[(&ObjectKey, &str)]) -> Vec<Option<FileLocation>> {
        self.tree.locate(fields)
    }
}

/// Ignores poisoning: the next rescan repairs what a panicking thread left unfinished.
fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path of `folder` as the scan of `root` writes it; `None` when it is not below `root`.
fn below(root: &Path, folder: &Path) -> Option<PathBuf> {
    let (real_root, real) = (root.canonicalize().ok()?, folder.canonicalize().ok()?);
    Some(root.join(real.strip_prefix(real_root).ok()?))
}
