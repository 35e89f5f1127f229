//! Errors of the store.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The text is not a URL of Postgres.
    #[error("--database-url: {0}; allowed is postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url(String),
    /// The file with the URL cannot be read, or holds something else.
    #[error(
        "--database-url-file {path}: {reason}; allowed is a file with postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    UrlFile {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// Postgres refuses the login: the password was changed, or the database does not exist. Worth a retry: the
    /// database may be in the middle of a restore.
    #[error("Postgres refuses the login (--database-url, --database-url-file): {0}")]
    Login(#[source] sqlx::Error),
    /// Postgres does not answer, or the connection was lost. Worth a retry.
    #[error("Postgres cannot be reached {at} (--database-url): {reason}")]
    Unreachable {
        /// Address, or the action during which the connection was lost.
        at: String,
        /// What the system or Postgres reported.
        reason: String,
    },
    /// Postgres answered with an error.
    #[error("Postgres failed at {action}: {source}")]
    Database {
        /// What Postgres was asked to do.
        action: &'static str,
        /// The error that Postgres returned.
        source: sqlx::Error,
    },
    /// Postgres is too old, the login lacks a right, or the database was not prepared.
    #[error("--database-url: {0}")]
    Unsuitable(String),
    /// The database lacks migrations that this Centrex needs.
    #[error(
        "the database is at public migration {found}, and this Centrex needs {known}: the operator brings it up to date, or `centrex migrate`"
    )]
    Older {
        /// Newest migration of the database; 0 for a database without any.
        found: i32,
        /// Newest migration of this binary.
        known: i32,
    },
    /// The database was migrated by a newer Centrex.
    #[error(
        "the database is at {which} migration {found}, and this Centrex knows {known}: run the newer Centrex, or restore a backup"
    )]
    Newer {
        /// `public` or `tenant`.
        which: &'static str,
        /// Newest migration of the database; 0 for a database without any.
        found: i32,
        /// Newest migration of this binary.
        known: i32,
    },
    /// A migration that was applied has another checksum than that of this binary.
    #[error(
        "{which} migration {version} in the database differs from that of this Centrex: the database is of another version, which has no upgrade to this one"
    )]
    MigrationDiffers {
        /// `public` or `tenant`.
        which: &'static str,
        /// Number of the migration.
        version: i32,
    },
    /// A migration failed and was rolled back. The next start retries it.
    #[error("migration {name} failed: {source}")]
    Migration {
        /// Name of the file, or the schema of the tenant.
        name: String,
        /// The error that Postgres returned.
        source: sqlx::Error,
    },
    /// The database was sealed with other keys than those of the key file.
    #[error(
        "--encryption-key-file: this database was sealed with key version {version}, and {reason}; give the file it was sealed with"
    )]
    Key {
        /// Version of the key that is needed.
        version: u32,
        /// What is wrong with the key of that version.
        reason: &'static str,
    },
    /// A row cannot be converted: its secrets do not open, its body does not deserialise, or its kind is unknown.
    #[error("{kind} {name} cannot be read: {reason}")]
    Unreadable {
        /// Kind of the row.
        kind: String,
        /// Name of the row.
        name: String,
        /// What is wrong with the row.
        reason: String,
    },
    /// The tenant's schema belongs to another Tenant resource.
    #[error("tenant {id} belongs to the Tenant with UID {owner}: only that one may change or drop it")]
    NotOwner {
        /// Id of the tenant.
        id: Uuid,
        /// UID of the Tenant resource that owns the schema.
        owner: String,
    },
    /// A tenant with another id is stored under this namespace and name.
    #[error("tenant {namespace}/{name} is stored with another id; remove that tenant first")]
    NameTaken {
        /// Namespace of the Tenant resource.
        namespace: String,
        /// Name of the Tenant resource.
        name: String,
    },
    /// Another process holds the writer's lock. Worth a retry: that process may end.
    #[error("the database is being written by another Centrex: {0}; this one waits until that one ends")]
    HeldByOther(String),
    /// This process lost the right to write, and must stop writing.
    #[error("this process may no longer write to the database: {0}")]
    Fenced(String),
    /// Other transactions changed the tenant in every attempt.
    #[error("tenant {0} was changed by another writer in each of 5 attempts")]
    Contended(Uuid),
}

