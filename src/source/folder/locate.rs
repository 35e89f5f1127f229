//! Finds the lines of fields. Lines are needed only for problems, so none is stored: each file is read again,
//! once for all fields in it.

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

/// Requested fields of one document: the index of each in the request, and its path.
#[derive(Debug, Default)]
struct FieldQuery {
    indices: Vec<usize>,
    paths: Vec<Vec<Step>>,
}

/// The line of each field of an object in force, or of its nearest parent.
pub(super) fn locate(state: &State, fields: &[(&ObjectKey, &str)]) -> Vec<Option<FileLocation>> {
    let mut files: BTreeMap<Arc<Path>, HashMap<u64, FieldQuery>> = BTreeMap::new();
    for (index, (key, field)) in fields.iter().enumerate() {
        if let Some(claim) = state.claim_in_force(key) {
            let query = files.entry(claim.file.clone()).or_default().entry(claim.document).or_default();
            query.indices.push(index);
            query.paths.push(path(&claim.path, field));
        }
    }
    let mut locations = vec![None; fields.len()];
    for (file, documents) in files {
        let mut set = |index: usize, line: usize| {
            if let Some(location) = locations.get_mut(index) {
                *location = Some(FileLocation { file: file.to_path_buf(), line });
            }
        };
        // If the document changed since it was read, its last line number is the best set.
        let document_lines = state.lines(&file);
        for (document, query) in &documents {
            let line = document_lines.get(document).copied().unwrap_or(1);
            query.indices.iter().for_each(|index| set(*index, line));
        }
        let Ok(Some(text)) = text(&file) else { continue };
        for document in split(&text, format(&file).unwrap_or(Format::Yaml)) {
            if let Some(query) = documents.get(&state.hash(document.text)) {
                let lines = document.lines_of(&query.paths);
                query.indices.iter().zip(lines).for_each(|(index, line)| set(*index, line));
            }
        }
    }
    locations
}
