//! The files and their objects, which file each object in force comes from, and what a changed file changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use uuid::Uuid;

use super::first_seen::FirstSeen;
use super::last_good::{LastGood, Saved};
use super::load::{Loaded, load};
use super::problem::{EMPTIED, FileProblem};
use super::read::{FileObject, Source};
use super::scan::Stamp;
use crate::source::manifest::{self, Item};
use crate::source::validate::RulesByKind;
use crate::source::{Change, Object, ObjectKey};

/// Bytes of text that are in memory at once while many files are read.
const MAX_BYTES_AT_ONCE: u64 = 16 << 20;

/// One file.
#[derive(Debug, Default)]
pub(super) struct FileState {
    pub stamp: Option<Stamp>,
    /// Documents of its current version; none if it cannot be read.
    pub documents: Vec<FileObject>,
    /// Problems of its current version.
    pub problems: Vec<FileProblem>,
    /// Objects that have a problem in it.
    refused: BTreeSet<ObjectKey>,
    /// Objects of earlier versions that are in force because the current one has no valid version of them.
    kept: BTreeSet<ObjectKey>,
}

impl FileState {
    /// Its valid objects.
    fn valid(&self) -> impl Iterator<Item = (&FileObject, &Item)> {
        let items = self
            .documents
            .iter()
            .flat_map(|document| document.items.iter().map(move |item| (document, item)));
        items.filter(|(_, item)| !self.refused.contains(&item.key))
    }
}

/// A file that defines an object.
#[derive(Debug)]
pub(super) struct Claim {
    pub file: Arc<Path>,
    /// Fingerprint of the document.
    pub document: u64,
    /// Path of the object in the document.
    pub path: String,
    object: Object,
}

/// An object in force, and the document that it comes from.
#[derive(Debug)]
struct InForce {
    object: Object,
    file: Arc<Path>,
    document: u64,
}

/// All files and objects of a folder.
#[derive(Debug)]
pub(super) struct State {
    kinds: &'static RulesByKind,
    hasher: RandomState,
    pub files: BTreeMap<Arc<Path>, FileState>,
    pub claims: HashMap<ObjectKey, Vec<Claim>>,
    in_force: HashMap<ObjectKey, InForce>,
    /// Objects that several files define.
    contested: BTreeSet<ObjectKey>,
    /// Objects whose claims changed since the last `resolve_claims`.
    changed: BTreeSet<ObjectKey>,
    pub first_seen: FirstSeen,
    /// Last good versions of the files; `None` without a data directory.
    pub last_good: Option<LastGood>,
    /// Folder of the generated Secrets. The user's manifests win over the files in it.
    generated: Option<PathBuf>,
}

impl State {
    pub fn new(kinds: &'static RulesByKind, first_seen: FirstSeen, generated: Option<PathBuf>) -> Self {
        Self {
            kinds,
            hasher: RandomState::new(),
            files: BTreeMap::new(),
            claims: HashMap::new(),
            in_force: HashMap::new(),
            contested: BTreeSet::new(),
            changed: BTreeSet::new(),
            first_seen,
            last_good: None,
            generated,
        }
    }

    /// Reads files and records their objects. An object without a creation time that is seen for the first time
    /// gets `now`.
    pub fn read(&mut self, paths: &[PathBuf], now: Timestamp) {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut rest = paths;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |path: &&PathBuf| {
                let before = bytes;
                bytes += size(path);
                before == 0 || bytes <= MAX_BYTES_AT_ONCE
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (group, later) = rest.split_at(count.min(rest.len()));
            let loaded = load(group, &self.files, self.kinds, &self.hasher);
            for (path, loaded) in group.iter().zip(loaded) {
                match loaded {
                    Loaded::Missing => self.remove_file(path),
                    Loaded::Read { stamp, documents, text } => {
                        self.record_file(path, stamp, documents, &text, now);
                    }
                }
            }
            rest = later;
        }
    }

    /// Forgets a deleted file and its claims.
    pub fn remove_file(&mut self, path: &Path) {
        if let Some(last_good) = &self.last_good {
            last_good.remove(path);
        }
        if let Some((file, state)) = self.files.remove_entry(path) {
            for key in state.valid().map(|(_, item)| &item.key).chain(&state.kept) {
                self.unclaim(key, &file);
            }
        }
    }