impl StoreError {
    /// Category for metrics and logs. Its names are stable.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::UrlFile { .. } | Self::Unsuitable(_) => "configuration",
            Self::Login(_) => "login",
            Self::Unreachable { .. } => "unreachable",
            Self::Database { .. } => "database",
            Self::Older { .. }
            | Self::Newer { .. }
            | Self::MigrationDiffers { .. }
            | Self::Migration { .. } => "migration",
            Self::Key { .. } => "key",
            Self::Unreadable { .. } => "unreadable",
            Self::NotOwner { .. } | Self::NameTaken { .. } => "ownership",
            Self::HeldByOther(_) => "led",
            Self::Fenced(_) => "fenced",
            Self::Contended(_) => "contended",
        }
    }

    /// True when there is no connection: worth a retry with a new one.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Login(_))
    }

    /// True when waiting helps: Postgres cannot be reached, refuses the login, or is out of space, connections or
    /// the right to write for now, as during a failover; or another process writes.
    pub fn is_passing(&self) -> bool {
        const CLASSES: [&str; 6] = ["25", "40", "53", "55", "57", "58"];
        self.is_unreachable()
            || matches!(self, Self::HeldByOther(_))
            || self.sqlstate().is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class)))
    }

    /// SQLSTATE of the error (appendix A of Postgres' manual).
    fn sqlstate(&self) -> Option<std::borrow::Cow<'_, str>> {
        let (Self::Database { source, .. } | Self::Migration { source, .. }) = self else { return None };
        source.as_database_error()?.code()
    }

    /// True when the login lacks a right (SQLSTATE 42501). A connection may report this wrongly when the role was
    /// granted while the connection looked up its memberships: Postgres caches the old memberships until the
    /// connection ends or the next role is granted. A new connection reads them again.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Database { .. }) && self.sqlstate().is_some_and(|code| code == "42501")
    }

    /// True when the state of the server is the cause, and not the data: it is unreachable, full, read-only, not
    /// migrated or locked, or the login lacks a right (SQLSTATE classes, appendix A of Postgres' manual).
    pub fn is_outage(&self) -> bool {
        const CLASSES: [&str; 9] = ["08", "25", "28", "40", "42", "53", "55", "57", "58"];
        let Self::Database { source, .. } = self else { return true };
        let code = source.as_database_error().and_then(|error| error.code());
        code.is_none_or(|code| CLASSES.iter().any(|class| code.starts_with(class)))
    }

    /// True when a schema, table or role is missing, or may not be used (SQLSTATE classes 42 and 3F; 22023 for a
    /// role). In the schema of one tenant this says nothing about other tenants.
    pub fn is_of_schema(&self) -> bool {
        self.sqlstate().is_some_and(|code| ["42", "3F", "22023"].iter().any(|class| code.starts_with(class)))
    }

    pub(crate) fn unreadable(kind: &str, name: &str, reason: impl ToString) -> Self {
        Self::Unreadable { kind: kind.to_owned(), name: name.to_owned(), reason: reason.to_string() }
    }

    /// Tells a refused login and a lost connection from other errors of Postgres.
    pub(crate) fn from_sqlx(source: sqlx::Error, action: &'static str) -> Self {
        match source {
            source if refuses_login(&source) => Self::Login(source),
            source if lost(&source) => {
                Self::Unreachable { at: format!("any more, {action}"), reason: source.to_string() }
            }
            source => Self::Database { action, source },
        }
    }
}

/// Adds to an error of Postgres what Postgres was asked to do.
pub(crate) trait PgContext<T> {
    /// Converts the error. `action` completes "Postgres failed at".
    fn context(self, action: &'static str) -> Result<T, StoreError>;
}

impl<T> PgContext<T> for Result<T, sqlx::Error> {
    fn context(self, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::from_sqlx(source, action))
    }
}

/// True when the connection failed, or the server starts or shuts down (SQLSTATE class 57P).
pub(super) fn lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        _ => false,
    }
}

/// True when Postgres refuses the login (SQLSTATE class 28), or has no such database (3D).
pub(super) fn refuses_login(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("28") || code.starts_with("3D"))
}

/// Treats a connection that does not answer in time as lost.
pub(crate) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(lost_connection()))
}

/// The error of a connection that ended without one of its own.
pub(crate) fn lost_connection() -> StoreError {
    StoreError::Unreachable { at: "any more".to_owned(), reason: "the connection is lost".to_owned() }
}
