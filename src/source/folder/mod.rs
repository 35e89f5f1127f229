//! Resources from a folder of manifests, followed as it changes.
//!
//! - Files named `.yaml`, `.yml` and `.json`, in sub-folders too; hidden names are passed over.
//! - A file is taken whole or not at all: while anything in it is wrong, everything it held when
//!   it was last good stays in force, over restarts too, and a [`FileProblem`] says file, line and
//!   field. A file that
//!   was never good holds nothing.
//! - An object that several files hold is an error of all but the one whose object is in force
//!   already; at start it is an error of all, and none is taken.
//! - An object's identity is made of its kind, namespace and name; its age is when it was first
//!   seen, which the data directory keeps over restarts.

mod document;
mod first_seen;
mod generated;
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

/// What a folder source needs to know.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// Folder of the manifests.
    pub manifests: PathBuf,
    /// Directory where ages, generated Secrets and last good states are kept; made when it is not
    /// there.
    pub data_dir: PathBuf,
    /// Seals what is kept of manifests.
    pub vault: Arc<dyn Vault>,
}

/// Seals copies of manifests, which can hold Secrets. Sources know nothing of keys: who starts one
/// gives it this.
pub trait Vault: std::fmt::Debug + Send + Sync {
    /// Seals a text for a name.
    fn seal(&self, name: &str, text: &[u8]) -> Vec<u8>;

    /// Opens what was sealed for a name; none when it is something else.
    fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>>;
}

/// What changed in a folder.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Objects that came, changed or went, each at most once.
    pub changes: Vec<Change>,
    /// Everything that is wrong with files now, in their order.
    pub problems: Vec<FileProblem>,
}

/// Where something stands.
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
    /// Ends when the token is cancelled or nobody takes updates any more.
    pub task: JoinHandle<()>,
}

impl Folder {
    /// Whether a file or a folder of manifests can be read at all.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(manifests: &Path) -> Result<(), FolderError> {
        tree::readable(manifests)
    }

    /// Reads the folder and follows it. The first update is everything there is; each later one
    /// follows a change by some tens of milliseconds.
    ///
    /// # Errors
    /// When the folder cannot be read or the data directory not be written.
    pub async fn start(
        mut options: FolderOptions,
        updates: mpsc::Sender<Update>,
        stop: CancellationToken,
    ) -> Result<Self, FolderError> {
        // What changes is told by paths from the root.
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

    /// Where a field of an object in force stands, or what is nearest to it.
    pub fn locate(&self, key: &ObjectKey, field: &str) -> Option<FileLocation> {
        lock(&self.tree).locate(&[(key, field)]).pop().flatten()
    }

    /// Reads files and folders once. Without a data directory all objects without a time of their
    /// own are of one age, younger than those that have one: they are still to come. No Secret is
    /// generated: what is given decides, nothing else.
    ///
    /// # Errors
    /// When one of the paths cannot be read.
    pub fn read_once(paths: &[PathBuf]) -> Result<Reading, FolderError> {
        let mut tree = Tree::new(paths.to_vec())?;
        let Update { changes, problems } = tree.rescan().unwrap_or_default();
        Ok(Reading { changes, problems, tree })
    }
}

/// What files and folders hold, read once.
#[derive(Debug)]
pub struct Reading {
    /// All objects.
    pub changes: Vec<Change>,
    /// Everything that is wrong with the files, in their order.
    pub problems: Vec<FileProblem>,
    tree: Tree,
}

impl Reading {
    /// The first path given that leads to no manifest, whole or broken.
    pub fn without_manifests(&self) -> Option<&Path> {
        self.tree.without_manifests()
    }

    /// Objects that are in the files and were not taken, for a problem of their own or of something
    /// else in their file; as far as the files can be read.
    pub fn refused(&self) -> BTreeSet<ObjectKey> {
        self.tree.refused()
    }

    /// Where each field of an object stands, or what is nearest to it; none of an object that is not
    /// there. Ask for all fields at once: every file is read again once a call.
    pub fn locate(&self, fields: &[(&ObjectKey, &str)]) -> Vec<Option<FileLocation>> {
        self.tree.locate(fields)
    }
}

/// A thread that panicked while it held the lock has left a tree that the next rescan sets right.
fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path below `folder`, as the walk of `root` writes it; none when it is not below `root`.
fn below(root: &Path, folder: &Path) -> Option<PathBuf> {
    let (real_root, real) = (root.canonicalize().ok()?, folder.canonicalize().ok()?);
    Some(root.join(real.strip_prefix(real_root).ok()?))
}
