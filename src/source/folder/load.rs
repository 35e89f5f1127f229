//! Reads many files, one after the other, and parses them on all processors.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::problem::FileProblem;
use super::read::{FileObject, Source, text};
use super::scan::Stamp;
use super::state::FileState;
use crate::source::validate::RulesByKind;

/// Documents that a thread parses at a time. For fewer in all a second thread costs more than it saves.
const DOCUMENTS_PER_TASK: usize = 32;

/// Result of reading one file.
#[derive(Debug)]
pub(super) enum Loaded {
    Missing,
    Read {
        stamp: Option<Stamp>,
        /// Its documents, or why it cannot be read as text.
        documents: Result<Vec<FileObject>, Box<FileProblem>>,
        /// Its text; empty if it could not be read.
        text: String,
    },
}

/// Reads files. Documents that did not change since the last reading are not parsed again, unless their file has a
/// problem: its lines may be others, and an object may be in force now that was not.
pub(super) fn load(
    paths: &[PathBuf],
    files: &BTreeMap<Arc<Path>, FileState>,
    kinds: &RulesByKind,
    hasher: &RandomState,
) -> Vec<Loaded> {
    let texts: Vec<_> = paths.iter().map(|path| (stamp(path), text(path))).collect();
    let sources: Vec<Option<Source<'_>>> = paths
        .iter()
        .zip(&texts)
        .map(|(path, (_, text))| {
            let last = files.get(path.as_path()).filter(|file| file.problems.is_empty());
            let last = last.map_or(&[][..], |file| &file.documents);
            text.as_ref().ok()?.as_ref().map(|text| Source::new(path, text, last))
        })
        .collect();
    let tasks: Vec<_> = sources
        .iter()
        .flatten()
        .flat_map(|source| source.documents.iter().map(move |document| (source, document)))
        .collect();
    let mut outcomes = parallel(tasks.len(), |index| {
        let (source, document) = tasks.get(index)?;
        Some(source.read(document, kinds, |text| hasher.hash_one(text)))
    })
    .into_iter()
    .flatten();
    let counts: Vec<usize> =
        sources.iter().map(|source| source.as_ref().map_or(0, |source| source.documents.len())).collect();
    let documents: Vec<Vec<FileObject>> =
        counts.into_iter().map(|count| outcomes.by_ref().take(count).collect()).collect();
    texts
        .into_iter()
        .zip(documents)
        .map(|((stamp, text), documents)| match text {
            Ok(None) => Loaded::Missing,
            Ok(Some(text)) => Loaded::Read { stamp, documents: Ok(documents), text },
            Err(problem) => Loaded::Read { stamp, documents: Err(problem), text: String::new() },
        })
        .collect()
}

/// Must be read before the text: then a change during reading gives another stamp at the next scan.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata: io::Result<fs::Metadata> = fs::metadata(path);
    metadata.ok().map(|metadata| Stamp::of(&metadata))
}

/// Results of `work` for every index below `count`, in order, computed on several threads.
fn parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(count.div_ceil(DOCUMENTS_PER_TASK));
    if threads < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(DOCUMENTS_PER_TASK, Ordering::Relaxed);
            if first >= count {
                return done;
            }
            done.extend((first..count.min(first + DOCUMENTS_PER_TASK)).map(|index| (index, work(index))));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let mut done = Vec::with_capacity(count);
        for thread in threads {
            match thread.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
