//! What the files hold, who holds which object, and what follows when a file changes.

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

/// What is said of a file that was good and holds nothing now.
const EMPTIED: &str = "it is empty; delete it to take away what it held";

/// Bytes of text that are in memory at one time while many files are read.
const GROUP: u64 = 16 << 20;

/// One file.
#[derive(Debug, Default)]
pub(super) struct FileState {
    pub stamp: Option<Stamp>,
    /// What it held when it was last good.
    pub documents: Vec<FileObject>,
    /// What is wrong with it now, and what it holds all the same.
    pub refused: Refused,
}

/// A file that holds an object.
#[derive(Debug)]
pub(super) struct Claim {
    pub file: Arc<Path>,
    /// Which of its documents.
    pub document: u64,
    /// Where in the document.
    pub path: String,
    object: Object,
}

/// An object that is in force, and the document it is from.
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
    /// Objects that several files hold.
    contested: BTreeSet<ObjectKey>,
    /// Objects whose claims changed since the last `settle`.
    touched: BTreeSet<ObjectKey>,
    pub seen: FirstSeen,
    /// What files held when they were last good; none without a data directory.
    pub last_good: Option<LastGood>,
    /// Where generated Secrets are: what is there yields to what the user wrote.
    generated: Option<PathBuf>,
}

impl State {
    pub fn new(kinds: &'static RulesByKind, seen: FirstSeen, generated: Option<PathBuf>) -> Self {
        Self {
            kinds,
            hasher: RandomState::new(),
            files: BTreeMap::new(),
            claims: HashMap::new(),
            in_force: HashMap::new(),
            contested: BTreeSet::new(),
            touched: BTreeSet::new(),
            seen,
            last_good: None,
            generated,
        }
    }

    /// Reads files and takes in what they hold. Objects without a time of their own are dated `now`
    /// when they are seen the first time.
    pub fn read(&mut self, paths: &[PathBuf], now: Timestamp) {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut rest = paths;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |path: &&PathBuf| {
                let before = bytes;
                bytes += size(path);
                before == 0 || bytes <= GROUP
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (group, later) = rest.split_at(count.min(rest.len()));
            let loaded = load(group, &self.files, self.kinds, &self.hasher);
            for (path, loaded) in group.iter().zip(loaded) {
                match loaded {
                    Loaded::Gone => self.gone(path),
                    Loaded::Read { stamp, documents, text } => {
                        self.take(path, stamp, documents, &text, now);
                    }
                }
            }
            rest = later;
        }
    }

    /// Forgets a file that is gone, and gives up what it held.
    pub fn gone(&mut self, path: &Path) {
        if let Some(kept) = &self.last_good {
            kept.forget(path);
        }
        if let Some((file, state)) = self.files.remove_entry(path) {
            for item in state.documents.iter().flat_map(|document| document.items.iter()) {
                self.unclaim(&item.key, &file);
            }
        }
    }

    fn take(
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
        let held =
            || self.last_good.as_ref().is_some_and(|kept| kept.text(path).is_some_and(|t| !t.is_empty()));
        // Cut short to be written anew: who means it deletes the file.
        let emptied = text.trim().is_empty() && (!state.documents.is_empty() || held());
        let documents = documents.and_then(|documents| match emptied {
            true => Err(FileProblem::whole(&file, EMPTIED).into()),
            false => Ok(documents),
        });
        let checked = documents.and_then(|mut documents| {
            for document in documents.iter_mut().filter(|document| !document.reused) {
                self.identify(document, now);
            }
            let problems = self.against_rules(&file, &documents);
            if problems.is_empty() {
                return Ok(documents);
            }
            Err(Refused { problems, objects: objects(&documents).cloned().collect() })
        });
        match checked {
            Ok(documents) => {
                if let Some(kept) = &self.last_good {
                    kept.keep(path, text);
                }
                self.claim(&file, &state.documents, &documents);
                state.documents = documents;
                state.refused = Refused::default();
            }
            Err(refused) => {
                state.refused = refused;
                if state.documents.is_empty() {
                    state.documents = self.before(path, now);
                    self.claim(&file, &[], &state.documents);
                }
            }
        }
        self.files.insert(file, state);
    }

