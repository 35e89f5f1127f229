//! Finds the manifest files of a folder, with what shows whether they changed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::document::Format;
use super::problem::FileProblem;

/// Metadata of a file when it was read. A file with the same stamp is not read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    device: u64,
    inode: u64,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        let (size, device, inode) = (metadata.len(), metadata.dev(), metadata.ino());
        Self { modified: metadata.modified().ok(), size, device, inode }
    }
}

/// Result of a scan.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub files: BTreeMap<PathBuf, Stamp>,
    /// Files and folders that exist and cannot be read. What is below them may exist too.
    pub unreadable: Vec<FileProblem>,
}

/// Format of a manifest file, by its name; `None` for other files. Editors' temporary files have other names
/// (`.x.yaml.swp`, `x.yaml~`, `#x.yaml#`).
pub(super) fn format(path: &Path) -> Option<Format> {
    if hidden(path) {
        return None;
    }
    match path.extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// Whether a file or folder is ignored because of its name.
pub(super) fn hidden(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with(['.', '#'])
}

/// Scans a file or folder, without the paths in `except`. Follows symbolic links, because Kubernetes mounts a
/// ConfigMap's files as links.
///
/// # Errors
/// When the root itself cannot be read.
pub(super) fn scan(root: &Path, except: &[PathBuf]) -> io::Result<Scan> {
    let mut walk = Walk { scan: Scan::default(), except, parents: Vec::new() };
    let metadata = fs::metadata(root)?;
    if metadata.is_dir() {
        walk.parents.push((metadata.dev(), metadata.ino()));
        walk.entries(root, fs::read_dir(root)?);
    } else {
        // A pipe too: `centrex check <(helm template …)`.
        walk.scan.files.insert(root.to_owned(), Stamp::of(&metadata));
    }
    Ok(walk.scan)
}

struct Walk<'a> {
    scan: Scan,
    except: &'a [PathBuf],
    /// Device and inode of the parent folders, to stop at links that lead back to one of them.
    parents: Vec<(u64, u64)>,
}

impl Walk<'_> {
    fn entries(&mut self, folder: &Path, entries: fs::ReadDir) {
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(&entry.path()),
                Err(error) => self.unreadable(folder, &error),
            }
        }
    }

    fn entry(&mut self, path: &Path) {
        if hidden(path) || self.except.iter().any(|except| except == path) {
            return;
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // A dangling link is unreadable, not deleted: its volume may not be mounted yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => return,
            Err(error) => return self.unreadable(path, &error),
        };
        if metadata.is_dir() {
            let identity = (metadata.dev(), metadata.ino());
            if self.parents.contains(&identity) {
                return;
            }
            match fs::read_dir(path) {
                Ok(entries) => {
                    self.parents.push(identity);
                    self.entries(path, entries);
                    self.parents.pop();
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.unreadable(path, &error),
            }
        } else if metadata.is_file() && format(path).is_some() {
            self.scan.files.insert(path.to_owned(), Stamp::of(&metadata));
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.scan.unreadable.push(FileProblem::whole(path, format!("cannot be read: {error}")));
    }
}
