//! The last good state in a local directory, from which a switch starts while Postgres is away:
//! one file a tenant, one for the platform, one for the signing key. Each is sealed as a whole, so
//! that it shows nothing and a damaged or foreign one is noticed, and written to the side first.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cache_writer::CacheEntry;
use crate::plan::{PlatformPlan, TenantPlan, TenantRow};
use crate::secrets::keyring::{AssociatedData, Keyring};
use crate::secrets::signing_key::SigningKey;
use crate::store::records::{PlanRecords, RowRecords};

/// Ends the name of every file of a cache.
const SUFFIX: &str = ".sealed";
const PLATFORM_FILE: &str = "platform";
const SIGNING_KEY_FILE: &str = "signing-key";
/// Begins the name of a tenant's file; its id follows.
const TENANT_PREFIX: &str = "tenant-";
/// Begins the name of a file as it was before; its name follows.
const BEFORE_PREFIX: &str = "before-";

/// What went wrong with one file.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be read or written: no space, no permission.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what was written there.
    #[error("{path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A directory of sealed files.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
    keyring: Arc<Keyring>,
}

/// What a file holds: a plan and its revision.
#[derive(Serialize, Deserialize)]
struct File {
    revision: i64,
    /// Of a tenant's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantRow>,
    rows: RowRecords,
}

/// Plans and their revisions.
#[derive(Debug, Default)]
pub struct Plans {
    /// The platform's.
    pub platform: Option<(i64, PlatformPlan)>,
    /// Those of tenants.
    pub tenants: Vec<(i64, TenantPlan)>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Cached {
    /// What was held last.
    pub held: Plans,
    /// Of what changed since: what the running switch was last brought to.
    pub before: Plans,
    /// The key our dialplan is signed with.
    pub signing_key: Option<SigningKey>,
    /// Files that were skipped, and why.
    pub skipped: Vec<CacheError>,
    /// Whether a tenant that was held is among them.
    pub partial: bool,
}

impl Cache {
    /// A cache in a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: &Path, keyring: Arc<Keyring>) -> Result<Self, CacheError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| CacheError::Io { path: directory.to_owned(), source })?;
        Ok(Self { directory: directory.to_owned(), keyring })
    }

    /// The keys it is sealed with.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Reads everything there is. What cannot be read is skipped and told.
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

    /// Ids of the tenants that have a file.
    pub fn tenants(&self) -> BTreeSet<Uuid> {
        self.names().iter().filter_map(|name| name.strip_prefix(TENANT_PREFIX)?.parse().ok()).collect()
    }

    /// Keeps the platform.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub fn write_platform(&self, revision: i64, plan: &PlatformPlan) -> Result<(), CacheError> {
        self.write_plan(PLATFORM_FILE, revision, None, plan)
    }

    /// Keeps a tenant.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub fn write_tenant(&self, revision: i64, plan: &TenantPlan) -> Result<(), CacheError> {
        self.write_plan(&tenant_file(plan.tenant.id), revision, Some(plan.tenant.clone()), plan)
    }

    /// Keeps the signing key.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub fn write_signing_key(&self, key: &SigningKey) -> Result<(), CacheError> {
        self.write(SIGNING_KEY_FILE, key.reveal())
    }

    /// Forgets a tenant.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn remove_tenant(&self, id: Uuid) -> Result<(), CacheError> {
        let path = self.path(&tenant_file(id));
        forgiving(std::fs::remove_file(&path), &path, std::io::ErrorKind::NotFound)
    }

    /// Keeps a file as it is now, before it is replaced or removed; one that is kept so already stays.
    ///
    /// # Errors
    /// When the file system says no.
    pub(super) fn keep_before(&self, kept: CacheEntry) -> Result<(), CacheError> {
        let (path, before) = (self.path(&kept.file()), self.path(&before(&kept.file())));
        match std::fs::hard_link(&path, &before) {
            // There is nothing yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            linked => forgiving(linked, &before, std::io::ErrorKind::AlreadyExists),
        }
    }

    /// Forgets what was before.
    ///
    /// # Errors
    /// When the file system says no.
    pub(super) fn forget_before(&self, kept: CacheEntry) -> Result<(), CacheError> {
        let before = self.path(&before(&kept.file()));
        forgiving(std::fs::remove_file(&before), &before, std::io::ErrorKind::NotFound)
    }

    /// Of what it is kept how it was before.
    pub(super) fn befores(&self) -> BTreeSet<CacheEntry> {
        let names = self.names();
        let kept = |name: &String| match name.strip_prefix(BEFORE_PREFIX)? {
            PLATFORM_FILE => Some(CacheEntry::Platform),
            name => Some(CacheEntry::Tenant(name.strip_prefix(TENANT_PREFIX)?.parse().ok()?)),
        };
        names.iter().filter_map(kept).collect()
    }

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
        let (name, plans) = match name.strip_prefix(BEFORE_PREFIX) {
            Some(name) => (name, &mut cached.before),
            None => (name, &mut cached.held),
        };
        let bytes = self.keyring.unseal(place(name), &sealed).map_err(|error| damaged(error.to_string()))?;
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
        let fresh = self.directory.join(format!("{name}.new"));
        let sealed = self.keyring.seal(place(name), bytes);
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| file.write_all(&sealed).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&fresh, &path));
        written.map_err(|source| {
            let _ = std::fs::remove_file(&fresh); // gives back the space that was not enough
            CacheError::Io { path, source }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{SUFFIX}"))
    }
}

/// A file is sealed for its name, so that one renamed to another tenant's does not open.
fn place(name: &str) -> AssociatedData<'_> {
    AssociatedData { scope: "cache", table: "file", name }
}

/// An error of one kind is none.
fn forgiving(done: std::io::Result<()>, path: &Path, kind: std::io::ErrorKind) -> Result<(), CacheError> {
    match done {
        Err(source) if source.kind() != kind => Err(CacheError::Io { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

fn before(name: &str) -> String {
    format!("{BEFORE_PREFIX}{name}")
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
