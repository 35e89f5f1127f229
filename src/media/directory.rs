//! Tenants' media directories: each has a stamp that says whose it is, as its schema has, and only
//! its owner may remove it.
//!
//! `<root>/tenants/<tenant id>` is made with mode 0750, `.owner` in it holds the UID of the Tenant
//! resource. All of this waits for the file system: call it from a thread that may.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use uuid::Uuid;

use crate::util::atomic_file;

/// Name of the stamp in a tenant's directory; FreeSWITCH is never given a name with a dot in front.
const STAMP: &str = ".owner";
/// Longest stamp that is read, in bytes; a UID has 36.
const STAMP_BYTES: u64 = 1024;

/// Why a media directory was not claimed or removed.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The directory belongs to somebody else.
    #[error("media directory {path} belongs to the Tenant with UID {owner}: only that one may remove it")]
    NotOwner {
        /// The directory.
        path: PathBuf,
        /// UID stamped on it.
        owner: String,
    },
    /// Nobody has claimed the directory.
    #[error(
        "media directory {path} has no {STAMP} file that says whose it is; remove it by hand when it is nobody's"
    )]
    NoOwner {
        /// The directory.
        path: PathBuf,
    },
    /// Something else is in its place, such as a link to elsewhere, which is never followed.
    #[error("media directory {path} is no directory of its own")]
    NotADirectory {
        /// Its path.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("media: {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl MediaError {
    /// The kind of error, stable, for metrics and logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotOwner { .. } | Self::NoOwner { .. } => "ownership",
            Self::NotADirectory { .. } | Self::Io { .. } => "file",
        }
    }
}

/// Makes a tenant's directory under the media root, and stamps it with its owner. Call it after
/// [`write_tenant`](crate::store::Store::write_tenant), which refuses whoever is not the owner: a tenant
/// that was adopted has a new one, and an older stamp is replaced.
///
/// # Errors
/// When something else is in its place, or the file system says no.
pub fn claim(root: &Path, tenant: Uuid, owner_uid: &str) -> Result<(), MediaError> {
    let tenants = root.join("tenants");
    let directory = tenants.join(tenant.to_string());
    for path in [&tenants, &directory] {
        match DirBuilder::new().mode(0o750).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => check_directory(path).map(drop)?,
            made => made.and_then(|()| let_in(path, 0o750)).map_err(failed(path))?,
        }
    }
    if owner(&directory)?.as_deref() == Some(owner_uid) {
        return Ok(());
    }
    let path = directory.join(STAMP);
    atomic_file::replace(&path, owner_uid.as_bytes(), 0o640).map_err(failed(&path))
}

/// Adds to a mode, whatever the umask is: FreeSWITCH reads and writes media by the group. What the root hands down
/// (its group, by a set-group-ID bit) stays.
fn let_in(path: &Path, bits: u32) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode | bits))
}

/// Removes a tenant's directory with all that is in it, when it is the owner's. One that is not
/// there is removed already; one whose removal was broken off is removed to the end.
///
/// # Errors
/// When it is somebody else's or nobody's, something else is in its place, or the file system says
/// no.
pub fn remove(root: &Path, tenant: Uuid, owner_uid: &str) -> Result<(), MediaError> {
    let tenants = root.join("tenants");
    // No tenant's name: it was its owner's when it got that name.
    let trash = tenants.join(format!(".removed-{tenant}"));
    let directory = tenants.join(tenant.to_string());
    if !check_directory(&tenants)? {
        return Ok(());
    }
    empty(&trash)?;
    if !check_directory(&directory)? {
        return Ok(());
    }
    match owner(&directory)? {
        Some(owner) if owner == owner_uid => {}
        Some(owner) => return Err(MediaError::NotOwner { path: directory, owner }),
        None => return Err(MediaError::NoOwner { path: directory }),
    }
    // Gone for everybody at one moment, however long it takes.
    fs::rename(&directory, &trash).map_err(failed(&directory))?;
    empty(&trash)
}

/// A tenant's directory, when it is there and carries this owner's stamp.
pub(super) fn owned_directory(
    root: &Path,
    tenant: Uuid,
    owner_uid: &str,
) -> Result<Option<PathBuf>, MediaError> {
    let tenants = root.join("tenants");
    let directory = tenants.join(tenant.to_string());
    let there = check_directory(&tenants)? && check_directory(&directory)?;
    let own = there && owner(&directory)?.as_deref() == Some(owner_uid);
    Ok(own.then_some(directory))
}

/// Whether there is a directory; anything else in its place is refused.
fn check_directory(path: &Path) -> Result<bool, MediaError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(MediaError::NotADirectory { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

/// The UID on the stamp; a link in its place is not followed.
fn owner(directory: &Path) -> Result<Option<String>, MediaError> {
    let path = directory.join(STAMP);
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK; // nor does a pipe in its place hold us up
    let mut text = String::new();
    let read = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&path)
        .and_then(|file| file.take(STAMP_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path)(error)),
    }
}

/// Removes a directory and what is in it; links in it are removed, not followed.
fn empty(trash: &Path) -> Result<(), MediaError> {
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
    fn a_claimed_directory_is_removed_by_its_owner_alone() {
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
    fn nothing_there_is_success() {
        let root = Root::new();
        remove(root.path(), ID, "uid-1").unwrap();
        remove(&root.path().join("absent"), ID, "uid-1").unwrap();
        assert!(
            claim(&root.path().join("absent"), ID, "uid-1").is_err(),
            "a root that is not mounted is not made"
        );
    }

    #[test]
    fn an_adopted_directory_has_a_new_owner() {
        let root = Root::new();
        fs::create_dir_all(root.tenant().join("voicemail")).unwrap(); // by FreeSWITCH, before anybody claimed it
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
    fn a_removal_broken_off_is_brought_to_its_end() {
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
