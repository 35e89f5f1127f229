//! The keys that seal secrets at rest: AES-256-GCM, versioned, from a key file.
//!
//! Each line of the file is a key of 32 bytes, `VERSION:BASE64`; `#` starts a comment. The highest version
//! seals, and all versions unseal. To rotate, add a line with a higher version and restart. Rows are sealed
//! again as their plans are written; after that the old line can be removed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, Generate, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::util::atomic_file;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes before the ciphertext: the key's version (big endian) and the nonce.
const VERSION_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// A row's fingerprint, which shows whether it must be written again: 128 bits of BLAKE3 in keyed mode.
pub type Fingerprint = [u8; 16];

/// The row that a sealed value belongs to. It is authenticated with the value, so that a value that was moved
/// to another tenant, table or row cannot be unsealed there.
#[derive(Clone, Copy, Debug)]
pub struct AssociatedData<'a> {
    /// Tenant id, or a fixed word for values of no tenant.
    pub scope: &'a str,
    /// Table.
    pub table: &'a str,
    /// Name of the row.
    pub name: &'a str,
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file does not exist.
    #[error("--encryption-key-file {0}: no such file")]
    Absent(PathBuf),
    /// The file cannot be read or written.
    #[error("--encryption-key-file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Other users can read the file.
    #[error(
        "--encryption-key-file {path}: mode {mode:04o} lets others read it; allowed is 0600 or 0400 (chmod 0600), and 0640 or 0440 where root owns it"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line is not a key.
    #[error(
        "--encryption-key-file {path}, line {line}: {reason}; a line is VERSION:BASE64 of 32 bytes, VERSION from 1 up"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The reason.
        reason: &'static str,
    },
    /// The file has no key.
    #[error("--encryption-key-file {0}: has no key; a line is VERSION:BASE64 of 32 bytes")]
    Empty(PathBuf),
}

/// Why a sealed value cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The key file does not have the key that sealed the value.
    #[error("sealed with key version {0}, which is not in --encryption-key-file")]
    UnknownVersion(u32),
    /// The key has changed, or the value was changed or moved.
    #[error(
        "cannot be unsealed with key version {0} of --encryption-key-file: the key has changed, or the value was changed or moved"
    )]
    Mismatch(u32),
    /// The value is too short to be a sealed one.
    #[error("is not a sealed value")]
    Malformed,
}

struct Key {
    cipher: Aes256Gcm,
    /// A key derived for fingerprints only.
    mac: [u8; KEY_BYTES],
}

/// The keys of an installation. `Debug` shows only their versions.
pub struct Keyring {
    keys: BTreeMap<u32, Key>,
    version: u32,
}

impl Keyring {
    /// Reads a key file.
    ///
    /// # Errors
    /// The file is missing, readable by others, or not a key file.
    pub fn read_file(path: &Path) -> Result<Self, KeyringError> {
        let io = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => KeyringError::Absent(path.to_owned()),
            _ => KeyringError::Io { path: path.to_owned(), source },
        };
        let metadata = std::fs::metadata(path).map_err(io)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if lets_others_read(mode, metadata.uid()) {
            return Err(KeyringError::Permissions { path: path.to_owned(), mode });
        }
        Self::parse(path, &std::fs::read_to_string(path).map_err(io)?)
    }

    /// Creates a key file with a new key of version 1, readable by its owner only.
    ///
    /// # Errors
    /// The file cannot be written, or already exists.
    pub fn generate_file(path: &Path) -> Result<Self, KeyringError> {
        let io = |source| KeyringError::Io { path: path.to_owned(), source };
        let text = format!(
            "# Keys of Centrex: lose them and sealed secrets are lost.\n1:{}\n",
            STANDARD.encode(random())
        );
        atomic_file::create(path, text.as_bytes(), 0o600).map_err(io)?;
        Self::read_file(path)
    }

    /// Parses the text of a key file; `path` is for messages.
    ///
    /// # Errors
    /// A line is not a key, or the text has no key.
    pub fn parse(path: &Path, text: &str) -> Result<Self, KeyringError> {
        let mut keys = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let refuse = |reason| KeyringError::Line { path: path.to_owned(), line: index + 1, reason };
            let (version, key) = line.split_once(':').ok_or_else(|| refuse("no colon"))?;
            let version = version.trim().parse::<u32>().ok().filter(|version| *version > 0);
            let version = version.ok_or_else(|| refuse("VERSION is not a whole number from 1 up"))?;
            let key = STANDARD.decode(key.trim()).map_err(|_| refuse("the key is not base64"))?;
            let key: [u8; KEY_BYTES] = key.try_into().map_err(|_| refuse("the key is not 32 bytes long"))?;
            if keys.insert(version, Key::new(&key)).is_some() {
                return Err(refuse("this VERSION is used twice"));
            }
        }
        let version = *keys.keys().next_back().ok_or_else(|| KeyringError::Empty(path.to_owned()))?;
        Ok(Self { keys, version })
    }

    /// The version of the key that seals.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Seals a value for one row.
    pub fn seal(&self, place: AssociatedData<'_>, value: &[u8]) -> Vec<u8> {
        let nonce = Nonce::generate();
        let mut sealed = Vec::with_capacity(VERSION_BYTES + NONCE_BYTES + value.len() + 16);
        sealed.extend_from_slice(&self.version.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let payload = Payload { msg: value, aad: &place.bytes() };
        // Encryption fails only for values over 64 GiB; the result could not be unsealed.
        let encrypted = self.keys.get(&self.version).map(|key| key.cipher.encrypt(&nonce, payload));
        if let Some(Ok(encrypted)) = encrypted {
            sealed.extend_from_slice(&encrypted);
        }
        sealed
    }

    /// Unseals a value that was sealed for a row.
    ///
    /// # Errors
    /// The keyring lacks the key, or the value was not sealed for this row.
    pub fn unseal(&self, place: AssociatedData<'_>, sealed: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let version = sealed_version(sealed).ok_or(UnsealError::Malformed)?;
        let (nonce, encrypted) = sealed
            .get(VERSION_BYTES..)
            .and_then(|rest| rest.split_at_checked(NONCE_BYTES))
            .ok_or(UnsealError::Malformed)?;
        let nonce = nonce.try_into().map_err(|_| UnsealError::Malformed)?;
        let key = self.keys.get(&version).ok_or(UnsealError::UnknownVersion(version))?;
        let payload = Payload { msg: encrypted, aad: &place.bytes() };
        key.cipher.decrypt(nonce, payload).map_err(|_| UnsealError::Mismatch(version))
    }

    /// The fingerprint of parts; the length before each keeps them apart. It depends on the key that seals,
    /// so that all rows differ after a rotation and are sealed again.
    pub fn fingerprint<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        let Some(key) = self.keys.get(&self.version) else { return fingerprint }; // `version` is always in `keys`
        let mut hasher = blake3::Hasher::new_keyed(&key.mac);
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        hasher.finalize_xof().fill(&mut fingerprint);
        fingerprint
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self {
            cipher: Aes256Gcm::new(bytes.into()),
            mac: blake3::derive_key("centrex 2026-11 fingerprints of rows", bytes),
        }
    }
}

