//! Problems of manifest files and of the folder source.

use std::path::PathBuf;

use serde::Serialize;

use crate::source::ObjectKey;

/// Message for a file that had a good version and is empty now.
pub(super) const EMPTIED: &str = "it is empty; delete the file to delete its objects";

/// A problem of a manifest file. The last good version of what has the problem stays in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileProblem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; `None` when the problem concerns the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The object, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ObjectKey>,
    /// Path of the field in the object; empty when the problem concerns the whole object.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl FileProblem {
    /// A problem with a file as a whole.
    pub(super) fn whole(file: &std::path::Path, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { file: file.to_owned(), line: None, resource: None, field: String::new(), message }
    }
}

impl std::fmt::Display for FileProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(resource) = &self.resource {
            write!(f, ": {resource}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a folder cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The manifests cannot be read at all.
    #[error("manifests {path}: {source}; name a file or a folder that can be read")]
    Manifests {
        /// The path given.
        path: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The data directory cannot be written.
    #[error("data directory {path}: {source}; name a directory that can be written")]
    Data {
        /// The path given.
        path: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// One of our CRDs cannot be compiled: a bug in this program.
    #[error(transparent)]
    Schema(#[from] &'static crate::resources::schema::SchemaError),
}

impl FolderError {
    /// Stable word for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Manifests { .. } => "manifests",
            Self::Data { .. } => "data-directory",
            Self::Schema(_) => "schema",
        }
    }
}
