//! The folders that are followed: scanned whole, or only where something changed.

use crate::resources::Kind;
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
use super::{FileLocation, FolderOptions, Update, below, generated};
use crate::source::validate::kinds;
use crate::source::{Change, ObjectKey};

/// The folders, and what is in them.
#[derive(Debug)]
pub(super) struct Tree {
    /// Files and folders of manifests, that of the generated Secrets last.
    roots: Vec<PathBuf>,
    /// What is below a root and not looked at.
    except: Vec<PathBuf>,
    generated: Option<PathBuf>,
    state: State,
    /// What is wrong beside the manifests: folders that cannot be read, data that cannot be written.
    scan_problems: Vec<FileProblem>,
    data_problems: Vec<FileProblem>,
    /// Extensions whose Secret could not be written.
    without_secret: BTreeSet<ObjectKey>,
    /// The problems that were told last; none before the first scan.
    told: Option<Vec<FileProblem>>,
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
            told: None,
        })
    }

    /// A folder with its data directory.
    pub fn open(options: &FolderOptions) -> Result<Self, FolderError> {
        let mut tree = Self::new(vec![options.manifests.clone()])?;
        let generated = options.data_dir.join("generated-secrets");
        let data = |source| FolderError::Data { path: options.data_dir.display().to_string(), source };
        generated::prepare(&generated).map_err(data)?;
        let seen = FirstSeen::open(options.data_dir.join("first-seen")).map_err(data)?;
        tree.except = below(&options.manifests, &options.data_dir).into_iter().collect();
        tree.roots.push(generated.clone());
        tree.state = State::new(kinds()?, seen, Some(generated.clone()));
        let kept = LastGood::open(options.data_dir.join("last-good"), options.vault.clone());
        tree.state.last_good = Some(kept.map_err(data)?);
        tree.generated = Some(generated);
        Ok(tree)
    }

    /// The folders to watch.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Looks at every file again and reads those that look different. `None`: nothing is new.
    pub fn rescan(&mut self) -> Option<Update> {
        self.scan_problems.clear();
        let mut stale = Vec::new();
        for root in self.roots.clone() {
            match scan(&root, &self.except) {
                Ok(found) => self.compare(&root, found, &mut stale),
                // What is below it stays in force: a volume that is away is no order to delete.
                Err(error) => {
                    self.scan_problems.push(FileProblem::whole(&root, format!("cannot be read: {error}")));
                }
            }
        }
        if let (None, true, Some(kept)) = (&self.told, self.scan_problems.is_empty(), &self.state.last_good) {
            kept.retain(stale.iter().map(PathBuf::as_path));
        }
        self.read(&stale)
    }

    fn compare(&mut self, root: &Path, found: Scan, stale: &mut Vec<PathBuf>) {
        let Scan { files, unreadable } = found;
        let known = self
            .state
            .files
            .range::<Path, _>((Bound::Included(root), Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(root));
        let unknown = |path: &Path| unreadable.iter().any(|problem| path.starts_with(&problem.file));
        let gone: Vec<_> = known
            .filter(|(path, _)| !files.contains_key(&***path) && !unknown(path))
            .map(|(path, _)| path.clone())
            .collect();
        gone.iter().for_each(|path| self.state.gone(path));
        let differs = |(path, stamp): &(PathBuf, _)| {
            self.state.files.get(path.as_path()).is_none_or(|file| file.stamp != Some(*stamp))
        };
        stale.extend(files.into_iter().filter(differs).map(|(path, _)| path));
        self.scan_problems.extend(unreadable);
    }

    /// Reads again what changed at these paths. `None`: nothing is new.
    pub fn changed(&mut self, paths: &BTreeSet<PathBuf>) -> Option<Update> {
        let mut stale = Vec::new();
        for path in paths.iter().filter(|path| self.concerns(path)) {
            let known = self.state.files.contains_key(path.as_path());
            if known || (path.is_file() && format(path).is_some()) {
                stale.push(path.clone());
            } else if !path.is_file() {
                // A folder, a link to one, or something that is gone and may have been one.
                return self.rescan();
            }
        }
        self.read(&stale)
    }

    /// Whether a change at a path can matter. `..data` is the link Kubernetes turns when a
    /// mounted ConfigMap changes.
    fn concerns(&self, path: &Path) -> bool {
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
        let mut changes = self.state.settle();
        self.data_problems.clear();
        let generated = self.generate(&changes);
        if !generated.is_empty() {
            self.state.read(&generated, now);
            changes.extend(self.state.settle());
        }
        self.keep_ages();
        self.update(changes)
    }

    /// Writes a Secret for every extension that needs one and has none, and gives their files.
    fn generate(&mut self, changes: &BTreeMap<ObjectKey, Change>) -> Vec<PathBuf> {
        let Some(folder) = &self.generated else { return Vec::new() };
        let mut extensions = std::mem::take(&mut self.without_secret);
        extensions.extend(changes.keys().filter_map(|key| match key.kind {
            Kind::Extension => Some(key.clone()),
            _ => generated::extension_of(key),
        }));
        let mut written = Vec::new();
        for extension in extensions {
            let Some(secret) = self.state.object(&extension).and_then(generated::secret_of) else { continue };
            if self.state.object(&secret).is_some() || self.state.claims.contains_key(&secret) {
                continue;
            }
            match generated::write(folder, &secret) {
                Ok(path) => written.push(path),
                Err(error) => {
                    let message = format!("{secret} cannot be written: {error}; {extension} has no password");
                    self.data_problems.push(FileProblem::whole(folder, message));
                    self.without_secret.insert(extension);
                }
            }
        }
        written
    }

    fn keep_ages(&mut self) {
        let seen = &mut self.state.seen;
        let complete = self.told.is_none() && self.scan_problems.is_empty();
        let kept = if complete && self.state.files.values().all(|file| file.refused.problems.is_empty()) {
            let claims: BTreeSet<_> = self
                .state
                .claims
                .keys()
                .map(|key| (key.kind.as_str(), key.namespace.as_deref(), key.name.as_str()))
                .collect();
            seen.compact(|kind, namespace, name| claims.contains(&(kind, namespace, name)))
        } else {
            seen.save()
        };
        if let Err((file, error)) = kept {
            let message =
                format!("cannot be written: {error}; after a restart the newest objects count as newer");
            self.data_problems.push(FileProblem::whole(&file, message));
        }
    }

    fn update(&mut self, changes: BTreeMap<ObjectKey, Change>) -> Option<Update> {
        let mut problems = self.state.problems();
        problems.extend(self.scan_problems.iter().chain(&self.data_problems).cloned());
        problems.sort_unstable();
        if changes.is_empty() && self.told.as_ref() == Some(&problems) {
            return None;
        }
        self.told = Some(problems.clone());
        Some(Update { changes: changes.into_values().collect(), problems })
    }

    /// The first root below which there is no file, nor anything that cannot be read.
    pub fn without_manifests(&self) -> Option<&Path> {
        let known = |root: &Path| {
            let mut after = self.state.files.range::<Path, _>((Bound::Included(root), Bound::Unbounded));
            after.next().is_some_and(|(file, _)| file.starts_with(root))
                || self.scan_problems.iter().any(|problem| problem.file.starts_with(root))
        };
        self.roots.iter().map(PathBuf::as_path).find(|root| !known(root))
    }

    /// Objects that are in the files and not in force, as far as can be told.
    pub fn refused(&self) -> BTreeSet<ObjectKey> {
        self.state.refused()
    }

    /// Where each field of an object in force stands, or what is nearest to it.
    pub fn locate(&self, fields: &[(&ObjectKey, &str)]) -> Vec<Option<FileLocation>> {
        locate(&self.state, fields)
    }
}

/// Whether a file can be read, or a folder listed.
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