impl AssociatedData<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.scope, self.table, self.name] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Whether users other than its owner can read or write a key file. A group may read a file of root: a
/// Kubernetes Secret is mounted for a pod's `fsGroup` (0440), and a package gives its service a key this way.
/// It may not read a file of another user, whose group may have many members.
fn lets_others_read(mode: u32, owner: u32) -> bool {
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    mode & forbidden != 0
}

/// Random bytes for a new key or password, from a cryptographic generator that the system seeds.
pub fn random() -> [u8; KEY_BYTES] {
    rand::random()
}

/// The version of the key that sealed a value; `None` if it is too short.
pub fn sealed_version(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk::<VERSION_BYTES>().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(lines: &[(u32, u8)]) -> Keyring {
        let line = |(version, byte): &(u32, u8)| {
            format!("{version}:{} # a key\n", STANDARD.encode([*byte; KEY_BYTES]))
        };
        Keyring::parse(Path::new("keys"), &lines.iter().map(line).collect::<String>()).unwrap()
    }

    const HERE: AssociatedData<'_> = AssociatedData { scope: "a", table: "extensions", name: "e100" };

    #[test]
    fn a_value_opens_only_where_it_was_sealed() {
        let ring = keyring(&[(1, 1)]);
        let sealed = ring.seal(HERE, b"secret");
        assert_eq!(ring.unseal(HERE, &sealed).unwrap(), b"secret");
        for place in [
            AssociatedData { scope: "b", ..HERE },
            AssociatedData { table: "devices", ..HERE },
            AssociatedData { name: "e101", ..HERE },
            AssociatedData { scope: "aextensions", table: "", ..HERE },
        ] {
            assert_eq!(ring.unseal(place, &sealed), Err(UnsealError::Mismatch(1)), "{place:?}");
        }
        assert_ne!(ring.seal(HERE, b"secret"), sealed, "a nonce twice");
        for cut in [0, 3, 15, sealed.len() - 1] {
            assert!(ring.unseal(HERE, &sealed[..cut]).is_err());
        }
    }

    #[test]
    fn the_highest_version_seals_and_all_unseal() {
        let (old, both) = (keyring(&[(1, 1)]), keyring(&[(1, 1), (7, 2)]));
        let sealed = old.seal(HERE, b"secret");
        assert_eq!(both.unseal(HERE, &sealed).unwrap(), b"secret");
        let sealed = both.seal(HERE, b"secret");
        assert_eq!(sealed_version(&sealed), Some(7));
        assert_eq!(old.unseal(HERE, &sealed), Err(UnsealError::UnknownVersion(7)));
        assert_eq!(keyring(&[(7, 3)]).unseal(HERE, &sealed), Err(UnsealError::Mismatch(7)));
    }

    #[test]
    fn fingerprints_differ_by_part_and_by_key() {
        let ring = keyring(&[(1, 1)]);
        let of = |ring: &Keyring, parts: &[&str]| ring.fingerprint(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&ring, &["a", "b"]), of(&ring, &["a", "b"]));
        assert_ne!(of(&ring, &["a", "b"]), of(&ring, &["ab", ""]));
        assert_ne!(of(&ring, &["a"]), of(&keyring(&[(1, 1), (2, 2)]), &["a"]));
    }

    #[test]
    fn a_key_file_belongs_to_its_reader_or_to_root_with_a_group() {
        for mode in [0o400, 0o600] {
            assert!(!lets_others_read(mode, 0) && !lets_others_read(mode, 1000), "{mode:o}");
        }
        for mode in [0o440, 0o640] {
            assert!(!lets_others_read(mode, 0) && lets_others_read(mode, 1000), "{mode:o}");
        }
        for mode in [0o444, 0o404, 0o644, 0o660, 0o420, 0o602, 0o777] {
            assert!(lets_others_read(mode, 0) && lets_others_read(mode, 1000), "{mode:o}");
        }
    }

    #[test]
    fn a_debug_print_shows_no_key() {
        assert_eq!(format!("{:?}", keyring(&[(1, 1), (2, 2)])), "{1, 2}");
    }
}
