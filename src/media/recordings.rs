//! Recordings in the tenants' media directories: those that were kept long enough are removed, and the
//! oldest of a tenant that has more than it may.
//!
//! A recording is `<root>/tenants/<tenant id>/recordings/YYYY/MM/<leg>.wav`. Nothing else is ever
//! touched, no link is followed, and only in a directory that carries its owner's stamp. All of this
//! waits for the file system: call it from a thread that may.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::directory::{MediaError, failed, owned_directory};

/// A recording that was written to so lately may go on.
const YOUNG: Duration = Duration::from_secs(120);

/// Removes a tenant's recordings that were last written more than so many days ago, and directories
/// of months that are empty then; how many were removed. A tenant that is not the owner's, or has no
/// directory, has none.
///
/// # Errors
/// When the file system says no.
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

/// What came of looking at a tenant's storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Recordings that were removed.
    pub removed: usize,
    /// Bytes that are used still.
    pub bytes: u64,
}

/// Removes the oldest recordings of a tenant as long as its media directory holds more than `most`
/// bytes, and months that are empty then. Everything counts (recordings, voicemail, music, prompts),
/// but only recordings go, and none that was written a moment ago: it may not have ended. A tenant
/// that is not the owner's, or has no directory, has none.
///
/// # Errors
/// When the file system says no.
pub fn remove_beyond(
    root: &Path,
    tenant: Uuid,
    owner_uid: &str,
    most: u64,
    now: SystemTime,
) -> Result<Storage, MediaError> {
    let Some(directory) = owned_directory(root, tenant, owner_uid)? else { return Ok(Storage::default()) };
    let mut storage = Storage { removed: 0, bytes: size(&directory)? };
    if storage.bytes <= most {
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
        let ended = now.duration_since(written).is_ok_and(|age| age >= YOUNG);
        if storage.bytes <= most || !ended {
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

/// Bytes of all files below a directory; no link is followed.
fn size(directory: &Path) -> Result<u64, MediaError> {
    let mut bytes = 0;
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let listed = match fs::read_dir(&directory) {
            // It went meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            listed => listed.map_err(failed(&directory))?,
        };
        for entry in listed {
            let path = entry.map_err(failed(&directory))?.path();
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => left.push(path),
                Ok(metadata) => bytes += metadata.len(),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path)(error)),
            }
        }
    }
    Ok(bytes)
}

/// A recording, oldest first.
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

/// The recordings of a month.
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

/// Directories whose names are so many digits; none where there is no directory.
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

/// Removes a directory if nothing is in it: a switch makes it again when it needs it.
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
    fn what_was_kept_long_enough_is_removed_and_nothing_else() {
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
    fn only_its_owner_removes_and_no_link_is_followed() {
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
    fn the_oldest_go_when_there_is_more_than_may_be() {
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
        assert_eq!(within("uid-2", 0), Storage::default(), "somebody else's");
        assert_eq!(within("uid-1", 5500), Storage { removed: 2, bytes: 5000 + own });
        assert!(!first.exists() && !second.exists() && third.exists());
        assert!(!first.parent().unwrap().exists(), "an empty month goes with it");
        assert_eq!(within("uid-1", 0), Storage { removed: 1, bytes: 4000 + own });
        assert!(voicemail.exists() && ongoing.exists() && !third.exists());
    }
}
