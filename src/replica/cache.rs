//! The last good state in a local directory, from which a switch starts while Postgres cannot be
//! reached: one file a tenant, one for the platform, one for the signing key.
//!
//! Each file is sealed as a whole, so that it shows no secret, and a damaged file or one of another
//! installation is detected. While the running switch lags behind a file, a copy of the file from before
//! the change is kept beside it: what the switch was last brought to.

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cache_writer::CacheEntry;
use crate::plan::{PlatformPlan, TenantPlan, TenantRow};
use crate::secrets::keyring::{AssociatedData, Keyring};
use crate::secrets::signing_key::SigningKey;
use crate::store::records::{PlanRecords, RowRecords};
use crate::util::atomic_file;

/// Suffix of every file of a cache.
const SUFFIX: &str = ".sealed";
const PLATFORM_FILE: &str = "platform";
const SIGNING_KEY_FILE: &str = "signing-key";
/// Prefix of a tenant's file; the tenant's id follows.
const TENANT_PREFIX: &str = "tenant-";
/// Prefix of a pre-change copy; the file's name follows.
const PRE_CHANGE_PREFIX: &str = "before-";

/// Why one file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file cannot be read or written: no space, no permission.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// The content is not what was written.
    #[error("{path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with the content.
        reason: String,
    },
}

/// A directory of sealed files.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
    keyring: Arc<Keyring>,
}

/// The content of a file: a plan and its revision.
#[derive(Serialize, Deserialize)]
struct File {
    revision: i64,
    /// `None` in the platform's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantRow>,
    rows: RowRecords,
}

/// Plans and their revisions.
#[derive(Debug, Default)]
pub struct Plans {
    /// The platform's plan.
    pub platform: Option<(i64, PlatformPlan)>,
    /// Plans of tenants.
    pub tenants: Vec<(i64, TenantPlan)>,
}

/// The content of a cache.
#[derive(Debug, Default)]
pub struct Cached {
    /// The latest plans.
    pub held: Plans,
    /// Pre-change copies: what the running switch was last brought to, where that is not in `held`.
    pub before: Plans,
    /// The key that signs the dialplan.
    pub signing_key: Option<SigningKey>,
    /// Files that cannot be used, and why.
    pub skipped: Vec<CacheError>,
    /// True when a tenant's latest plan is among the skipped files.
    pub partial: bool,
}

