//! When each object was first seen, in a file that survives restarts, because the oldest object wins a conflict.
//!
//! The file is text and only grows while the process runs: a line `<RFC 3339 time> <kind> <namespace or ->
//! <name>` for a new object, with the word `gone` instead of the time for a deleted one. At start it is
//! rewritten without deleted objects.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::source::ObjectKey;
use crate::util::atomic_file;

/// Creation times, and the file that stores them, if there is one.
#[derive(Debug)]
pub(super) struct FirstSeen {
    times: HashMap<(String, Option<String>, String), Timestamp>,
    file: Option<(PathBuf, File)>,
    /// Lines still to be appended to the file.
    unwritten: String,
}

impl FirstSeen {
    /// Creation times that are lost when the process ends.
    pub fn in_memory() -> Self {
        Self { times: HashMap::new(), file: None, unwritten: String::new() }
    }

    /// Reads the file, or creates it. Ignores a line that cannot be parsed, because a crash can truncate one.
    ///
    /// # Errors
    /// When the file can be neither read nor created.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let mut times = HashMap::new();
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [time, kind, namespace, name] = words.as_slice() else { continue };
            let namespace = (*namespace != "-").then(|| (*namespace).to_owned());
            let key = ((*kind).to_owned(), namespace, (*name).to_owned());
            if *time == "gone" {
                times.remove(&key);
            } else if let Ok(time) = time.parse() {
                times.insert(key, time);
            }
        }
        let file = append(&path)?;
        Ok(Self { times, file: Some((path, file)), unwritten: String::new() })
    }

    /// When the object was first seen. Records `now` for an object that is seen for the first time.
    pub fn time(&mut self, key: &ObjectKey, now: Timestamp) -> Timestamp {
        let owned = owned(key);
        if let Some(time) = self.times.get(&owned) {
            return *time;
        }
        self.append_line(&now.to_string(), key);
        self.times.insert(owned, now);
        now
    }

    /// Forgets a deleted object. A new one with its name has a new creation time.
    pub fn forget(&mut self, key: &ObjectKey) {
        if self.times.remove(&owned(key)).is_some() {
            self.append_line("gone", key);
        }
    }

    fn append_line(&mut self, time: &str, key: &ObjectKey) {
        if self.file.is_some() {
            let namespace = key.namespace.as_deref().unwrap_or("-");
            self.unwritten += &format!("{time} {} {namespace} {}\n", key.kind, key.name);
        }
    }

    /// Appends the pending lines to the file. Lines that cannot be written are retried by the next call.
    ///
    /// # Errors
    /// The path of the file, and the error of the operating system.
    pub fn save(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        if self.unwritten.is_empty() {
            return Ok(());
        }
        file.write_all(self.unwritten.as_bytes()).map_err(|error| (path.clone(), error))?;
        self.unwritten.clear();
        Ok(())
    }

    /// Rewrites the file with only those objects for which `keep` returns true.
    ///
    /// # Errors
    /// The path of the file, and the error of the operating system. The old file is unchanged then.
    pub fn compact(
        &mut self,
        keep: impl Fn(&str, Option<&str>, &str) -> bool,
    ) -> Result<(), (PathBuf, io::Error)> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        self.times.retain(|(kind, namespace, name), _| keep(kind, namespace.as_deref(), name));
        let mut lines: Vec<String> = self
            .times
            .iter()
            .map(|((kind, namespace, name), time)| {
                format!("{time} {kind} {} {name}\n", namespace.as_deref().unwrap_or("-"))
            })
            .collect();
        lines.sort_unstable();
        let reopened =
            atomic_file::replace(path, lines.concat().as_bytes(), 0o644).and_then(|()| append(path));
        *file = reopened.map_err(|error| (path.clone(), error))?;
        self.unwritten.clear();
        Ok(())
    }
}

fn owned(key: &ObjectKey) -> (String, Option<String>, String) {
    (key.kind.to_string(), key.namespace.clone(), key.name.clone())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
