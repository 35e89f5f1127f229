//! Files that are written whole or not at all, and that survive a crash of the machine.
//!
//! The content goes into a temporary file in the same folder, `.NAME.new`, and is on the disk before
//! the file gets its name; then the folder is synced, so that the name is on the disk too. A process
//! that dies in between leaves the previous file, and a temporary file that the next write replaces.
//!
//! Only one process may write a file at a time. Every function here blocks on the disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Writes a file; a previous one is replaced. `mode` is the mode of the new file, whatever the umask is.
///
/// # Errors
/// The folder does not exist, or the file system refuses or is full. The previous file is unchanged
/// then; only where the folder cannot be synced, the new file may have replaced it already.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = Temporary::write(path, content, mode)?;
    fs::rename(&temporary.0, path)?;
    sync_folder(path)
}

/// Writes a new file, and never replaces a previous one.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when a file has this name, and everything that [`replace`] fails with.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = Temporary::write(path, content, mode)?;
    // Unlike a rename, a link fails when the name exists.
    fs::hard_link(&temporary.0, path)?;
    drop(temporary);
    sync_folder(path)
}

/// A temporary file, complete and on the disk. It is removed on drop, also to give back the space of a
/// write that failed.
struct Temporary(PathBuf);

impl Temporary {
    fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<Self> {
        let temporary = temporary_path(path)?;
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // `create_new` follows no symbolic link that another user put there.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        let temporary = Self(temporary);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // renamed already, or replaced by the next write
    }
}

/// `.NAME.new` beside a file; a name that begins with a dot gets no second one.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut temporary = OsString::from(if name.as_encoded_bytes().starts_with(b".") { "" } else { "." });
    temporary.push(name);
    temporary.push(".new");
    Ok(path.with_file_name(temporary))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_has_its_content_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        replace(&path, b"one", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
        // Group bits that a umask of 022 or 077 would remove.
        replace(&path, b"two", 0o664).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o664));
        create(&folder.path().join(".owner"), b"uid", 0o640).unwrap();
        assert_eq!(mode(&folder.path().join(".owner")), 0o640);
        assert_eq!(names(folder.path()), [".owner", "keys"], "no temporary file is left");
    }

    #[test]
    fn a_write_that_is_interrupted_leaves_the_previous_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        replace(&path, b"one", 0o600).unwrap();
        // The process dies after the temporary file is written.
        std::mem::forget(Temporary::write(&path, b"two", 0o600).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), [".keys.new", "keys"]);
        // The process is killed during the write.
        fs::write(folder.path().join(".keys.new"), "a leftover that is longer than the next file").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(names(folder.path()), ["keys"]);
        // The write fails.
        fs::create_dir(folder.path().join(".keys.new")).unwrap();
        assert!(replace(&path, b"four", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"three");
    }

    #[test]
    fn create_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(folder.path().join(".keys.new"), "left by a crash").unwrap();
        create(&path, b"one", 0o600).unwrap();
        let error = create(&path, b"two", 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["keys"]);
    }

    #[test]
    fn a_link_in_place_of_the_temporary_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join(".keys.new")).unwrap();
        replace(&folder.path().join("keys"), b"one", 0o600).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"kept");
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = replace(&folder.path().join("absent/keys"), b"one", 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(replace(Path::new("/"), b"one", 0o600).is_err());
    }
}
