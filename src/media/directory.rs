//! Media directories of tenants. Like its schema, each has an owner, and only the owner may remove it.
//!
//! `<root>/tenants/<tenant id>` is created with mode 0750; the file `.owner` in it, the stamp, holds the UID of the
//! Tenant resource. All functions block on the file system: call them from a thread that may block.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use uuid::Uuid;

use crate::util::atomic_file;

/// Name of the stamp. FreeSWITCH is never given a name that begins with a dot.
const STAMP: &str = ".owner";
/// Number of bytes of a stamp that are read; a UID has 36.
const MAX_STAMP_BYTES: u64 = 1024;

/// Errors of media directories.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The stamp has the UID of another Tenant.
    #[error("media directory {path} belongs to the Tenant with UID {owner}: only that one may remove it")]
    NotOwner {
        /// Path of the directory.
        path: PathBuf,
        /// UID on the stamp.
        owner: String,
    },
    /// The directory has no stamp.
    #[error(
        "media directory {path} has no {STAMP} file with its owner's UID; remove it by hand if no tenant uses it"
    )]
    NoOwner {
        /// Path of the directory.
        path: PathBuf,
    },
    /// The path is not a directory. A link is not followed.
    #[error("media directory {path} is not a directory, or is a link")]
    NotADirectory {
        /// Path of the file or link.
        path: PathBuf,
    },
    /// A file cannot be read, written or removed.
    #[error("media: {path}: {source}")]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
}

impl MediaError {
    /// Category for metrics and logs. Its names are stable.
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotOwner { .. } | Self::NoOwner { .. } => "ownership",
            Self::NotADirectory { .. } | Self::Io { .. } => "file",
        }
    }
}

/// Creates a tenant's directory under the media root, and stamps it with its owner. An existing stamp is replaced: an
/// adopted tenant has a new owner. Call it after [`write_tenant`](crate::store::Store::write_tenant), which refuses a
/// tenant of another owner.
///
/// # Errors
/// [`MediaError::NotADirectory`] when the path is something else; [`MediaError::Io`] when the system fails, also
/// when the root does not exist.
pub fn claim(root: &Path, tenant: Uuid, owner_uid: &str) -> Result<(), MediaError> {
    let tenants = root.join("tenants");
    let directory = tenants.join(tenant.to_string());
    for path in [&tenants, &directory] {
        match DirBuilder::new().mode(0o750).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => check_directory(path).map(drop)?,
            made => made.and_then(|()| add_mode(path, 0o750)).map_err(failed(path))?,
        }
    }
    if owner(&directory)?.as_deref() == Some(owner_uid) {
        return Ok(());
    }
    let path = directory.join(STAMP);
    atomic_file::replace(&path, owner_uid.as_bytes(), 0o640).map_err(failed(&path))
}

/// Adds mode bits that the umask has removed: FreeSWITCH reads and writes media through the group. A set-group-ID bit
/// that the root hands down stays.
fn add_mode(path: &Path, bits: u32) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode | bits))
}

/// Removes a tenant's directory with its content, if the stamp has this owner's UID. A missing directory is success. A
/// removal that was interrupted is completed.
///
/// # Errors
/// [`MediaError::NotOwner`] or [`MediaError::NoOwner`] by the stamp, [`MediaError::NotADirectory`] when the path is
/// something else, [`MediaError::Io`] when the system fails.
pub fn remove(root: &Path, tenant: Uuid, owner_uid: &str) -> Result<(), MediaError> {
    let tenants = root.join("tenants");
    // Not a tenant's name. The stamp was checked before the directory got this name.
    let trash = tenants.join(format!(".removed-{tenant}"));
    let directory = tenants.join(tenant.to_string());
    if !check_directory(&tenants)? {
        return Ok(());
    }
    remove_all(&trash)?;
    if !check_directory(&directory)? {
        return Ok(());
    }
    match owner(&directory)? {
        Some(owner) if owner == owner_uid => {}
        Some(owner) => return Err(MediaError::NotOwner { path: directory, owner }),
        None => return Err(MediaError::NoOwner { path: directory }),
    }
    // The rename removes the directory at once, however long the deletion takes.
    fs::rename(&directory, &trash).map_err(failed(&directory))?;
    remove_all(&trash)
}

/// A tenant's directory; `None` when it is missing, or its stamp has not this owner's UID.
pub(super) fn owned_directory(
    root: &Path,
    tenant: Uuid,
    owner_uid: &str,
) -> Result<Option<PathBuf>, MediaError> {
    let tenants = root.join("tenants");
    let directory = tenants.join(tenant.to_string());
    let exists = check_directory(&tenants)? && check_directory(&directory)?;
    let own = exists && owner(&directory)?.as_deref() == Some(owner_uid);
    Ok(own.then_some(directory))
}

/// True for a directory, false when the path does not exist, an error for anything else.
fn check_directory(path: &Path) -> Result<bool, MediaError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(MediaError::NotADirectory { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

/// UID on the stamp; `None` without a stamp. A link is not followed.
fn owner(directory: &Path) -> Result<Option<String>, MediaError> {
    let path = directory.join(STAMP);
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK; // a named pipe must not block
    let mut text = String::new();
    let read = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&path)
        .and_then(|file| file.take(MAX_STAMP_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path)(error)),
    }
}

