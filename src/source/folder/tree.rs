//! The followed folders: scans all of them, or reads only the files that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::first_seen::FirstSeen;
use super::last_good::LastGood;
use super::locate::locate;
use super::problem::{FileProblem, FolderError};
use super::scan::{Scan, format, hidden, scan};
use super::state::State;
use super::{FileLocation, FolderOptions, Update, below, generated_secrets};
use crate::resources::Kind;
use crate::source::references::{generated_for, generated_secret};
use crate::source::validate::kinds;
use crate::source::{Change, ObjectKey};

/// The followed folders and their contents.
#[derive(Debug)]
pub(super) struct Tree {
    /// Files and folders of manifests; the folder of generated Secrets last.
    roots: Vec<PathBuf>,
    /// Paths below a root that are ignored.
    except: Vec<PathBuf>,
    generated: Option<PathBuf>,
    state: State,
    /// Folders that cannot be read.
    scan_problems: Vec<FileProblem>,
    /// Files in the data directory that cannot be written.
    data_problems: Vec<FileProblem>,
    /// Extensions and devices whose Secret could not be written.
    without_secret: BTreeSet<ObjectKey>,
    /// Problems in the last update; `None` before the first one.
    reported: Option<Vec<FileProblem>>,
}

impl Tree {
    /// Files and folders, without a data directory.
    pub fn new(roots: Vec<PathBuf>) -> Result<Self, FolderError> {
        for root in &roots {
            readable(root)?;
        }
        Ok(Self {
            roots,
            except: Vec::new(),
            generated: None,
            state: State::new(kinds()?, FirstSeen::in_memory(), None),
            scan_problems: Vec::new(),
            data_problems: Vec::new(),
            without_secret: BTreeSet::new(),
            reported: None,
        })
    }

    /// A folder with its data directory.
    pub fn open(options: &FolderOptions) -> Result<Self, FolderError> {
        let mut tree = Self::new(vec![options.manifests.clone()])?;
        let generated = options.data_dir.join("generated-secrets");
        let data = |source| FolderError::Data { path: options.data_dir.display().to_string(), source };
        generated_secrets::create_folder(&generated).map_err(data)?;
        let first_seen = FirstSeen::open(options.data_dir.join("first-seen")).map_err(data)?;
        tree.except = below(&options.manifests, &options.data_dir).into_iter().collect();
        tree.roots.push(generated.clone());
        tree.state = State::new(kinds()?, first_seen, Some(generated.clone()));
        let kept = LastGood::open(options.data_dir.join("last-good"), options.vault.clone());
        tree.state.last_good = Some(kept.map_err(data)?);
        tree.generated = Some(generated);
        Ok(tree)
    }

    /// The folders to watch.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Scans all folders and reads the files that changed. `None` when nothing is new.
    pub fn rescan(&mut self) -> Option<Update> {
        self.scan_problems.clear();
        let mut stale = Vec::new();
        for root in self.roots.clone() {
            match scan(&root, &self.except) {
                Ok(scan) => self.compare(&root, scan, &mut stale),
                // Objects below it stay in force: a volume that is not mounted deletes nothing.
                Err(error) => {
                    self.scan_problems.push(FileProblem::whole(&root, format!("cannot be read: {error}")));
                }
            }
        }
        if let (None, true, Some(last_good)) =
            (&self.reported, self.scan_problems.is_empty(), &self.state.last_good)
        {
            last_good.retain(stale.iter().map(PathBuf::as_path));
        }
        self.read(&stale)
    }

    fn compare(&mut self, root: &Path, scan: Scan, stale: &mut Vec<PathBuf>) {
        let Scan { files, unreadable } = scan;
        let known = self
            .state
            .files
            .range::<Path, _>((Bound::Included(root), Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(root));
        let unknown = |path: &Path| unreadable.iter().any(|problem| path.starts_with(&problem.file));
        let deleted: Vec<_> = known
            .filter(|(path, _)| !files.contains_key(&***path) && !unknown(path))
            .map(|(path, _)| path.clone())
            .collect();
        deleted.iter().for_each(|path| self.state.remove_file(path));
        let differs = |(path, stamp): &(PathBuf, _)| {
            self.state.files.get(path.as_path()).is_none_or(|file| file.stamp != Some(*stamp))
        };
        stale.extend(files.into_iter().filter(differs).map(|(path, _)| path));
        self.scan_problems.extend(unreadable);
    }

    /// Reads the files that changed at these paths. `None` when nothing is new.
    pub fn changed(&mut self, paths: &BTreeSet<PathBuf>) -> Option<Update> {
        let mut stale = Vec::new();
        for path in paths.iter().filter(|path| self.is_relevant(path)) {
            let known = self.state.files.contains_key(path.as_path());
            if known || (path.is_file() && format(path).is_some()) {
                stale.push(path.clone());
            } else if !path.is_file() {
                // A folder, a link to one, or a deleted path that may have been one.
                return self.rescan();
            }
        }
        self.read(&stale)
    }

    /// Whether a change at a path can change a manifest. `..data` is the link that Kubernetes replaces when a
    /// mounted ConfigMap changes.
    fn is_relevant(&self, path: &Path) -> bool {
        let Some(root) = self.roots.iter().find(|root| path.starts_with(root)) else { return false };
        if self.except.iter().any(|except| path.starts_with(except)) {
            return false;
        }
        let inner = path.strip_prefix(root).unwrap_or(path);
        let swapped = path.file_name().is_some_and(|name| name == "..data");
        let folders = inner.parent().into_iter().flat_map(Path::components);
        !folders.map(|part| Path::new(part.as_os_str())).any(hidden) && (swapped || !hidden(inner))
    }

    fn read(&mut self, stale: &[PathBuf]) -> Option<Update> {
        let now = match self.generated {
            Some(_) => Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH),
            None => Timestamp::MAX,
        };
        self.state.read(stale, now);
        let mut changes = self.state.resolve_claims();
        self.data_problems.clear();
        let generated = self.generate(&changes);
        if !generated.is_empty() {
            self.state.read(&generated, now);
            changes.extend(self.state.resolve_claims());
        }
        self.save_creation_times();
        self.update(changes)
    }

