//! Directories on the way to the data, which the server's account has to pass.

use std::fs::{DirBuilder, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// All for the owner; others pass, and see no names.
const MODE: u32 = 0o711;

/// Makes a directory, and those above it that are missing, each with its mode whatever the umask is: a
/// umask of 027 or 077 would close them to the account that runs Postgres.
pub(super) fn make(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make(parent)?;
    }
    match DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directory itself where it exists, else the nearest one above it; with links resolved.
pub(super) fn nearest(path: &Path) -> Result<PathBuf> {
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
