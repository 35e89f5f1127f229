//! Retention of recordings in the media directories of tenants: by age, and by the size of a tenant's directory.
//!
//! A recording is `<root>/tenants/<tenant id>/recordings/YYYY/MM/<leg>.wav`. No other file is removed, no link is
//! followed, and the directory must have its owner's stamp. All functions block on the file system: call them from a
//! thread that may block.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::directory::{MediaError, failed, owned_directory};

/// A recording that was written to within this time may belong to a call that is still up.
const MIN_AGE: Duration = Duration::from_secs(120);

/// Removes a tenant's recordings that were last written more than `days` days ago, and directories that are empty then.
/// Returns the number of removed recordings: 0 for a tenant without a directory, or of another owner.
///
/// # Errors
/// [`MediaError::NotADirectory`] when a directory's path is something else, [`MediaError::Io`] when the system fails.
pub fn remove_older(
    root: &Path,
    tenant: Uuid,
    owner_uid: &str,
    days: u32,
    now: SystemTime,
) -> Result<usize, MediaError> {
    const DAY: u64 = 24 * 60 * 60;
    let Some(oldest) = now.checked_sub(Duration::from_secs(u64::from(days) * DAY)) else { return Ok(0) };
    let Some(directory) = owned_directory(root, tenant, owner_uid)? else { return Ok(0) };
    let recordings = directory.join("recordings");
    let mut removed = 0;
    for year in named_directories(&recordings, 4)? {
        for month in named_directories(&year, 2)? {
            removed += remove_files(&month, oldest)?;
            remove_empty(&month)?;
        }
        remove_empty(&year)?;
    }
    Ok(removed)
}

/// Result of [`remove_beyond`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Number of recordings that were removed.
    pub removed: usize,
    /// Bytes that the directory holds now.
    pub bytes: u64,
}

/// Removes the oldest recordings of a tenant while its media directory holds more than `max_bytes`, and directories that
/// are empty then. All files count (recordings, voicemail, music, prompts), but only recordings are removed, and none of
/// the last two minutes, whose call may still be up. Does nothing for a tenant without a directory, or of another owner.
///
/// # Errors
/// As [`remove_older`].
pub fn remove_beyond(
    root: &Path,
    tenant: Uuid,
    owner_uid: &str,
    max_bytes: u64,
    now: SystemTime,
) -> Result<Storage, MediaError> {
    let Some(directory) = owned_directory(root, tenant, owner_uid)? else { return Ok(Storage::default()) };
    let mut storage = Storage { removed: 0, bytes: size(&directory)? };
    if storage.bytes <= max_bytes {
        return Ok(storage);
    }
    let recordings = directory.join("recordings");
    let mut all = Vec::new();
    for year in named_directories(&recordings, 4)? {
        for month in named_directories(&year, 2)? {
            all.extend(files(&month)?);
        }
    }
    all.sort();
    for Recording { written, path, bytes } in all {
        let ended = now.duration_since(written).is_ok_and(|age| age >= MIN_AGE);
        if storage.bytes <= max_bytes || !ended {
            break;
        }
        fs::remove_file(&path).map_err(failed(&path))?;
        storage.removed += 1;
        storage.bytes = storage.bytes.saturating_sub(bytes);
        for directory in path.ancestors().skip(1).take(2) {
            remove_empty(directory)?;
        }
    }
    Ok(storage)
}

/// Bytes of all files below a directory. No link is followed.
fn size(directory: &Path) -> Result<u64, MediaError> {
    let mut bytes = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let listed = match fs::read_dir(&directory) {
            // Removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            listed => listed.map_err(failed(&directory))?,
        };
        for entry in listed {
            let path = entry.map_err(failed(&directory))?.path();
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => pending.push(path),
                Ok(metadata) => bytes += metadata.len(),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path)(error)),
            }
        }
    }
    Ok(bytes)
}

/// A recording. Its order is by age, the oldest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Recording {
    written: SystemTime,
    path: PathBuf,
    bytes: u64,
}

fn remove_files(month: &Path, oldest: SystemTime) -> Result<usize, MediaError> {
    let mut removed = 0;
    for Recording { path, .. } in files(month)?.into_iter().filter(|file| file.written < oldest) {
        fs::remove_file(&path).map_err(failed(&path))?;
        removed += 1;
    }
    Ok(removed)
}

/// Recordings in the directory of a month.
fn files(month: &Path) -> Result<Vec<Recording>, MediaError> {
    let mut files = Vec::new();
    for entry in entries(month)? {
        let path = entry.map_err(failed(month))?.path();
        if path.extension().is_none_or(|extension| extension != "wav") {
            continue;
        }
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata.map_err(failed(&path))?,
        };
        let written = metadata.modified().map_err(failed(&path))?;
        if metadata.is_file() {
            files.push(Recording { written, path, bytes: metadata.len() });
        }
    }
    Ok(files)
}

