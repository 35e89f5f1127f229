//! Plans read from Postgres: each plan as of one revision, each tenant in its own role.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, PgPool};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use super::migrate::{self, enter};
use super::records::{PLATFORM, PlanRecords, Prepared, RowRecord, RowRecords};
use super::revision_log;
use super::revision_log::Names;
use super::rows::{PLATFORM_TABLE, TENANT_TABLE};
use super::{ACQUIRE_TIMEOUT, StoreOptions, login, settings, tenant_schema};
use crate::plan::{PlatformPlan, TenantPlan, TenantRow};
use crate::secrets::keyring::Keyring;
use crate::secrets::signing_key::SigningKey;

/// One snapshot for all queries of a plan.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Kind, name, body as JSON, and sealed secrets of a row.
type RawRow = (String, String, String, Option<Vec<u8>>);

/// A revision: its number, and the fingerprint of the plan that it wrote. After a failover the same number may
/// stand for another plan; the fingerprint shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Goes up by one with every change; 0 before the first.
    pub number: i64,
    /// Fingerprint of the plan; empty before the first change.
    pub fingerprint: Vec<u8>,
}

impl Revision {
    /// The revision that a plan would be stored as. A plan that cannot be stored has an empty fingerprint.
    pub(crate) fn of_tenant(number: i64, keyring: &Keyring, plan: &TenantPlan) -> Self {
        let fingerprint = Prepared::of(keyring, plan).map(|prepared| prepared.fingerprint.to_vec());
        Self { number, fingerprint: fingerprint.unwrap_or_default() }
    }

    /// The same for the platform.
    pub(crate) fn of_platform(number: i64, keyring: &Keyring, plan: &PlatformPlan) -> Self {
        let fingerprints = plan.fingerprints(keyring, PLATFORM).unwrap_or_default();
        Self { number, fingerprint: fingerprints.of_plan(keyring, PLATFORM).to_vec() }
    }
}

/// Revisions of the platform and of all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Revision of the platform's rows.
    pub platform: Revision,
    /// Revisions of the tenants that are served, by id. Retained tenants are in `removed`.
    pub tenants: BTreeMap<Uuid, Revision>,
    /// Tenants that were retained or dropped, each with a number above all its revisions.
    pub removed: BTreeMap<Uuid, i64>,
}

impl Revision {
    /// True when this revision equals the other one or is later.
    pub fn follows(&self, other: &Self) -> bool {
        self.number > other.number || self == other
    }
}

impl Revisions {
    /// True when these revisions are not older than those that this process had written. `before` and `after` are
    /// what it had written before and after these were read: tenants that differ between the two changed during
    /// the read, and are not compared.
    pub(super) fn follows(&self, before: &Self, after: &Self) -> bool {
        let known = before.tenants.iter().filter(|(id, revision)| after.tenants.get(id) == Some(revision));
        let mut known = known.map(|(id, revision)| (self.tenants.get(id), revision));
        (before.platform != after.platform || self.platform.follows(&before.platform))
            && known.all(|(stored, known)| stored.is_some_and(|stored| stored.follows(known)))
    }
}

/// A tenant as `public.tenants` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantInfo {
    /// Id of the tenant.
    pub id: Uuid,
    /// Namespace of the Tenant resource.
    pub namespace: String,
    /// Name of the Tenant resource.
    pub name: String,
    /// UID of the Tenant resource.
    pub owner_uid: String,
    /// Number of the last revision.
    pub revision: i64,
    /// True when the Tenant resource was deleted and the data were kept.
    pub retained: bool,
}

/// Id of the tenant (`None` for the platform), number, fingerprint, and whether the tenant was removed.
type RevisionColumns = (Option<Uuid>, i64, Option<Vec<u8>>, bool);

/// The columns of a [`TenantInfo`].
type InfoColumns = (Uuid, String, String, String, i64, bool);

impl From<InfoColumns> for TenantInfo {
    fn from((id, namespace, name, owner_uid, revision, retained): InfoColumns) -> Self {
        Self { id, namespace, name, owner_uid, revision, retained }
    }
}