    /// Writes a Secret for each extension and device without passwords. Returns the paths of the new files.
    fn generate(&mut self, changes: &BTreeMap<ObjectKey, Change>) -> Vec<PathBuf> {
        let Some(folder) = &self.generated else { return Vec::new() };
        let mut owners = std::mem::take(&mut self.without_secret);
        owners.extend(changes.keys().filter_map(|key| match key.kind {
            Kind::Extension | Kind::Device => Some(key.clone()),
            _ => generated_for(key),
        }));
        let mut written = Vec::new();
        for owner in owners {
            let Some(secret) = self.state.object(&owner).and_then(generated_secret) else { continue };
            if self.state.object(&secret).is_some() || self.state.claims.contains_key(&secret) {
                continue;
            }
            // The user has such a Secret, and will correct it.
            if self.state.is_refused(&secret) {
                continue;
            }
            match generated_secrets::write(folder, &secret, owner.kind) {
                Ok(path) => written.push(path),
                Err(error) => {
                    let message = format!("{secret} cannot be written: {error}; {owner} has no password");
                    self.data_problems.push(FileProblem::whole(folder, message));
                    self.without_secret.insert(owner);
                }
            }
        }
        written
    }

    fn save_creation_times(&mut self) {
        let first_seen = &mut self.state.first_seen;
        let complete = self.reported.is_none() && self.scan_problems.is_empty();
        let saved = if complete && self.state.files.values().all(|file| file.problems.is_empty()) {
            let claims: BTreeSet<_> = self
                .state
                .claims
                .keys()
                .map(|key| (key.kind.as_str(), key.namespace.as_deref(), key.name.as_str()))
                .collect();
            first_seen.compact(|kind, namespace, name| claims.contains(&(kind, namespace, name)))
        } else {
            first_seen.save()
        };
        if let Err((file, error)) = saved {
            let message = format!(
                "cannot be written: {error}; after a restart the newest objects have a later creation time"
            );
            self.data_problems.push(FileProblem::whole(&file, message));
        }
    }

    fn update(&mut self, changes: BTreeMap<ObjectKey, Change>) -> Option<Update> {
        let mut problems = self.state.problems();
        problems.extend(self.scan_problems.iter().chain(&self.data_problems).cloned());
        problems.sort_unstable();
        if changes.is_empty() && self.reported.as_ref() == Some(&problems) {
            return None;
        }
        self.reported = Some(problems.clone());
        Some(Update { changes: changes.into_values().collect(), problems })
    }

    /// The first root that contains no manifest file and nothing unreadable.
    pub fn without_manifests(&self) -> Option<&Path> {
        let known = |root: &Path| {
            let mut after = self.state.files.range::<Path, _>((Bound::Included(root), Bound::Unbounded));
            after.next().is_some_and(|(file, _)| file.starts_with(root))
                || self.scan_problems.iter().any(|problem| problem.file.starts_with(root))
        };
        self.roots.iter().map(PathBuf::as_path).find(|root| !known(root))
    }

    /// Objects that are in the files and not in force. Objects in text that cannot be parsed are missing.
    pub fn refused(&self) -> BTreeSet<ObjectKey> {
        self.state.refused()
    }

    /// The line of each field of an object in force, or of its nearest parent.
    pub fn locate(&self, fields: &[(&ObjectKey, &str)]) -> Vec<Option<FileLocation>> {
        locate(&self.state, fields)
    }
}

/// Checks that a file can be read or a folder listed.
///
/// # Errors
/// When it cannot.
pub(super) fn readable(root: &Path) -> Result<(), FolderError> {
    let read = || -> io::Result<()> {
        if std::fs::metadata(root)?.is_dir() {
            std::fs::read_dir(root).map(drop)
        } else {
            std::fs::File::open(root).map(drop)
        }
    };
    read().map_err(|source| FolderError::Manifests { path: root.display().to_string(), source })
}
