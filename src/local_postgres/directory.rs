//! Directories above the data, which the server's account must be able to enter.

use std::fs::{DirBuilder, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// All rights for the owner; others may enter, but not list names.
const MODE: u32 = 0o711;

/// Creates a directory and missing ones above it. The umask is overridden: 027 or 077 would close them to the account
/// that runs Postgres.
pub(super) fn create_all(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_all(parent)?;
    }
    match DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directory, or the nearest one above it that exists, with links resolved.
pub(super) fn nearest_existing(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for directory in absolute.ancestors() {
        match directory.canonicalize() {
            Ok(found) if found.is_dir() => return Ok(found),
            Ok(_) => return Err(Error::from(ErrorKind::NotADirectory)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(PathBuf::from("/"))
}