/// The reading side of a store. It migrates nothing, and connects on first use.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: PgPool,
    keyring: Arc<Keyring>,
    /// Task that updates the pool's login from a file.
    _login: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Reader {
    /// A reader that connects on first use.
    pub fn lazy(options: &StoreOptions) -> Self {
        let pool = options.pool();
        let login = options.url_file.clone().map(|path| Arc::new(login::follow(path, pool.clone())));
        Self { pool, keyring: options.keyring.clone(), _login: login }
    }

    /// The connection pool.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The keys of sealed values.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Reads the key that the dialplan is signed with, over a connection outside the pool. Checks before that the
    /// database has the migrations of this Centrex and was sealed with these keys.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] with the reason, [`StoreError::Older`] or [`StoreError::Newer`] when rows would
    /// be misread, [`StoreError::Key`] for a database that was sealed with other keys,
    /// [`StoreError::Unsuitable`] when the database has not been prepared yet.
    pub async fn signing_key(&self) -> Result<SigningKey, StoreError> {
        let mut connection = super::connect(&self.pool.connect_options()).await?;
        migrate::verify(&mut connection, migrate::PUBLIC, migrate::TENANT).await?;
        settings::verify_key(&mut connection, &self.keyring).await?;
        let key = settings::signing_key(&mut connection, &self.keyring).await?;
        connection.close().await.context("closing a connection")?;
        Ok(key)
    }

    /// A connection that listens on a channel. It does not reconnect by itself: the caller must read what was
    /// notified in between.
    ///
    /// # Errors
    /// When Postgres cannot be reached or fails.
    pub async fn listen(&self, channel: &str) -> Result<PgListener, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with((*self.pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&pool).await.context("connecting")?;
        listener.eager_reconnect(false);
        listener.listen(channel).await.context("listening")?;
        Ok(listener)
    }

    /// All tenants, including retained ones.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        let rows: Vec<InfoColumns> = sqlx::query_as(
            "SELECT id, namespace, name, owner_uid, revision, retained_at IS NOT NULL
             FROM public.tenants ORDER BY namespace, name, id",
        )
        .fetch_all(&self.pool)
        .await
        .context("reading tenants")?;
        Ok(rows.into_iter().map(TenantInfo::from).collect())
    }

    /// The tenant of a namespace and name that is not retained.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tenant_named(&self, namespace: &str, name: &str) -> Result<Option<TenantInfo>, StoreError> {
        let row: Option<InfoColumns> = sqlx::query_as(
            "SELECT id, namespace, name, owner_uid, revision, false
             FROM public.tenants WHERE namespace = $1 AND name = $2 AND retained_at IS NULL",
        )
        .bind(namespace)
        .bind(name)
        .fetch_optional(&self.pool)
        .await
        .context("reading a tenant by its name")?;
        Ok(row.map(TenantInfo::from))
    }

    /// Revisions of the platform and of all tenants, read over the caller's connection.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn revisions(&self, executor: impl PgExecutor<'_>) -> Result<Revisions, StoreError> {
        let rows: Vec<RevisionColumns> = sqlx::query_as(
            "SELECT NULL::uuid, revision, fingerprint, false FROM public.platform
             UNION ALL SELECT id, revision, fingerprint, retained_at IS NOT NULL FROM public.tenants
             UNION ALL SELECT id, revision, NULL, true FROM public.removed_tenants",
        )
        .fetch_all(executor)
        .await
        .context("reading revisions")?;
        let mut revisions = Revisions::default();
        for (id, number, fingerprint, removed) in rows {
            let revision = Revision { number, fingerprint: fingerprint.unwrap_or_default() };
            match id {
                Some(id) if removed => {
                    let highest = revisions.removed.entry(id).or_default();
                    *highest = number.max(*highest);
                }
                Some(id) => drop(revisions.tenants.insert(id, revision)),
                None => revisions.platform = revision,
            }
        }
        Ok(revisions)
    }

    /// Reads the platform's rows.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when a row cannot be read; else when Postgres fails.
    pub async fn load_platform(&self) -> Result<(Revision, PlatformPlan), StoreError> {
        let mut connection = self.pool.acquire().await.context("connecting")?;
        let mut transaction = connection.begin_with(BEGIN).await.context("reading the platform")?;
        let (number, fingerprint): (i64, Option<Vec<u8>>) =
            sqlx::query_as("SELECT revision, fingerprint FROM public.platform")
                .fetch_one(&mut *transaction)
                .await
                .context("reading the platform")?;
        let rows = read(&mut transaction, PLATFORM_TABLE, PlatformPlan::KINDS).await?;
        transaction.commit().await.context("reading the platform")?;
        let mut plan = PlatformPlan::default();
        plan.load(self.open(PLATFORM, rows)?)?;
        Ok((Revision { number, fingerprint: fingerprint.unwrap_or_default() }, plan))
    }

    /// Reads a tenant; `None` when it does not exist or is retained.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when a row cannot be read; else when Postgres fails.
    pub async fn load_tenant(&self, id: Uuid) -> Result<Option<(Revision, TenantPlan)>, StoreError> {
        self.load_later(id, None).await
    }

    /// Like [`Reader::load_tenant`], but reads only rows that changed since `held` where the revision log covers
    /// the gap.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when a row cannot be read; else when Postgres fails.
    pub async fn load_later(
        &self,
        id: Uuid,
        held: Option<(&Revision, &TenantPlan)>,
    ) -> Result<Option<(Revision, TenantPlan)>, StoreError> {
        let mut pooled = self.pool.acquire().await.context("connecting")?;
        match self.load_over(&mut pooled, id, held).await {
            Err(error) if error.is_denied() => {
                // The connection may have cached its memberships before the role was granted.
                pooled.close_on_drop();
                let mut fresh = super::connect(&self.pool.connect_options()).await?;
                let loaded = self.load_over(&mut fresh, id, held).await;
                fresh.close().await.context("closing a connection")?;
                loaded
            }
            loaded => loaded,
        }
    }

    async fn load_over(
        &self,
        connection: &mut PgConnection,
        id: Uuid,
        held: Option<(&Revision, &TenantPlan)>,
    ) -> Result<Option<(Revision, TenantPlan)>, StoreError> {
        let mut transaction = connection.begin_with(BEGIN).await.context("reading a tenant")?;
        let Some(Entered { number, fingerprint, body, schema }) = enter_tenant(&mut transaction, id).await?
        else {
            return Ok(None);
        };
        let table = format!("{schema}{TENANT_TABLE}");
        let changed = match held {
            Some((held, plan)) => {
                revision_log::since(&mut transaction, &schema, held, number).await?.map(|names| (plan, names))
            }
            None => None,
        };
        let rows = match &changed {
            Some((_, names)) => read_named(&mut transaction, &table, names).await?,
            None => read(&mut transaction, &table, TenantPlan::KINDS).await?,
        };
        transaction.commit().await.context("reading a tenant")?;
        let scope = id.to_string();
        let tenant = tenant_row(&body, &scope)?;
        let rows = self.open(&scope, rows)?;
        let mut plan = match changed {
            Some((held, names)) => {
                let mut plan = TenantPlan { tenant, ..held.clone() };
                plan.remove(&names);
                plan
            }
            None => TenantPlan::empty(tenant),
        };
        plan.load(rows)?;
        Ok(Some((Revision { number, fingerprint: fingerprint.unwrap_or_default() }, plan)))
    }

    /// Unseals the secrets of rows.
    pub(super) fn open(&self, scope: &str, rows: Vec<RawRow>) -> Result<RowRecords, StoreError> {
        let mut records = RowRecords::default();
        for (kind, name, body, sealed) in rows {
            records.push(&kind, RowRecord::unseal(&self.keyring, scope, &kind, (name, body, sealed))?);
        }
        Ok(records)
    }
}