    /// What a broken file held when an earlier process found it good; nothing when that is no longer
    /// valid either.
    fn before(&mut self, path: &Path, now: Timestamp) -> Vec<FileObject> {
        let Some(text) = self.last_good.as_ref().and_then(|kept| kept.text(path)) else { return Vec::new() };
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

    /// Gives every object of a new document an identity and an age.
    fn identify(&mut self, document: &mut FileObject, now: Timestamp) {
        for item in Arc::get_mut(&mut document.items).into_iter().flatten() {
            let metadata = item.object.metadata_mut();
            metadata.uid.get_or_insert_with(|| uid(&item.key));
            if metadata.creation_timestamp.is_none() {
                metadata.creation_timestamp = Some(Time(self.seen.time(&item.key, now)));
            }
        }
    }

    /// What speaks against the new documents of a file: an object that stands twice in it, or one
    /// that changed what cannot change.
    fn against_rules(&self, file: &Path, documents: &[FileObject]) -> Vec<FileProblem> {
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
                    problems.extend(violations.map(|found| problem(&found.field, found.message)));
                }
            }
        }
        problems
    }

    /// Notes which objects a file holds now; those of documents it had before are known.
    fn claim(&mut self, file: &Arc<Path>, old: &[FileObject], new: &[FileObject]) {
        let kept: HashSet<&ObjectKey> = objects(new).collect();
        for key in objects(old).filter(|key| !kept.contains(key)) {
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
                self.touched.insert(item.key.clone());
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
        self.touched.insert(key.clone());
    }

    /// Decides which file's object is in force where claims changed, and says what that changes.
    /// Of several claims none wins: what was in force stays, or nothing is.
    pub fn settle(&mut self) -> BTreeMap<ObjectKey, Change> {
        let mut changes = BTreeMap::new();
        for key in std::mem::take(&mut self.touched) {
            let claims = standing(self.claims.get(&key), self.generated.as_deref());
            let holder = self.in_force.get(&key);
            let winner = match claims.as_slice() {
                [one] => Some(*one),
                several => several.iter().find(|c| holder.is_some_and(|h| h.file == c.file)).copied(),
            };
            if let Some(claim) = winner {
                let same =
                    holder.is_some_and(|held| held.file == claim.file && held.document == claim.document);
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
                self.seen.forget(&key);
                if self.in_force.remove(&key).is_some() {
                    changes.insert(key.clone(), Change::Remove(key));
                }
            }
        }
        changes
    }

    /// An object that is in force.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.in_force.get(key).map(|held| &held.object)
    }

    /// Everything that is wrong with files now, in their order.
    pub fn problems(&self) -> Vec<FileProblem> {
        let mut problems: Vec<_> =
            self.files.values().flat_map(|file| file.refused.problems.iter().cloned()).collect();
        let mut files = HashMap::new();
        let mut line = |claim: &Claim| {
            let lines = files.entry(claim.file.clone()).or_insert_with_key(|file| self.lines(file));
            lines.get(&claim.document).copied().unwrap_or(1)
        };
        problems.extend(self.contested.iter().flat_map(|key| self.contest(key, &mut line)));
        problems.sort_unstable();
        problems
    }

    /// Objects that are in the files and not in force, as far as can be told.
    pub fn refused(&self) -> BTreeSet<ObjectKey> {
        let in_files = self.files.values().flat_map(|file| &file.refused.objects);
        let refused = in_files.chain(&self.contested).filter(|key| !self.in_force.contains_key(*key));
        refused.cloned().collect()
    }

    /// A problem for every claim to an object that is not in force, naming another.
    fn contest(&self, key: &ObjectKey, line: &mut impl FnMut(&Claim) -> usize) -> Vec<FileProblem> {
        let claims = standing(self.claims.get(key), self.generated.as_deref());
        let holder = self.in_force.get(key).map(|held| &held.file);
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

    /// The lines at which the contents of a file's documents start.
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
        let held = self.in_force.get(key)?;
        self.claims.get(key)?.iter().find(|claim| claim.file == held.file)
    }
}

/// The claims that count: those of the user's manifests, or where there is none, the generated one.
fn standing<'a>(claims: Option<&'a Vec<Claim>>, generated: Option<&Path>) -> Vec<&'a Claim> {
    let claims = claims.map_or(&[][..], Vec::as_slice);
    let is_generated = |claim: &&Claim| generated.is_some_and(|folder| claim.file.starts_with(folder));
    let own: Vec<&Claim> = claims.iter().filter(|claim| !is_generated(claim)).collect();
    if own.is_empty() { claims.iter().collect() } else { own }
}

/// The same for the same object on every machine and at every start.
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
