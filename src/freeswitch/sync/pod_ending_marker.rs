//! A marker on disk that the switch is drained because its pod ends. A sidecar that finds the marker when
//! it starts was restarted alone, in a pod that has not ended, and accepts calls again. A drain on request
//! leaves no marker and outlasts restarts.

use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The marker, a file.
#[derive(Clone, Debug)]
pub struct PodEndingMarker(PathBuf);

impl PodEndingMarker {
    /// The marker in a data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("ending"))
    }

    /// Sets the marker.
    pub(super) fn set(&self) {
        self.warn_on_error(std::fs::write(&self.0, ""), "a restart of the sidecar will not undo the drain");
    }

    /// Whether the marker is set.
    pub(super) fn is_set(&self) -> bool {
        self.0.exists()
    }

    /// Removes the marker: the drain was undone, or is now one on request.
    pub(super) fn clear(&self) {
        let removed = match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        self.warn_on_error(removed, "a restart of the sidecar will end a drain");
    }

    fn warn_on_error(&self, result: Result<()>, consequence: &str) {
        if let Err(error) = result {
            tracing::warn!(%error, path = %self.0.display(), "{consequence}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_set_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let ending = PodEndingMarker::of(dir.path());
        ending.clear();
        assert!(!ending.is_set());
        ending.set();
        assert!(PodEndingMarker::of(dir.path()).is_set());
        ending.clear();
        assert!(!ending.is_set());
    }
}
