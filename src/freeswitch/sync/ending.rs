//! The drain of a pod's end, noted on the disk. A sidecar that finds the note at its start knows that
//! the pod has not ended: it was started anew alone, and takes calls again. A drain that somebody asked
//! for leaves no note, and stays.

use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The note.
#[derive(Clone, Debug)]
pub struct Ending(PathBuf);

impl Ending {
    /// The note of a data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("ending"))
    }

    /// Notes that the pod ends.
    pub(super) fn note(&self) {
        self.told(std::fs::write(&self.0, ""), "a restart of the sidecar will not undo the drain");
    }

    /// Whether it was noted.
    pub(super) fn is_noted(&self) -> bool {
        self.0.exists()
    }

    /// It was undone, or is somebody's wish now.
    pub(super) fn forget(&self) {
        let removed = match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        self.told(removed, "a restart of the sidecar will end a drain");
    }

    fn told(&self, done: Result<()>, then: &str) {
        if let Err(error) = done {
            tracing::warn!(%error, path = %self.0.display(), "{then}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_there_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let ending = Ending::of(dir.path());
        ending.forget();
        assert!(!ending.is_noted());
        ending.note();
        assert!(Ending::of(dir.path()).is_noted());
        ending.forget();
        assert!(!ending.is_noted());
    }
}
