//! The files and their objects, which file each object in force comes from, and what a changed file changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use uuid::Uuid;

use super::first_seen::FirstSeen;
use super::last_good::LastGood;
use super::load::{Loaded, load};
use super::problem::{FileProblem, Refused};
use super::read::{FileObject, Source, objects};
use super::scan::Stamp;
use crate::source::validate::RulesByKind;
use crate::source::{Change, Object, ObjectKey, manifest};

/// Message for a file that had a good version and is empty now.
const EMPTIED: &str = "it is empty; delete the file to delete its objects";

/// Bytes of text that are in memory at once while many files are read.
const MAX_BYTES_AT_ONCE: u64 = 16 << 20;

/// One file.
#[derive(Debug, Default)]
pub(super) struct FileState {
    pub stamp: Option<Stamp>,
    /// Documents of its last good version.
    pub documents: Vec<FileObject>,
    /// Problems of its current version, and the objects in that.
    pub refused: Refused,
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
            for item in state.documents.iter().flat_map(|document| document.items.iter()) {
                self.unclaim(&item.key, &file);
            }
        }
    }

    fn record_file(
        &mut self,
        path: &Path,
        stamp: Option<Stamp>,
        documents: Result<Vec<FileObject>, Refused>,
        text: &str,
        now: Timestamp,
    ) {
        let (file, mut state) =
            self.files.remove_entry(path).unwrap_or_else(|| (Arc::from(path), FileState::default()));
        state.stamp = stamp;
        let had_text =
            || self.last_good.as_ref().is_some_and(|copy| copy.text(path).is_some_and(|t| !t.is_empty()));
        // An editor may be about to write it again. To delete the objects, the user deletes the file.
        let emptied = text.trim().is_empty() && (!state.documents.is_empty() || had_text());
        let documents = documents.and_then(|documents| match emptied {
            true => Err(FileProblem::whole(&file, EMPTIED).into()),
            false => Ok(documents),
        });
        let checked = documents.and_then(|mut documents| {
            for document in documents.iter_mut().filter(|document| !document.reused) {
                self.identify(document, now);
            }
            let problems = self.rule_problems(&file, &documents);
            if problems.is_empty() {
                return Ok(documents);
            }
            Err(Refused { problems, objects: objects(&documents).cloned().collect() })
        });
        match checked {
            Ok(documents) => {
                if let Some(last_good) = &self.last_good {
                    last_good.save(path, text);
                }
                self.claim(&file, &state.documents, &documents);
                state.documents = documents;
                state.refused = Refused::default();
            }
            Err(refused) => {
                state.refused = refused;
                if state.documents.is_empty() {
                    state.documents = self.last_good_documents(path, now);
                    self.claim(&file, &[], &state.documents);
                }
            }
        }
        self.files.insert(file, state);
    }

    /// Documents of the last good version of a file that is broken since before this process started. Empty
    /// when this release cannot read that version either.
    fn last_good_documents(&mut self, path: &Path, now: Timestamp) -> Vec<FileObject> {
        let Some(text) = self.last_good.as_ref().and_then(|copy| copy.text(path)) else { return Vec::new() };
        let source = Source::new(path, &text, &[]);
        let read = |document| source.read(document, self.kinds, |text| self.hash(text));
        let Ok(mut documents) = source.documents.iter().map(read).collect::<Result<Vec<_>, _>>() else {
            return Vec::new();
        };
        for document in &mut documents {
            self.identify(document, now);
        }
        documents
    }

    /// Sets UID and creation time of every object of a new document, if missing.
    fn identify(&mut self, document: &mut FileObject, now: Timestamp) {
        for item in Arc::get_mut(&mut document.items).into_iter().flatten() {
            let metadata = item.object.metadata_mut();
            metadata.uid.get_or_insert_with(|| uid(&item.key));
            if metadata.creation_timestamp.is_none() {
                metadata.creation_timestamp = Some(Time(self.first_seen.time(&item.key, now)));
            }
        }
    }

    /// Problems of the new documents of a file that its schema does not show: an object that is defined twice,
    /// or a changed field that is immutable.
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

    /// Records the objects that a file defines now. Those of reused documents are recorded already.
    fn claim(&mut self, file: &Arc<Path>, old: &[FileObject], new: &[FileObject]) {
        let defined: HashSet<&ObjectKey> = objects(new).collect();
        for key in objects(old).filter(|key| !defined.contains(key)) {
            self.unclaim(key, file);
        }
        for document in new.iter().filter(|document| !document.reused) {
            for item in document.items.iter() {
                let claim = Claim {
                    file: file.clone(),
                    document: document.hash,
                    path: item.path.clone(),
                    object: item.object.clone(),
                };
                let claims = self.claims.entry(item.key.clone()).or_default();
                claims.retain(|claim| claim.file != *file);
                claims.push(claim);
                self.changed.insert(item.key.clone());
            }
        }
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
            self.files.values().flat_map(|file| file.refused.problems.iter().cloned()).collect();
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
        let in_files = self.files.values().flat_map(|file| &file.refused.objects);
        let refused = in_files.chain(&self.contested).filter(|key| !self.in_force.contains_key(*key));
        refused.cloned().collect()
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