/// Subdirectories whose names have exactly so many digits; empty when the parent is missing.
fn named_directories(parent: &Path, digits: usize) -> Result<Vec<PathBuf>, MediaError> {
    match fs::symlink_metadata(parent) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(MediaError::NotADirectory { path: parent.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(parent)(error)),
    }
    let mut found = Vec::new();
    for entry in entries(parent)? {
        let entry = entry.map_err(failed(parent))?;
        let name = entry.file_name();
        let named = name.len() == digits && name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if named && entry.file_type().map_err(failed(parent))?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn entries(directory: &Path) -> Result<impl Iterator<Item = io::Result<fs::DirEntry>>, MediaError> {
    fs::read_dir(directory).map_err(failed(directory))
}

/// Removes a directory if it is empty. A switch creates it again when needed.
fn remove_empty(directory: &Path) -> Result<(), MediaError> {
    match fs::remove_dir(directory) {
        Err(error) if !matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => {
            Err(failed(directory)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::media::directory::claim;

    const ID: Uuid = Uuid::from_u128(7);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    struct Root {
        dir: tempfile::TempDir,
        now: SystemTime,
    }

    impl Root {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            claim(dir.path(), ID, "uid-1").unwrap();
            Self { dir, now: SystemTime::now() }
        }

        /// A file of the tenant, written so many days ago.
        fn file(&self, path: &str, days: u32) -> PathBuf {
            let path = self.dir.path().join(format!("tenants/{ID}/{path}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(&path).unwrap();
            file.set_modified(self.now - DAY * days).unwrap();
            path
        }

        fn sweep(&self, owner: &str, days: u32) -> Result<usize, MediaError> {
            remove_older(self.dir.path(), ID, owner, days, self.now)
        }
    }

    #[test]
    fn only_recordings_past_their_retention_are_removed() {
        let root = Root::new();
        let old = root.file("recordings/2026/01/a.wav", 31);
        let young = root.file("recordings/2026/02/b.wav", 29);
        let others = [
            root.file("recordings/2026/02/notes.txt", 400),
            root.file("recordings/elsewhere/01/c.wav", 400),
            root.file("voicemail/100/msg.wav", 400),
            root.file("prompts/welcome.wav", 400),
        ];
        assert_eq!(root.sweep("uid-1", 30).unwrap(), 1);
        assert!(!old.exists() && !old.parent().unwrap().exists(), "an empty month goes with it");
        assert!(young.exists() && others.iter().all(|path| path.exists()));
        assert_eq!(root.sweep("uid-1", 30).unwrap(), 0);
    }

    #[test]
    fn only_the_owner_removes_and_no_link_is_followed() {
        let root = Root::new();
        let old = root.file("recordings/2026/01/a.wav", 31);
        assert_eq!(root.sweep("uid-2", 30).unwrap(), 0);
        assert!(old.exists());
        let outside = tempfile::tempdir().unwrap();
        let precious = outside.path().join("01/precious.wav");
        fs::create_dir_all(precious.parent().unwrap()).unwrap();
        File::create(&precious).unwrap().set_modified(root.now - DAY * 400).unwrap();
        symlink(outside.path(), root.dir.path().join(format!("tenants/{ID}/recordings/2025"))).unwrap();
        symlink(&precious, root.dir.path().join(format!("tenants/{ID}/recordings/2026/01/b.wav"))).unwrap();
        assert_eq!(root.sweep("uid-1", 30).unwrap(), 1);
        assert!(precious.exists());
        assert_eq!(remove_older(root.dir.path(), Uuid::from_u128(8), "uid-1", 1, root.now).unwrap(), 0);
    }

    #[test]
    fn the_oldest_are_removed_beyond_the_limit() {
        let root = Root::new();
        let sized = |path: &str, days: u32, bytes: u64| {
            let path = root.file(path, days);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(root.now - DAY * days).unwrap();
            path
        };
        let voicemail = sized("voicemail/100/msg.wav", 400, 3000);
        let first = sized("recordings/2026/01/a.wav", 40, 1000);
        let second = sized("recordings/2026/02/a.wav", 30, 1000);
        let third = sized("recordings/2026/02/b.wav", 20, 1000);
        let ongoing = sized("recordings/2026/02/c.wav", 0, 1000);
        let within =
            |owner: &str, most: u64| remove_beyond(root.dir.path(), ID, owner, most, root.now).unwrap();
        let own = "uid-1".len() as u64; // the stamp
        assert_eq!(within("uid-1", 7000 + own), Storage { removed: 0, bytes: 7000 + own });
        assert_eq!(within("uid-2", 0), Storage::default(), "of another owner");
        assert_eq!(within("uid-1", 5500), Storage { removed: 2, bytes: 5000 + own });
        assert!(!first.exists() && !second.exists() && third.exists());
        assert!(!first.parent().unwrap().exists(), "an empty month goes with it");
        assert_eq!(within("uid-1", 0), Storage { removed: 1, bytes: 4000 + own });
        assert!(voicemail.exists() && ongoing.exists() && !third.exists());
    }
}
