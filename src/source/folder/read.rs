//! Reads one manifest file: its objects and its problems.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::document::{Document, Format, split};
use super::problem::FileProblem;
use crate::resources::path::{Step, steps};
use crate::resources::schema::IS_EMPTY;
use crate::source::ObjectKey;
use crate::source::manifest::{self, Fault, Item};
use crate::source::validate::RulesByKind;

/// Largest manifest file that is read, in bytes.
pub const MAX_FILE_SIZE: u64 = 64 << 20;

/// What one document contains. A document without problems is reused as long as its text stays the same.
#[derive(Clone, Debug)]
pub(super) struct FileObject {
    /// Fingerprint of its text.
    pub hash: u64,
    /// The line in the file where its content starts, from 1.
    pub line: usize,
    /// Its valid objects.
    pub items: Arc<[Item]>,
    /// Whether it is unchanged since the last reading.
    pub reused: bool,
    /// Its problems.
    pub problems: Vec<FileProblem>,
    /// Its other objects, if they could be identified.
    pub refused: Vec<ObjectKey>,
    /// Whether some could not.
    pub unknown: bool,
}

/// Reads a file as text; `Ok(None)` when it does not exist.
///
/// # Errors
/// When it cannot be read, is larger than [`MAX_FILE_SIZE`], or is not UTF-8.
pub(super) fn text(path: &Path) -> Result<Option<String>, Box<FileProblem>> {
    let fault = |message: String| Box::new(FileProblem::whole(path, message));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(format!("cannot be read: {error}"))),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(fault(format!(
            "is larger than {} MiB; split it into several files",
            MAX_FILE_SIZE >> 20
        )));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
        let mut problem = fault("is not UTF-8 text; save it as UTF-8".into());
        problem.line = Some(line);
        problem
    })
}

/// A file's text, split into documents, with the documents of the last reading.
pub(super) struct Source<'a> {
    pub path: &'a Path,
    pub documents: Vec<Document<'a>>,
    last: HashMap<u64, &'a FileObject>,
}

impl<'a> Source<'a> {
    pub fn new(path: &'a Path, text: &'a str, last: &'a [FileObject]) -> Self {
        let format = super::scan::format(path).unwrap_or(Format::Yaml);
        let last = last.iter().map(|document| (document.hash, document)).collect();
        Self { path, documents: split(text, format), last }
    }

    /// Reads one of its documents. `hash` must be the same function for every reading.
    pub fn read(
        &self,
        document: &Document<'_>,
        kinds: &RulesByKind,
        hash: impl Fn(&str) -> u64,
    ) -> FileObject {
        let hash = hash(document.text);
        if let Some(last) = self.last.get(&hash) {
            return FileObject { line: document.content_line(), reused: true, ..(*last).clone() };
        }
        let (contents, problems) = match document.parse() {
            Ok(None) => (manifest::Contents::default(), Vec::new()),
            Ok(Some(value)) => {
                let mut contents = manifest::read(value, kinds);
                let faults = std::mem::take(&mut contents.faults);
                let problems = if faults.is_empty() { Vec::new() } else { self.problems(document, faults) };
                (contents, problems)
            }
            Err(error) => {
                let line = Some(error.line);
                let problem = FileProblem { line, ..FileProblem::whole(self.path, error.message) };
                (manifest::Contents { unknown: true, ..manifest::Contents::default() }, vec![problem])
            }
        };
        FileObject {
            hash,
            line: document.content_line(),
            items: contents.items.into(),
            reused: false,
            problems,
            refused: contents.refused,
            unknown: contents.unknown,
        }
    }

    fn problems(&self, document: &Document<'_>, faults: Vec<Fault>) -> Vec<FileProblem> {
        let paths: Vec<_> = faults.iter().map(|fault| path(&fault.path, &fault.violation.field)).collect();
        let lines = document.lines_of(&paths).into_iter();
        let problem = |(fault, line): (Fault, usize)| {
            let mut message = fault.violation.message;
            if message.contains(IS_EMPTY) && document.is_commented_out(line) {
                message.push_str("; what begins with # is a comment: put the value in quotes");
            }
            FileProblem {
                file: self.path.to_owned(),
                line: Some(line),
                resource: fault.resource,
                field: fault.violation.field,
                message,
            }
        };
        faults.into_iter().zip(lines).map(problem).collect()
    }
}

/// The path in a document of a field, from the object's path in the document and the field's in the object.
pub(super) fn path(object: &str, field: &str) -> Vec<Step> {
    let mut path = steps(object);
    path.extend(steps(field));
    path
}
