//! Many files at once: read one after the other, parsed on all processors.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::problem::Refused;
use super::read::{FileObject, Outcome, Source, objects, text};
use super::scan::Stamp;
use super::state::FileState;
use crate::source::validate::RulesByKind;

/// Documents a thread takes at a time; fewer in all are not worth a second thread.
const SHARE: usize = 32;

/// What reading a file gave.
#[derive(Debug)]
pub(super) enum Loaded {
    Gone,
    Read {
        stamp: Option<Stamp>,
        documents: Result<Vec<FileObject>, Refused>,
        /// Its text; empty when it could not be read.
        text: String,
    },
}

/// Reads files; the documents they had at the last reading and have still are not parsed again.
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
            let last = files.get(path.as_path()).map_or(&[][..], |file| &file.documents);
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
    let documents: Vec<_> = counts.into_iter().map(|count| whole(outcomes.by_ref().take(count))).collect();
    texts
        .into_iter()
        .zip(documents)
        .map(|((stamp, text), documents)| match text {
            Ok(None) => Loaded::Gone,
            Ok(Some(text)) => Loaded::Read { stamp, documents, text },
            Err(problem) => Loaded::Read { stamp, documents: Err((*problem).into()), text: String::new() },
        })
        .collect()
}

/// A file is taken whole or not at all.
fn whole(outcomes: impl Iterator<Item = Outcome>) -> Result<Vec<FileObject>, Refused> {
    let (mut documents, mut refused) = (Vec::new(), Refused::default());
    for outcome in outcomes {
        match outcome {
            Ok(held) => documents.push(held),
            Err(found) => {
                refused.problems.extend(found.problems);
                refused.objects.extend(found.objects);
            }
        }
    }
    if refused.problems.is_empty() {
        return Ok(documents);
    }
    refused.objects.extend(objects(&documents).cloned());
    Err(refused)
}

/// Taken before the reading: a change after it makes the stamp differ at the next look.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata: io::Result<fs::Metadata> = fs::metadata(path);
    metadata.ok().map(|metadata| Stamp::of(&metadata))
}

/// `work` for every index below `count`, in their order, on as many threads as it is worth.
fn parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count.div_ceil(SHARE));
    if threads < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(SHARE, Ordering::Relaxed);
            if first >= count {
                return done;
            }
            done.extend((first..count.min(first + SHARE)).map(|index| (index, work(index))));
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
