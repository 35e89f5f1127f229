//! The folder source with real files and file system notifications.

mod following;
mod keeping;
mod reading;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use centrex::source::folder::{
    FileLocation, FileProblem, Folder, FolderError, FolderOptions, Reading, Update, Vault,
};
use centrex::source::{Change, Object, ObjectKey};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::skip::skip;
use crate::wait::DEADLINE;

/// Reverses texts instead of encrypting them.
#[derive(Debug)]
struct Reversed;

impl Vault for Reversed {
    fn seal(&self, _: &str, text: &[u8]) -> Vec<u8> {
        text.iter().rev().copied().collect()
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        Some(self.seal(name, sealed))
    }
}

/// How long a test waits for something that must not happen.
const ABSENCE: Duration = Duration::from_millis(400);

fn extension(name: &str, number: &str) -> String {
    format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {{name: {name}, namespace: acme}}\n\
         spec:\n  tenantRef: {{name: acme}}\n  number: \"{number}\"\n  credentials: {{secretRef: {{name: s}}}}\n"
    )
}

fn without_credentials(name: &str) -> String {
    extension(name, "1001").replace("  credentials: {secretRef: {name: s}}\n", "")
}

fn number(object: &Object) -> String {
    match object {
        Object::Extension(extension) => extension.spec.number.clone(),
        other => other.kind().to_string(),
    }
}

fn password(object: &Object) -> String {
    value(object, "password")
}

fn value(object: &Object, key: &str) -> String {
    let Object::Secret(secret) = object else { panic!("no Secret") };
    String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
}

/// A followed folder, with the objects and problems after all its updates.
pub struct Live {
    directory: TempDir,
    objects: BTreeMap<String, Object>,
    problems: Vec<FileProblem>,
    updates: mpsc::Receiver<Update>,
    folder: Folder,
    stop: CancellationToken,
}

impl Live {
    /// Writes the files, starts the source, and receives the first update.
    async fn start(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("manifests")).unwrap();
        for (name, text) in files {
            write(&directory.path().join("manifests").join(name), text);
        }
        Self::restart(directory).await
    }

    async fn restart(directory: TempDir) -> Self {
        let options = FolderOptions {
            manifests: directory.path().join("manifests"),
            data_dir: directory.path().join("data"),
            vault: Arc::new(Reversed),
        };
        Self::with(options, directory).await
    }

    async fn with(options: FolderOptions, directory: TempDir) -> Self {
        let (sender, updates) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let folder = Folder::start(options, sender, stop.clone()).await.unwrap();
        let (objects, problems) = Default::default();
        let mut live = Self { directory, objects, problems, updates, folder, stop };
        assert!(live.next(DEADLINE).await, "no first update");
        live
    }

    async fn stop(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.folder.task).await.unwrap().unwrap();
        self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("manifests").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    async fn next(&mut self, timeout: Duration) -> bool {
        let Ok(Some(update)) = tokio::time::timeout(timeout, self.updates.recv()).await else {
            return false;
        };
        self.problems = update.problems;
        for change in update.changes {
            match change {
                Change::Upsert(object) => self.objects.insert(object.key().to_string(), object),
                Change::Remove(key) => self.objects.remove(&key.to_string()),
                Change::Unreadable(object) => panic!("{object:?}"),
            };
        }
        true
    }

    /// Receives updates until a condition holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !holds(self) {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            assert!(self.next(left).await, "{what}: never came; problems {:?}", self.problems);
        }
    }

    async fn until_number(&mut self, name: &str, wanted: Option<&str>) {
        let key = format!("Extension acme/{name}");
        let holds = |live: &Self| live.objects.get(&key).map(number).as_deref() == wanted;
        self.until(&format!("{name} = {wanted:?}"), holds).await;
    }

    async fn until_problem(&mut self, part: &str) -> FileProblem {
        self.until(part, |live| live.problems.iter().any(|p| p.to_string().contains(part))).await;
        self.problems.iter().find(|p| p.to_string().contains(part)).unwrap().clone()
    }

    async fn until_no_problems(&mut self) {
        self.until("no problems", |live| live.problems.is_empty()).await;
    }

    async fn stays_as_it_is(&mut self) {
        assert!(!self.next(ABSENCE).await, "an update came");
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(files: &[(&str, &[u8])]) -> (TempDir, Reading) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let reading = Folder::read_once(&[directory.path().to_owned()]).unwrap();
    (directory, reading)
}

fn names(reading: &Reading) -> Vec<String> {
    let upserted = |change: &Change| match change {
        Change::Upsert(object) => object.key().to_string(),
        Change::Remove(key) => panic!("{key} was removed"),
        Change::Unreadable(object) => panic!("{object:?}"),
    };
    reading.changes.iter().map(upserted).collect()
}