    fn record_file(
        &mut self,
        path: &Path,
        stamp: Option<Stamp>,
        documents: Result<Vec<FileObject>, Box<FileProblem>>,
        text: &str,
        now: Timestamp,
    ) {
        let (file, before) = match self.files.remove_entry(path) {
            Some((file, before)) => (file, Some(before)),
            None => (Arc::from(path), None),
        };
        let saved = || self.last_good.as_ref()?.saved(path);
        let documents = documents.and_then(|documents| {
            // An editor may be about to write it again. To delete the objects, the user deletes the file.
            let had_objects = || match &before {
                Some(before) => before.valid().next().is_some() || !before.kept.is_empty(),
                None => saved().is_some_and(|saved| !saved.text.trim().is_empty() || !saved.kept.is_empty()),
            };
            match text.trim().is_empty() && had_objects() {
                true => Err(Box::new(FileProblem::whole(path, EMPTIED))),
                false => Ok(documents),
            }
        });
        let is_text = documents.is_ok();
        let mut state = FileState { stamp, ..FileState::default() };
        match documents {
            Ok(documents) => state.documents = documents,
            Err(problem) => state.problems.push(*problem),
        }
        for document in state.documents.iter_mut().filter(|document| !document.reused) {
            self.identify(&mut document.items, now);
            state.problems.append(&mut document.problems);
            state.refused.extend(document.refused.drain(..));
        }
        // What an object was, that is in a part without names, cannot be told from one that was deleted.
        let unknown = !is_text || state.documents.iter().any(|document| document.unknown);
        let by_rule = self.rule_problems(&file, &state.documents);
        state.refused.extend(by_rule.iter().filter_map(|problem| problem.resource.clone()));
        state.problems.extend(by_rule);
        let defined: HashSet<&ObjectKey> = state.valid().map(|(_, item)| &item.key).collect();
        let keeps = |key: &&ObjectKey| !defined.contains(key) && (unknown || state.refused.contains(*key));
        state.kept = match &before {
            Some(before) => {
                let held = before.valid().map(|(_, item)| &item.key).chain(&before.kept);
                let (kept, gone): (Vec<_>, Vec<_>) =
                    held.filter(|key| !defined.contains(key)).partition(keeps);
                gone.into_iter().for_each(|key| self.unclaim(key, &file));
                kept.into_iter().cloned().collect()
            }
            None if state.problems.is_empty() => BTreeSet::new(),
            None => {
                let saved = self.last_good.as_ref().and_then(|copies| copies.saved(path));
                let mut items = saved.map(|saved| self.saved_items(path, &saved)).unwrap_or_default();
                items.retain(|item| keeps(&&item.key));
                self.identify_all(&mut items, now);
                items.iter().for_each(|item| self.claim(&file, 0, item));
                items.into_iter().map(|item| item.key).collect()
            }
        };
        let new = state.documents.iter().filter(|document| !document.reused);
        for document in new {
            for item in document.items.iter().filter(|item| !state.refused.contains(&item.key)) {
                self.claim(&file, document.hash, item);
            }
        }
        if is_text {
            self.save(&file, &state, text);
        }
        self.files.insert(file, state);
    }

    /// Saves what is in force of a file, for a restart.
    fn save(&self, file: &Path, state: &FileState, text: &str) {
        let Some(last_good) = &self.last_good else { return };
        let object = |key: &ObjectKey| {
            let claim = self.claims.get(key)?.iter().find(|claim| &*claim.file == file)?;
            claim.object.to_json().ok()
        };
        let kept = state.kept.iter().filter_map(object).collect();
        last_good.save(file, &Saved { text: text.to_owned(), kept });
    }

    /// What was in force of a file before this process started. Without what this release cannot read.
    fn saved_items(&self, path: &Path, saved: &Saved) -> Vec<Item> {
        let source = Source::new(path, &saved.text, &[]);
        let read = |document| source.read(document, self.kinds, |text| self.hash(text));
        let of_text = source.documents.iter().flat_map(|document| read(document).items.to_vec());
        let kept: Vec<Item> =
            saved.kept.iter().flat_map(|object| manifest::read(object.clone(), self.kinds).items).collect();
        let names: HashSet<ObjectKey> = kept.iter().map(|item| item.key.clone()).collect();
        of_text.filter(|item| !names.contains(&item.key)).chain(kept.iter().cloned()).collect()
    }