impl Cache {
    /// A cache in a directory, which is created if it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn open(directory: &Path, keyring: Arc<Keyring>) -> Result<Self, CacheError> {
        let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        created.map_err(|source| CacheError::Io { path: directory.to_owned(), source })?;
        Ok(Self { directory: directory.to_owned(), keyring })
    }

    /// The keys that seal the files.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Reads all files. Those that cannot be used are in [`Cached::skipped`].
    pub fn read(&self) -> Cached {
        let mut cached = Cached::default();
        for name in self.names() {
            if let Err(error) = self.read_one(&name, &mut cached) {
                cached.skipped.push(error);
                cached.partial |= name.starts_with(TENANT_PREFIX);
            }
        }
        cached
    }

    /// The ids of tenants that have a file.
    pub fn tenants(&self) -> BTreeSet<Uuid> {
        self.names().iter().filter_map(|name| name.strip_prefix(TENANT_PREFIX)?.parse().ok()).collect()
    }

    /// Writes the platform's file.
    ///
    /// # Errors
    /// When the file cannot be written; the previous one stays.
    pub fn write_platform(&self, revision: i64, plan: &PlatformPlan) -> Result<(), CacheError> {
        self.write_plan(PLATFORM_FILE, revision, None, plan)
    }

    /// Writes a tenant's file.
    ///
    /// # Errors
    /// When the file cannot be written; the previous one stays.
    pub fn write_tenant(&self, revision: i64, plan: &TenantPlan) -> Result<(), CacheError> {
        self.write_plan(&tenant_file(plan.tenant.id), revision, Some(plan.tenant.clone()), plan)
    }

    /// Writes the file of the signing key.
    ///
    /// # Errors
    /// When the file cannot be written; the previous one stays.
    pub fn write_signing_key(&self, key: &SigningKey) -> Result<(), CacheError> {
        self.write(SIGNING_KEY_FILE, key.reveal())
    }

    /// Removes a tenant's file; none is success.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove_tenant(&self, id: Uuid) -> Result<(), CacheError> {
        let path = self.path(&tenant_file(id));
        ignoring(std::io::ErrorKind::NotFound, std::fs::remove_file(&path), &path)
    }

    /// Copies an entry's file before it is replaced or removed. A copy that exists is older, and stays; an
    /// entry without a file gets no copy.
    ///
    /// # Errors
    /// When the file cannot be linked.
    pub(super) fn save_pre_change(&self, entry: CacheEntry) -> Result<(), CacheError> {
        let (path, copy) = (self.path(&entry.file()), self.path(&pre_change_file(&entry.file())));
        match std::fs::hard_link(&path, &copy) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            linked => ignoring(std::io::ErrorKind::AlreadyExists, linked, &copy),
        }
    }

    /// Removes an entry's pre-change copy; none is success.
    ///
    /// # Errors
    /// When the copy cannot be removed.
    pub(super) fn remove_pre_change(&self, entry: CacheEntry) -> Result<(), CacheError> {
        let copy = self.path(&pre_change_file(&entry.file()));
        ignoring(std::io::ErrorKind::NotFound, std::fs::remove_file(&copy), &copy)
    }

    /// The entries that have a pre-change copy on disk.
    pub(super) fn pre_change_entries(&self) -> BTreeSet<CacheEntry> {
        let names = self.names();
        let entry = |name: &String| match name.strip_prefix(PRE_CHANGE_PREFIX)? {
            PLATFORM_FILE => Some(CacheEntry::Platform),
            name => Some(CacheEntry::Tenant(name.strip_prefix(TENANT_PREFIX)?.parse().ok()?)),
        };
        names.iter().filter_map(entry).collect()
    }

    /// Names of all files, without the suffix.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(SUFFIX)?.to_owned()))
            .collect();
        names.sort();
        names
    }

    fn read_one(&self, name: &str, cached: &mut Cached) -> Result<(), CacheError> {
        let path = self.path(name);
        let damaged = |reason: String| CacheError::Damaged { path: path.clone(), reason };
        let sealed = std::fs::read(&path).map_err(|source| CacheError::Io { path: path.clone(), source })?;
        let (name, plans) = match name.strip_prefix(PRE_CHANGE_PREFIX) {
            Some(name) => (name, &mut cached.before),
            None => (name, &mut cached.held),
        };
        let bytes = self
            .keyring
            .unseal(associated_data(name), &sealed)
            .map_err(|error| damaged(error.to_string()))?;
        if name == SIGNING_KEY_FILE {
            let bytes = bytes.try_into().map_err(|_| damaged("not 32 bytes long".to_owned()))?;
            cached.signing_key = Some(SigningKey::new(bytes));
            return Ok(());
        }
        let file: File = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match file.tenant {
            Some(tenant) => {
                let mut plan = TenantPlan::empty(tenant);
                plan.load(file.rows).map_err(|error| damaged(error.to_string()))?;
                plans.tenants.push((file.revision, plan));
            }
            None => {
                let mut plan = PlatformPlan::default();
                plan.load(file.rows).map_err(|error| damaged(error.to_string()))?;
                plans.platform = Some((file.revision, plan));
            }
        }
        Ok(())
    }

    fn write_plan(
        &self,
        name: &str,
        revision: i64,
        tenant: Option<TenantRow>,
        plan: &impl PlanRecords,
    ) -> Result<(), CacheError> {
        let damaged = |reason: String| CacheError::Damaged { path: self.path(name), reason };
        let rows = plan.records().map_err(|error| damaged(error.to_string()))?;
        let file = File { revision, tenant, rows };
        self.write(name, &serde_json::to_vec(&file).map_err(|error| damaged(error.to_string()))?)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let path = self.path(name);
        let sealed = self.keyring.seal(associated_data(name), bytes);
        atomic_file::replace(&path, &sealed, 0o600).map_err(|source| CacheError::Io { path, source })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{SUFFIX}"))
    }
}

/// A file is sealed with its name: a file renamed to another tenant's name does not open. A
/// pre-change copy opens with the name of its original.
fn associated_data(name: &str) -> AssociatedData<'_> {
    AssociatedData { scope: "cache", table: "file", name }
}

/// Treats one `io::ErrorKind` as success.
fn ignoring(kind: std::io::ErrorKind, result: std::io::Result<()>, path: &Path) -> Result<(), CacheError> {
    match result {
        Err(source) if source.kind() != kind => Err(CacheError::Io { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

fn pre_change_file(name: &str) -> String {
    format!("{PRE_CHANGE_PREFIX}{name}")
}

impl CacheEntry {
    fn file(self) -> String {
        match self {
            Self::Platform => PLATFORM_FILE.to_owned(),
            Self::Tenant(id) => tenant_file(id),
        }
    }
}

fn tenant_file(id: Uuid) -> String {
    format!("{TENANT_PREFIX}{id}")
}
