//! Where fields of objects stand. Only what is wrong is looked up, so no line is kept: the files are
//! read again for it, each once, however many fields of it are asked for.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::FileLocation;
use super::document::{Format, split};
use super::read::{path, text};
use super::scan::format;
use super::state::State;
use crate::resources::path::Step;
use crate::source::ObjectKey;

/// The fields of one document that are asked for: which of the questions each is, and its path.
#[derive(Debug, Default)]
struct FieldQuery {
    questions: Vec<usize>,
    paths: Vec<Vec<Step>>,
}

/// Where each field of an object in force stands, or what is nearest to it.
pub(super) fn locate(state: &State, fields: &[(&ObjectKey, &str)]) -> Vec<Option<FileLocation>> {
    let mut files: BTreeMap<Arc<Path>, HashMap<u64, FieldQuery>> = BTreeMap::new();
    for (question, (key, field)) in fields.iter().enumerate() {
        if let Some(claim) = state.claim_in_force(key) {
            let asked = files.entry(claim.file.clone()).or_default().entry(claim.document).or_default();
            asked.questions.push(question);
            asked.paths.push(path(&claim.path, field));
        }
    }
    let mut places = vec![None; fields.len()];
    for (file, documents) in files {
        let mut answer = |question: usize, line: usize| {
            if let Some(place) = places.get_mut(question) {
                *place = Some(FileLocation { file: file.to_path_buf(), line });
            }
        };
        // What was changed since is where its document was.
        let known = state.lines(&file);
        for (document, asked) in &documents {
            let line = known.get(document).copied().unwrap_or(1);
            asked.questions.iter().for_each(|question| answer(*question, line));
        }
        let Ok(Some(text)) = text(&file) else { continue };
        for document in split(&text, format(&file).unwrap_or(Format::Yaml)) {
            if let Some(asked) = documents.get(&state.hash(document.text)) {
                let lines = document.lines_of(&asked.paths);
                asked.questions.iter().zip(lines).for_each(|(question, line)| answer(*question, line));
            }
        }
    }
    places
}