    /// Sets UID and creation time of every object of a new document, if missing.
    fn identify(&mut self, items: &mut Arc<[Item]>, now: Timestamp) {
        self.identify_all(Arc::get_mut(items).unwrap_or_default(), now);
    }

    fn identify_all(&mut self, items: &mut [Item], now: Timestamp) {
        for item in items {
            let metadata = item.object.metadata_mut();
            metadata.uid.get_or_insert_with(|| uid(&item.key));
            if metadata.creation_timestamp.is_none() {
                metadata.creation_timestamp = Some(Time(self.first_seen.time(&item.key, now)));
            }
        }
    }

    /// Problems of the valid objects of a file that its schema does not show: an object that is defined twice, or a
    /// changed field that is immutable. Each names its object.
    fn rule_problems(&self, file: &Path, documents: &[FileObject]) -> Vec<FileProblem> {
        let mut problems = Vec::new();
        let mut lines = HashMap::new();
        for document in documents {
            for item in document.items.iter() {
                let problem = |field: &str, message: String| FileProblem {
                    file: file.to_owned(),
                    line: Some(document.line),
                    resource: Some(item.key.clone()),
                    field: field.to_owned(),
                    message,
                };
                if let Some(line) = lines.insert(&item.key, document.line) {
                    let message = format!("is in {}:{line} already; a name can be used once", file.display());
                    problems.push(problem("metadata.name", message));
                }
                if document.reused {
                    continue;
                }
                if let (Some(old), Some(kind)) =
                    (self.in_force.get(&item.key), self.kinds.get(item.key.kind.as_str()))
                    && let (Some(new), Some(old)) = (body(&item.object), body(&old.object))
                {
                    let violations = kind.check_update(&new, &old).into_iter();
                    problems.extend(violations.map(|violation| problem(&violation.field, violation.message)));
                }
            }
        }
        problems
    }

    /// Records that a file defines an object. `document` is the fingerprint of the document.
    fn claim(&mut self, file: &Arc<Path>, document: u64, item: &Item) {
        let claim =
            Claim { file: file.clone(), document, path: item.path.clone(), object: item.object.clone() };
        let claims = self.claims.entry(item.key.clone()).or_default();
        claims.retain(|claim| claim.file != *file);
        claims.push(claim);
        self.changed.insert(item.key.clone());
    }

    fn unclaim(&mut self, key: &ObjectKey, file: &Arc<Path>) {
        if let Some(claims) = self.claims.get_mut(key) {
            claims.retain(|claim| claim.file != *file);
            if claims.is_empty() {
                self.claims.remove(key);
            }
        }
        self.changed.insert(key.clone());
    }

    /// Decides which file's object is in force, for each object whose claims changed. Returns the changes. If
    /// several files claim an object, the one in force stays; if none is in force, none wins.
    pub fn resolve_claims(&mut self) -> BTreeMap<ObjectKey, Change> {
        let mut changes = BTreeMap::new();
        for key in std::mem::take(&mut self.changed) {
            let claims = valid_claims(self.claims.get(&key), self.generated.as_deref());
            let holder = self.in_force.get(&key);
            let winner = match claims.as_slice() {
                [one] => Some(*one),
                several => {
                    several.iter().find(|c| holder.is_some_and(|current| current.file == c.file)).copied()
                }
            };
            if let Some(claim) = winner {
                let same = holder
                    .is_some_and(|current| current.file == claim.file && current.document == claim.document);
                if !same {
                    let (object, file) = (claim.object.clone(), claim.file.clone());
                    changes.insert(key.clone(), Change::Upsert(object.clone()));
                    let document = claim.document;
                    self.in_force.insert(key.clone(), InForce { object, file, document });
                }
            }
            if claims.len() > 1 {
                self.contested.insert(key);
                continue;
            }
            self.contested.remove(&key);
            if claims.is_empty() {
                self.first_seen.forget(&key);
                if self.in_force.remove(&key).is_some() {
                    changes.insert(key.clone(), Change::Remove(key));
                }
            }
        }
        changes
    }

