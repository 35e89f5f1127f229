//! Plans in Postgres: one schema and one role for each tenant, one revision and one notification for each
//! change.
//!
//! A plan is written in one transaction: changed rows are written, rows that the plan does not have are
//! deleted, and the revision goes up by one. A plan that equals the stored one writes nothing.

mod args;
pub mod cdrs;
mod claims;
pub mod device_alerts;
pub mod emergency_calls;
pub mod error;
pub mod fence;
mod fingerprints;
mod in_force;
pub mod load;
mod login;
mod memory;
pub mod migrate;
pub mod phones;
pub(crate) mod records;
pub mod registrations;
mod remove;
pub mod reports;
mod revision_log;
mod rows;
mod settings;
mod tenant;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use uuid::Uuid;

pub use crate::secrets::keyring::{Keyring, KeyringError};
pub use args::StoreArgs;
pub use error::StoreError;
pub use fence::{Elected, WriterIdentity};
pub use load::{Reader, Revision, Revisions, TenantInfo};
pub use memory::Memory;
pub use remove::Removed;
pub use revision_log::Names;
pub use rows::Origins;
pub use write::Written;

use crate::secrets::signing_key::SigningKey;
use error::{PgContext, lost, refuses_login};

/// Channel of the notifications of changes. The payload is JSON: `{"tenant": ID, "revision": N}`,
/// `{"tenant": ID, "removed": true}` or `{"platform": true, "revision": N}`.
pub const CHANNEL: &str = "centrex";

/// Oldest release of Postgres that is tested.
const OLDEST_POSTGRES: i32 = 15;
/// Wait for a connection from the pool, after which Postgres counts as unreachable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the database is, and the keys of what is sealed in it.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Address and login of Postgres. The login needs `CREATEROLE` and must own the database.
    pub connect: PgConnectOptions,
    /// Keys that secrets in the database are sealed with.
    pub keyring: Arc<Keyring>,
    /// Size of the connection pool.
    pub max_connections: u32,
    /// File with the URL of Postgres, read again while the process runs; `None` for a fixed URL.
    pub url_file: Option<PathBuf>,
}

impl StoreOptions {
    /// Options with a pool of ten connections.
    pub fn new(connect: PgConnectOptions, keyring: Arc<Keyring>) -> Self {
        let connect = match connect.get_application_name() {
            Some(_) => connect,
            None => connect.application_name("centrex"),
        };
        Self { connect, keyring, max_connections: 10, url_file: None }
    }

    /// Options from a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// # Errors
    /// [`StoreError::Url`] when the text is not such a URL.
    pub fn from_url(url: &str, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Ok(Self::new(parse_url(url)?, keyring))
    }

    /// Options from a file with such a URL. The file is read again when it changes.
    ///
    /// # Errors
    /// [`StoreError::UrlFile`] when the file cannot be read, or does not hold such a URL.
    pub fn from_url_file(path: &Path, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Ok(Self { url_file: Some(path.to_owned()), ..Self::new(login::read(path)?, keyring) })
    }

    /// The same options with the current login from the file.
    fn current(&self) -> Result<Self, StoreError> {
        let Some(path) = &self.url_file else { return Ok(self.clone()) };
        let connect = login::read(path)?;
        let connect = match self.connect.get_application_name() {
            Some(name) => connect.application_name(name),
            None => connect,
        };
        Ok(Self { connect, ..self.clone() })
    }

    /// A pool that connects on first use.
    pub(crate) fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(self.connect.clone())
    }
}

/// The database, migrated and writable.
#[derive(Clone, Debug)]
pub struct Store {
    reader: Reader,
    signing_key: SigningKey,
    memory: Memory,
    /// The right to write; `None` for a store that was only connected, which is not fenced.
    writer: Option<Arc<fence::WriterTerm>>,
}