/// Removes a directory and its content. Links are removed, not followed.
fn remove_all(trash: &Path) -> Result<(), MediaError> {
    match fs::remove_dir_all(trash) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(trash)(error)),
        _ => Ok(()),
    }
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> MediaError {
    let path = path.to_owned();
    |source| MediaError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn tenant(&self) -> PathBuf {
            self.path().join(format!("tenants/{ID}"))
        }

        fn mode(&self, path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }
    }

    #[test]
    fn only_its_owner_removes_a_claimed_directory() {
        let root = Root::new();
        claim(root.path(), ID, "uid-1").unwrap();
        claim(root.path(), ID, "uid-1").unwrap();
        assert_eq!((root.mode(&root.tenant()), root.mode(&root.tenant().join(STAMP))), (0o750, 0o640));
        fs::create_dir_all(root.tenant().join("voicemail/100")).unwrap();
        fs::write(root.tenant().join("voicemail/100/msg.wav"), "hello").unwrap();
        let neighbour = Uuid::from_u128(8);
        claim(root.path(), neighbour, "uid-8").unwrap();

        let error = remove(root.path(), ID, "uid-2").unwrap_err();
        assert!(matches!(&error, MediaError::NotOwner { owner, .. } if owner == "uid-1"), "{error}");
        assert!(root.tenant().join("voicemail/100/msg.wav").exists());
        remove(root.path(), ID, "uid-1").unwrap();
        assert!(!root.tenant().exists());
        remove(root.path(), ID, "uid-1").unwrap();
        let left: Vec<_> =
            fs::read_dir(root.path().join("tenants")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [neighbour.to_string().as_str()]);
    }

    #[test]
    fn a_missing_directory_is_success() {
        let root = Root::new();
        remove(root.path(), ID, "uid-1").unwrap();
        remove(&root.path().join("absent"), ID, "uid-1").unwrap();
        assert!(
            claim(&root.path().join("absent"), ID, "uid-1").is_err(),
            "a root that is not mounted is not created"
        );
    }

    #[test]
    fn an_adopted_directory_has_a_new_owner() {
        let root = Root::new();
        fs::create_dir_all(root.tenant().join("voicemail")).unwrap(); // by FreeSWITCH, before the directory was claimed
        let error = remove(root.path(), ID, "uid-1").unwrap_err();
        assert!(matches!(error, MediaError::NoOwner { .. }), "{error}");
        claim(root.path(), ID, "uid-1").unwrap();
        fs::write(root.tenant().join(".owner.new"), "left by a crash").unwrap();
        claim(root.path(), ID, "uid-2").unwrap();
        assert!(remove(root.path(), ID, "uid-1").is_err());
        remove(root.path(), ID, "uid-2").unwrap();
    }

    #[test]
    fn links_are_not_followed() {
        let (root, elsewhere) = (Root::new(), tempfile::tempdir().unwrap());
        let precious = elsewhere.path().join("precious");
        fs::write(&precious, "uid-1").unwrap();
        fs::create_dir(root.path().join("tenants")).unwrap();

        // A link in place of the directory, with a stamp that matches.
        fs::write(elsewhere.path().join(STAMP), "uid-1").unwrap();
        symlink(elsewhere.path(), root.tenant()).unwrap();
        for result in [remove(root.path(), ID, "uid-1"), claim(root.path(), ID, "uid-2")] {
            assert!(matches!(result, Err(MediaError::NotADirectory { .. })), "{result:?}");
        }
        fs::remove_file(root.tenant()).unwrap();

        // A link in place of the stamp.
        fs::create_dir(root.tenant()).unwrap();
        symlink(&precious, root.tenant().join(STAMP)).unwrap();
        assert!(matches!(remove(root.path(), ID, "uid-1"), Err(MediaError::Io { .. })));
        fs::remove_file(root.tenant().join(STAMP)).unwrap();

        // Links within are removed, not what they lead to; one in place of the trash neither.
        claim(root.path(), ID, "uid-1").unwrap();
        symlink(elsewhere.path(), root.tenant().join("recordings")).unwrap();
        remove(root.path(), ID, "uid-1").unwrap();
        symlink(elsewhere.path(), root.path().join(format!("tenants/.removed-{ID}"))).unwrap();
        drop(remove(root.path(), ID, "uid-1"));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "uid-1");

        // A link in place of all tenants.
        let other = Root::new();
        fs::create_dir_all(elsewhere.path().join(ID.to_string())).unwrap();
        fs::write(elsewhere.path().join(ID.to_string()).join(STAMP), "uid-1").unwrap();
        symlink(elsewhere.path(), other.path().join("tenants")).unwrap();
        assert!(matches!(remove(other.path(), ID, "uid-1"), Err(MediaError::NotADirectory { .. })));
        assert!(elsewhere.path().join(ID.to_string()).exists());
    }

    #[test]
    fn an_interrupted_removal_is_completed() {
        let root = Root::new();
        let trash = root.path().join(format!("tenants/.removed-{ID}"));
        fs::create_dir_all(trash.join("voicemail")).unwrap();
        remove(root.path(), ID, "uid-1").unwrap();
        assert!(!trash.exists());
        // And one in the way of the next.
        fs::create_dir_all(trash.join("voicemail")).unwrap();
        claim(root.path(), ID, "uid-1").unwrap();
        remove(root.path(), ID, "uid-1").unwrap();
        assert!(!trash.exists() && !root.tenant().exists());
    }
}