    /// An object in force.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.in_force.get(key).map(|in_force| &in_force.object)
    }

    /// All current problems of files, ordered by file and line.
    pub fn problems(&self) -> Vec<FileProblem> {
        let mut problems: Vec<_> =
            self.files.values().flat_map(|file| file.problems.iter().cloned()).collect();
        let mut files = HashMap::new();
        let mut line = |claim: &Claim| {
            let lines = files.entry(claim.file.clone()).or_insert_with_key(|file| self.lines(file));
            lines.get(&claim.document).copied().unwrap_or(1)
        };
        problems.extend(self.contested.iter().flat_map(|key| self.contest_problems(key, &mut line)));
        problems.sort_unstable();
        problems
    }

    /// Objects that are in the files and not in force. Objects in text that cannot be parsed are missing.
    pub fn refused(&self) -> BTreeSet<ObjectKey> {
        let in_files = self.files.values().flat_map(|file| &file.refused);
        let refused = in_files.chain(&self.contested).filter(|key| !self.in_force.contains_key(*key));
        refused.cloned().collect()
    }

    /// Whether an object has a problem in a file.
    pub fn is_refused(&self, key: &ObjectKey) -> bool {
        self.files.values().any(|file| file.refused.contains(key))
    }

    /// A problem for each claim to a contested object but the one in force. It names the other files.
    fn contest_problems(&self, key: &ObjectKey, line: &mut impl FnMut(&Claim) -> usize) -> Vec<FileProblem> {
        let claims = valid_claims(self.claims.get(key), self.generated.as_deref());
        let holder = self.in_force.get(key).map(|in_force| &in_force.file);
        let lost = claims.iter().filter(|claim| Some(&claim.file) != holder);
        lost.map(|claim| {
            let others: Vec<String> = claims
                .iter()
                .filter(|other| other.file != claim.file)
                .map(|other| format!("{}:{}", other.file.display(), line(other)))
                .collect();
            FileProblem {
                file: claim.file.to_path_buf(),
                line: Some(line(claim)),
                resource: Some(key.clone()),
                field: "metadata.name".into(),
                message: format!("is in {} too; a name can be used once", others.join(" and ")),
            }
        })
        .collect()
    }

    /// The line at which each document of a file starts, by the document's fingerprint.
    pub fn lines(&self, file: &Path) -> HashMap<u64, usize> {
        let documents = self.files.get(file).map_or(&[][..], |file| &file.documents);
        documents.iter().map(|document| (document.hash, document.line)).collect()
    }

    /// Fingerprint of a document's text.
    pub fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The claim by which an object is in force.
    pub fn claim_in_force(&self, key: &ObjectKey) -> Option<&Claim> {
        let in_force = self.in_force.get(key)?;
        self.claims.get(key)?.iter().find(|claim| claim.file == in_force.file)
    }
}

/// Claims of the user's manifests; without any, that of the generated Secret.
fn valid_claims<'a>(claims: Option<&'a Vec<Claim>>, generated: Option<&Path>) -> Vec<&'a Claim> {
    let claims = claims.map_or(&[][..], Vec::as_slice);
    let is_generated = |claim: &&Claim| generated.is_some_and(|folder| claim.file.starts_with(folder));
    let own: Vec<&Claim> = claims.iter().filter(|claim| !is_generated(claim)).collect();
    if own.is_empty() { claims.iter().collect() } else { own }
}

/// UID of an object: the same on every machine and after every start.
fn uid(key: &ObjectKey) -> String {
    let ours = Uuid::new_v5(&Uuid::NAMESPACE_DNS, crate::resources::GROUP.as_bytes());
    let namespace = key.namespace.as_deref().unwrap_or_default();
    Uuid::new_v5(&ours, format!("{}/{namespace}/{}", key.kind, key.name).as_bytes()).to_string()
}

fn body(object: &Object) -> Option<serde_json::Value> {
    match object.to_json().ok()? {
        serde_json::Value::Object(map) => Some(manifest::without_head(&map)),
        _ => None,
    }
}
