//! What can go wrong with the store.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is not one.
    #[error("--database-url: {0}; allowed is postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url(String),
    /// The file that the URL is read from is not what it should be.
    #[error(
        "--database-url-file {path}: {reason}; allowed is a file with postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    UrlFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Postgres is there and does not let us in: the password is another one by now, or the database is not
    /// there. Worth another try: somebody may be restoring it.
    #[error("Postgres refuses the login (--database-url, --database-url-file): {0}")]
    Login(#[source] sqlx::Error),
    /// Nobody answers as Postgres there, now. Worth another try.
    #[error("Postgres cannot be reached {at} (--database-url): {reason}")]
    Unreachable {
        /// At which address, or when.
        at: String,
        /// Why.
        reason: String,
    },
    /// Postgres is there and says no.
    #[error("Postgres failed at {doing}: {source}")]
    Database {
        /// What was asked of it.
        doing: &'static str,
        /// What it said.
        source: sqlx::Error,
    },
    /// Postgres is too old, or the login may not do what is needed.
    #[error("--database-url: {0}")]
    Unsuitable(String),
    /// The database has not been migrated as far as this Centrex needs.
    #[error(
        "the database is at public migration {found}, and this Centrex needs {known}: the operator brings it up to date, or `centrex migrate`"
    )]
    Older {
        /// Version found.
        found: i32,
        /// Newest version known.
        known: i32,
    },
    /// The database was migrated by a newer Centrex.
    #[error(
        "the database is at {which} migration {found}, and this Centrex knows {known}: run the newer Centrex, or restore a backup"
    )]
    Newer {
        /// `public` or `tenant`.
        which: &'static str,
        /// Version found.
        found: i32,
        /// Newest version known.
        known: i32,
    },
    /// A migration that was applied is not the one of this binary.
    #[error(
        "{which} migration {version} in the database differs from the one of this Centrex: they are not of one line"
    )]
    MigrationDiffers {
        /// `public` or `tenant`.
        which: &'static str,
        /// Version.
        version: i32,
    },
    /// A migration failed; nothing of it is in the database, and the next start tries it again.
    #[error("migration {name} failed: {source}")]
    Migration {
        /// File name, and the schema for a tenant's.
        name: String,
        /// What Postgres said.
        source: sqlx::Error,
    },
    /// The key file is not the one of this database.
    #[error(
        "--encryption-key-file: this database was sealed with key version {version}, and {reason}; give the file it was sealed with"
    )]
    Key {
        /// Version of the key that is needed.
        version: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// A stored row cannot be read.
    #[error("{table} {name} cannot be read: {reason}")]
    Unreadable {
        /// Table.
        table: String,
        /// Name of the row.
        name: String,
        /// Why.
        reason: String,
    },
    /// The tenant's schema belongs to another Tenant resource.
    #[error("tenant {id} belongs to the Tenant with UID {owner}: only that one may change or drop it")]
    NotOwner {
        /// The tenant.
        id: Uuid,
        /// UID stamped on it.
        owner: String,
    },
    /// Another tenant is stored under this namespace and name.
    #[error("tenant {namespace}/{name} is stored with another id; that one has to be removed first")]
    NameTaken {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Somebody else writes to this database. Worth another try: it may end.
    #[error("the database is being written by another Centrex: {0}; this one waits until that has ended")]
    Led(String),
    /// Somebody else has begun to write since: this process has to stop.
    #[error("nothing is written by this process any more: {0}")]
    Fenced(String),
    /// Other writers came first, again and again.
    #[error("tenant {0} is being written by others all the time")]
    Contended(Uuid),
}

impl StoreError {
    /// The kind of error, stable, for metrics and logs.
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
            Self::Led(_) => "led",
            Self::Fenced(_) => "fenced",
            Self::Contended(_) => "contended",
        }
    }

    /// True when there is no connection to be had: worth another try, with a new one.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Login(_))
    }

    /// True when waiting helps: Postgres was not there or did not let us in, somebody else writes, or the
    /// server has no room, no connections or no right to write for the moment, as while it fails over.
    pub fn is_passing(&self) -> bool {
        const CLASSES: [&str; 6] = ["25", "40", "53", "55", "57", "58"];
        self.is_unreachable()
            || matches!(self, Self::Led(_))
            || self.sqlstate().is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class)))
    }

    /// Postgres' own code of what went wrong (appendix A of its manual).
    fn sqlstate(&self) -> Option<std::borrow::Cow<'_, str>> {
        let (Self::Database { source, .. } | Self::Migration { source, .. }) = self else { return None };
        source.as_database_error()?.code()
    }

    /// True when Postgres says that the login may not (SQLSTATE 42501). A connection says so of a
    /// role that was granted while it looked its memberships up: Postgres then keeps what it found
    /// first, for as long as the connection lasts or until the next grant.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Database { .. }) && self.sqlstate().is_some_and(|code| code == "42501")
    }

    /// True when it is the server's state that is wrong, not what it was given: it is away, full,
    /// read-only, not migrated, locked, or the login may not (SQLSTATE classes, appendix A of Postgres'
    /// manual).
    pub fn is_outage(&self) -> bool {
        const CLASSES: [&str; 9] = ["08", "25", "28", "40", "42", "53", "55", "57", "58"];
        let Self::Database { source, .. } = self else { return true };
        let code = source.as_database_error().and_then(|error| error.code());
        code.is_none_or(|code| CLASSES.iter().any(|class| code.starts_with(class)))
    }

    /// True when what was named may not be used, or is not there as it should be (SQLSTATE classes 42 and
    /// 3F; 22023 for a role): if that is so in the schema of one tenant, it says nothing of the others.
    pub fn is_of_schema(&self) -> bool {
        self.sqlstate().is_some_and(|code| ["42", "3F", "22023"].iter().any(|class| code.starts_with(class)))
    }

    pub(crate) fn unreadable(table: &str, name: &str, reason: impl ToString) -> Self {
        Self::Unreadable { table: table.to_owned(), name: name.to_owned(), reason: reason.to_string() }
    }

    /// Unreachable when the connection is what failed.
    pub(crate) fn from_sqlx(source: sqlx::Error, doing: &'static str) -> Self {
        match source {
            source if refuses_login(&source) => Self::Login(source),
            source if lost(&source) => {
                Self::Unreachable { at: format!("any more, {doing}"), reason: source.to_string() }
            }
            source => Self::Database { doing, source },
        }
    }
}

/// Says what was being done when Postgres failed.
pub(crate) trait Doing<T> {
    /// Turns the error into one of the store.
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::from_sqlx(source, doing))
    }
}

/// True when the connection failed, or the server is starting or going down (SQLSTATE class 57P).
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

/// True when Postgres does not let us in (SQLSTATE class 28), or has no such database (3D).
pub(super) fn refuses_login(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("28") || code.starts_with("3D"))
}

/// A connection that does not answer in time is a lost one.
pub(crate) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(lost_connection()))
}

/// What there is to say of a connection that broke off.
pub(crate) fn lost_connection() -> StoreError {
    StoreError::Unreachable { at: "any more".to_owned(), reason: "the connection is lost".to_owned() }
}
