//! When each object was first seen, kept over restarts, so that "the oldest wins" stays true.
//!
//! A text file in the data directory that only grows while the process runs: a line
//! `<RFC 3339 time> <kind> <namespace or -> <name>` for an object that came, the word `gone` in
//! place of the time for one that went. At start it is written anew without what is gone.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::source::ObjectKey;
use crate::util::atomic_file;

/// The times, and the file they are kept in; without a file they last as long as the process.
#[derive(Debug)]
pub(super) struct FirstSeen {
    times: HashMap<(String, Option<String>, String), Timestamp>,
    file: Option<(PathBuf, File)>,
    /// Lines that are not in the file yet.
    unwritten: String,
}

impl FirstSeen {
    /// Times that are kept nowhere.
    pub fn in_memory() -> Self {
        Self { times: HashMap::new(), file: None, unwritten: String::new() }
    }

    /// Reads the file, or makes one. A line that cannot be read (a crash cut it) is passed over.
    ///
    /// # Errors
    /// When the file can be neither read nor made.
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

    /// When the object was first seen: `now`, when it is seen the first time.
    pub fn time(&mut self, key: &ObjectKey, now: Timestamp) -> Timestamp {
        let owned = owned(key);
        if let Some(time) = self.times.get(&owned) {
            return *time;
        }
        self.note(&now.to_string(), key);
        self.times.insert(owned, now);
        now
    }

    /// Forgets an object: one that comes again under its name is another.
    pub fn forget(&mut self, key: &ObjectKey) {
        if self.times.remove(&owned(key)).is_some() {
            self.note("gone", key);
        }
    }

    fn note(&mut self, time: &str, key: &ObjectKey) {
        if self.file.is_some() {
            let namespace = key.namespace.as_deref().unwrap_or("-");
            self.unwritten += &format!("{time} {} {namespace} {}\n", key.kind, key.name);
        }
    }

    /// Appends what is new to the file. What could not be written is tried again the next time.
    ///
    /// # Errors
    /// The file, and what the system says of it.
    pub fn save(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        if self.unwritten.is_empty() {
            return Ok(());
        }
        file.write_all(self.unwritten.as_bytes()).map_err(|error| (path.clone(), error))?;
        self.unwritten.clear();
        Ok(())
    }

    /// Writes the file anew without what is gone: of the objects in it, those that `keep` says yes to.
    ///
    /// # Errors
    /// The file, and what the system says of it. The old file is as it was then.
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
        let renewed =
            atomic_file::replace(path, lines.concat().as_bytes(), 0o644).and_then(|()| append(path));
        *file = renewed.map_err(|error| (path.clone(), error))?;
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