/// A tenant that is being read. The transaction has its role, where the login is a member of that role.
pub(super) struct Entered {
    number: i64,
    fingerprint: Option<Vec<u8>>,
    /// The tenant's own row as JSON.
    pub body: String,
    /// Prefix of a table's name: the schema with a dot, or nothing where the search path leads there.
    pub schema: String,
}

/// Finds a tenant and sets its role; `None` when it does not exist or is retained.
pub(super) async fn enter_tenant(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Entered>, StoreError> {
    let tenant: Option<(i64, Option<Vec<u8>>, String, bool)> = sqlx::query_as(
        "SELECT revision, fingerprint, body::text,
                coalesce(pg_has_role(to_regrole(role_name)::oid, 'MEMBER'), false)
         FROM public.tenants WHERE id = $1 AND retained_at IS NULL",
    )
    .bind(id)
    .fetch_optional(&mut *connection)
    .await
    .context("reading a tenant")?;
    let Some((number, fingerprint, body, member)) = tenant else { return Ok(None) };
    // A login that may only read is a member of no tenant's role: it names the schema instead.
    let schema = if member { String::new() } else { format!("{}.", tenant_schema(id)) };
    if member {
        sqlx::raw_sql(AssertSqlSafe(enter(id)))
            .execute(connection)
            .await
            .context("setting a tenant's role")?;
    }
    Ok(Some(Entered { number, fingerprint, body, schema }))
}

pub(super) fn tenant_row(body: &str, scope: &str) -> Result<TenantRow, StoreError> {
    serde_json::from_str(body).map_err(|error| StoreError::unreadable("Tenant", scope, error))
}

/// Reads all rows of these kinds. Rows of other kinds were written by a newer version.
pub(super) async fn read(
    connection: &mut PgConnection,
    table: &str,
    kinds: &[&'static str],
) -> Result<Vec<RawRow>, StoreError> {
    let sql = format!("SELECT kind, name, body::text, sealed FROM {table} WHERE kind = ANY($1)");
    sqlx::query_as(AssertSqlSafe(sql)).bind(kinds).fetch_all(connection).await.context("reading rows")
}

/// Reads the rows of these names.
pub(super) async fn read_named(
    connection: &mut PgConnection,
    table: &str,
    names: &Names,
) -> Result<Vec<RawRow>, StoreError> {
    let sql = format!(
        "SELECT kind, name, body::text, sealed FROM {table}
         WHERE (kind, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
    );
    let (kinds, names) = columns(names);
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(kinds)
        .bind(names)
        .fetch_all(connection)
        .await
        .context("reading rows")
}

/// Kinds and names of rows, as two arrays of the same length.
pub(super) fn columns(names: &Names) -> (Vec<&str>, Vec<&str>) {
    names.iter().flat_map(|(kind, names)| names.iter().map(|name| (kind.as_str(), name.as_str()))).unzip()
}
