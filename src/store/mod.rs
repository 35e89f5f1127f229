//! Plans in Postgres: one schema and one role a tenant, a revision and a notification a change.
//!
//! A plan is written in one transaction: rows that differ are changed, rows that are gone are
//! removed, the revision goes up by one. A plan equal to what is stored writes nothing.

mod args;
pub mod cdrs;
mod claims;
pub mod error;
pub mod fence;
mod fingerprints;
mod in_force;
pub mod load;
mod login;
mod memory;
pub mod migrate;
pub(crate) mod records;
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
use error::{Doing, lost, refuses_login};

/// Channel that changes are notified on. The payload is JSON: `{"tenant": ID, "revision": N}`,
/// `{"tenant": ID, "removed": true}` or `{"platform": true, "revision": N}`.
pub const CHANNEL: &str = "centrex";

/// Oldest Postgres there are tests for.
const OLDEST_POSTGRES: i32 = 15;
/// How long to wait for a connection before Postgres counts as out of reach.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for an answer from its address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the database, and the keys for what is sealed in it.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where Postgres is and who logs in. The login needs `CREATEROLE` and to own the database.
    pub connect: PgConnectOptions,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// Most connections at one time.
    pub max_connections: u32,
    /// File that says where Postgres is and who logs in, where that may change.
    pub url_file: Option<PathBuf>,
}

impl StoreOptions {
    /// Options from where Postgres is, with ten connections.
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
    /// When it is not one.
    pub fn from_url(url: &str, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Ok(Self::new(parse_url(url)?, keyring))
    }

    /// Options from a file with such a URL, which is read again as it changes.
    ///
    /// # Errors
    /// When the file cannot be read, or has something else in it.
    pub fn from_url_file(path: &Path, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Ok(Self { url_file: Some(path.to_owned()), ..Self::new(login::read(path)?, keyring) })
    }

    /// The same, with the login as it is by now.
    fn current(&self) -> Result<Self, StoreError> {
        let Some(path) = &self.url_file else { return Ok(self.clone()) };
        let connect = login::read(path)?;
        let connect = match self.connect.get_application_name() {
            Some(name) => connect.application_name(name),
            None => connect,
        };
        Ok(Self { connect, ..self.clone() })
    }

    /// A pool that connects when it is first used.
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
    /// The right to write; none for a store that was only connected, which nothing fences.
    lead: Option<Arc<fence::WriterTerm>>,
}

impl Store {
    /// Connects, brings the database up to date, and checks that the keys are the ones it was
    /// sealed with. Several may start at one time: one migrates, the others wait for it.
    ///
    /// Nothing keeps two of these from writing at one time: whoever serves calls [`Store::lead`].
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when Postgres is away, which is worth another try; else what has
    /// to be put right first.
    pub async fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        // A connection of its own, closed at the end whatever happens: the lock goes with it.
        let mut connection = connect(&options.connect).await?;
        let prepared = async {
            check_server(&mut connection).await?;
            Self::prepare(&mut connection, &options.keyring).await
        };
        let prepared = prepared.await;
        let closed = connection.close().await;
        let signing_key = prepared?;
        closed.doing("closing a connection")?;
        Ok(Self { reader: Reader::lazy(options), signing_key, memory: Memory::default(), lead: None })
    }

    async fn prepare(connection: &mut PgConnection, keyring: &Keyring) -> Result<SigningKey, StoreError> {
        migrate::lock(connection).await?;
        migrate::public(connection, migrate::PUBLIC).await?;
        migrate::tenants(connection, migrate::TENANT).await?;
        settings::check_key(connection, keyring).await?;
        settings::ensure_signing_key(connection, keyring).await
    }

    /// What this process wrote.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The reading side, for whoever follows the store.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// All tenants, retained ones too.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        self.reader.tenants().await
    }

    /// The tenant that is live under a namespace and name, whoever owns it.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tenant_named(&self, namespace: &str, name: &str) -> Result<Option<TenantInfo>, StoreError> {
        self.reader.tenant_named(namespace, name).await
    }

    /// The key our dialplan is signed with: one a database.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        self.reader.pool()
    }

    fn keyring(&self) -> &Arc<Keyring> {
        self.reader.keyring()
    }
}

/// A connection of its own, and a clear word when there is none to be had.
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
        Ok(Err(source)) => Err(StoreError::Database { doing: "logging in (--database-url)", source }),
        Err(_) => Err(StoreError::Unreachable { at: at(), reason: "no answer in 10 s".to_owned() }),
    }
}

/// Where Postgres is, from a URL.
///
/// # Errors
/// When it is not one of Postgres.
pub fn parse_url(url: &str) -> Result<PgConnectOptions, StoreError> {
    // sqlx reads a URL of every scheme as one of Postgres.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(StoreError::Url("it is no URL of Postgres".to_owned()));
    }
    url.parse().map_err(|error: sqlx::Error| StoreError::Url(error.to_string()))
}

/// Name of a tenant's schema and of its role.
pub fn tenant_schema(id: Uuid) -> String {
    format!("tenant_{}", id.to_string().replace('-', "_"))
}

/// Refuses a server or a login that will not do, before anything is changed.
async fn check_server(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (version, login, may_create, owns): (i32, String, bool, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer / 10000, current_user::text,
                r.rolcreaterole OR r.rolsuper, pg_has_role(d.datdba, 'USAGE')
         FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()",
    )
    .fetch_one(connection)
    .await
    .doing("asking for its version")?;
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