impl Store {
    /// Connects, migrates the database, and checks that it was sealed with these keys. When several
    /// processes start at once, one migrates and the others wait.
    ///
    /// Not fenced: two connected stores can write at once. Servers must use [`Store::lead`].
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when Postgres does not answer, which is worth a retry; other errors
    /// need an administrator.
    pub async fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        // Not from the pool: closing the connection releases the migration lock, whatever happens.
        let mut connection = connect(&options.connect).await?;
        let prepared = async {
            check_server(&mut connection).await?;
            Self::prepare(&mut connection, &options.keyring).await
        };
        let prepared = prepared.await;
        let closed = connection.close().await;
        let signing_key = prepared?;
        closed.context("closing a connection")?;
        Ok(Self { reader: Reader::lazy(options), signing_key, memory: Memory::default(), writer: None })
    }

    async fn prepare(connection: &mut PgConnection, keyring: &Keyring) -> Result<SigningKey, StoreError> {
        migrate::lock(connection).await?;
        migrate::public(connection, migrate::PUBLIC).await?;
        migrate::tenants(connection, migrate::TENANT).await?;
        settings::check_key(connection, keyring).await?;
        settings::ensure_signing_key(connection, keyring).await
    }

    /// Revisions that this process wrote.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The reading side of the store.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// All tenants, including retained ones.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        self.reader.tenants().await
    }

    /// The tenant of a namespace and name that is not retained, whatever UID owns it.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tenant_named(&self, namespace: &str, name: &str) -> Result<Option<TenantInfo>, StoreError> {
        self.reader.tenant_named(namespace, name).await
    }

    /// The key that the dialplan is signed with. Each database has one.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// The connection pool.
    pub fn pool(&self) -> &PgPool {
        self.reader.pool()
    }

    fn keyring(&self) -> &Arc<Keyring> {
        self.reader.keyring()
    }
}

/// Opens a connection outside the pool, with an error that tells a refused login from an unreachable server.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let at = || match options.get_socket() {
        Some(socket) => format!("at {}", socket.display()),
        None => format!("at {}:{}", options.get_host(), options.get_port()),
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) if refuses_login(&source) => Err(StoreError::Login(source)),
        Ok(Err(source)) if lost(&source) => {
            Err(StoreError::Unreachable { at: at(), reason: source.to_string() })
        }
        Ok(Err(source)) => Err(StoreError::Database { action: "logging in (--database-url)", source }),
        Err(_) => Err(StoreError::Unreachable { at: at(), reason: "no answer in 10 s".to_owned() }),
    }
}

/// Parses a URL of Postgres.
///
/// # Errors
/// [`StoreError::Url`] when the text is not a URL of Postgres.
pub fn parse_url(url: &str) -> Result<PgConnectOptions, StoreError> {
    // sqlx accepts every scheme.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(StoreError::Url("not a URL of Postgres".to_owned()));
    }
    url.parse().map_err(|error: sqlx::Error| StoreError::Url(error.to_string()))
}

/// Name of a tenant's schema and of its role.
pub fn tenant_schema(id: Uuid) -> String {
    format!("tenant_{}", id.to_string().replace('-', "_"))
}

/// Refuses a server that is too old and a login that lacks rights, before anything is changed.
async fn check_server(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (version, login, may_create, owns): (i32, String, bool, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer / 10000, current_user::text,
                r.rolcreaterole OR r.rolsuper, pg_has_role(d.datdba, 'USAGE')
         FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()",
    )
    .fetch_one(connection)
    .await
    .context("checking its version and the login")?;
    if version < OLDEST_POSTGRES {
        let reason = format!("Postgres {OLDEST_POSTGRES} or later is needed, this is {version}");
        return Err(StoreError::Unsuitable(reason));
    }
    if !may_create {
        let reason = format!(
            "login {login} may not create roles; a superuser can allow it: ALTER ROLE {login} CREATEROLE"
        );
        return Err(StoreError::Unsuitable(reason));
    }
    if !owns {
        let reason = format!(
            "login {login} does not own the database; a superuser can change that: ALTER DATABASE … OWNER TO {login}"
        );
        return Err(StoreError::Unsuitable(reason));
    }
    Ok(())
}
