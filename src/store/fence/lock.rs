//! The writer's advisory lock, and the connection that holds it.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Elected, WriterIdentity};
use crate::store::ACQUIRE_TIMEOUT;
use crate::store::error::{PgContext, StoreError};

/// Key of the lock: the letters `writer` in ASCII. Each database has one.
const LOCK: i64 = 0x7772_6974_6572;
/// Interval and timeout of the query that checks the connection. A closed connection is noticed at once, one
/// whose network failed is not.
const PING_INTERVAL: Duration = Duration::from_secs(3);
/// Attempts to take the lock while its previous holder is being ended.
const MAX_ATTEMPTS: u32 = 50;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(20);

/// Settings of the connection: Postgres notices soon when this process is gone, whatever its defaults, and does not
/// wait long for the previous writer's transactions.
const SETTINGS: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2;
     SET tcp_keepalives_count = 3; SET idle_session_timeout = 0; SET lock_timeout = '5s'";

/// The held lock. Its connection is a listener, because a listener notices when the server closes it.
pub(super) struct Lock {
    pool: PgPool,
    connection: PgListener,
}

/// Holder of the lock, from `pg_stat_activity`.
struct Holder {
    backend: i32,
    application_name: String,
    address: Option<String>,
    since: Option<String>,
}

impl Lock {
    /// Acquires the lock. Ends an earlier leader of the same Lease that still holds it.
    ///
    /// # Errors
    /// [`StoreError::HeldByOther`] when a process of another Lease holds it, [`StoreError::Fenced`] when a later
    /// leader of the same Lease does; else when Postgres fails.
    pub async fn acquire(options: &PgConnectOptions, candidate: &WriterIdentity) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.clone());
        let mut connection = PgListener::connect_with(&pool).await.context("connecting")?;
        connection.eager_reconnect(false);
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await.context("preparing a connection")?;
        let mut lock = Self { pool, connection };
        match lock.try_acquire(candidate).await {
            Ok(()) => Ok(lock),
            Err(error) => {
                lock.close().await;
                Err(error)
            }
        }
    }

    async fn try_acquire(&mut self, candidate: &WriterIdentity) -> Result<(), StoreError> {
        let mut by = "a process that took and released the lock several times".to_owned();
        for _ in 0..MAX_ATTEMPTS {
            let acquired: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut self.connection)
                .await
                .context("taking the writer's lock")?;
            if acquired {
                // An earlier leader may have lost the lock while one of its transactions is still open.
                return self.end_earlier(candidate.elected.as_ref()).await;
            }
            if let Some(holder) = self.holder().await? {
                by = self.describe(&holder).await;
                let elected = candidate.elected.as_ref();
                match elected.and_then(|elected| elected.transition_of(&holder.application_name)) {
                    Some(later) if elected.is_some_and(|elected| later > elected.transition) => {
                        return Err(StoreError::Fenced(format!(
                            "a later leader of the same Lease writes: {by}"
                        )));
                    }
                    Some(_) => self.end_earlier(elected).await?,
                    None => return Err(StoreError::HeldByOther(by)),
                }
            }
            sleep(ATTEMPT_INTERVAL).await;
        }
        Err(StoreError::HeldByOther(by))
    }

    async fn holder(&mut self) -> Result<Option<Holder>, StoreError> {
        let row: Option<(i32, String, Option<String>, Option<String>)> = sqlx::query_as(
            "SELECT a.pid, a.application_name, host(a.client_addr), to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')
             FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (l.classid::bigint << 32) + l.objid::bigint = $1",
        )
        .bind(LOCK)
        .fetch_optional(&mut self.connection)
        .await
        .context("reading the holder of the writer's lock")?;
        Ok(row.map(|(backend, application_name, address, since)| Holder {
            backend,
            application_name,
            address,
            since,
        }))
    }

    /// Description of a holder for logs and errors.
    async fn describe(&mut self, holder: &Holder) -> String {
        // Before the first migration the table does not exist.
        let name: Option<String> = sqlx::query_scalar("SELECT holder FROM public.writer WHERE backend = $1")
            .bind(holder.backend)
            .fetch_optional(&mut self.connection)
            .await
            .unwrap_or_default();
        let address = holder.address.as_deref().unwrap_or("this machine");
        let since = holder.since.as_deref().unwrap_or("an unknown time");
        format!(
            "{} (application_name {}, process {} of Postgres, from {address}, since {since})",
            name.as_deref().unwrap_or("an unknown process"),
            holder.application_name,
            holder.backend
        )
    }

    /// Ends all connections of earlier leaders of the same Lease, including earlier terms of this process.
    async fn end_earlier(&mut self, elected: Option<&Elected>) -> Result<(), StoreError> {
        let Some(elected) = elected else { return Ok(()) };
        let all: Vec<(i32, String)> = sqlx::query_as(
            "SELECT pid, application_name FROM pg_stat_activity
             WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()",
        )
        .fetch_all(&mut self.connection)
        .await
        .context("looking for earlier leaders")?;
        let earlier = |(_, name): &(i32, String)| {
            elected.transition_of(name).is_some_and(|transition| transition <= elected.transition)
        };
        let backends: Vec<i32> = all.into_iter().filter(earlier).map(|(backend, _)| backend).collect();
        if backends.is_empty() {
            return Ok(());
        }
        tracing::warn!(?backends, "ending connections of an earlier leader of the same Lease");
        sqlx::query("SELECT pg_terminate_backend(backend) FROM unnest($1::integer[]) AS backend")
            .bind(backends)
            .execute(&mut self.connection)
            .await
            .context("ending an earlier leader")?;
        Ok(())
    }

    /// Begins a term. Waits for open transactions of the previous term.
    pub async fn raise_term(&mut self, candidate: &WriterIdentity) -> Result<i64, StoreError> {
        let elected = candidate.elected.as_ref();
        let raised: Result<Option<i64>, _> = sqlx::query_scalar(
            "UPDATE public.writer
             SET term = term + 1, holder = $1, lease = $2, transition = $3, backend = pg_backend_pid(), since = now()
             WHERE $2 IS NULL OR lease IS DISTINCT FROM $2 OR transition <= $3 RETURNING term",
        )
        .bind(&candidate.holder)
        .bind(elected.map(|elected| &elected.lease))
        .bind(elected.map(|elected| elected.transition))
        .fetch_optional(&mut self.connection)
        .await;
        match raised {
            Ok(Some(term)) => Ok(term),
            Ok(None) => Err(StoreError::Fenced("a later leader of the same Lease has written".to_owned())),
            Err(error) if is_lock_timeout(&error) => {
                Err(StoreError::HeldByOther("a transaction of the previous writer is still open".to_owned()))
            }
            Err(error) => Err(StoreError::from_sqlx(error, "beginning a term")),
        }
    }

    /// Holds the lock until its connection is lost or `end` is cancelled, and drops `lost` then.
    pub async fn hold(mut self, lost: DropGuard, end: CancellationToken) {
        if end.run_until_cancelled(self.wait_lost()).await.is_some() {
            tracing::warn!(
                "the connection that holds the writer's lock was lost: this process no longer writes"
            );
        }
        drop(lost);
        self.close().await;
    }

    /// Returns when the connection is lost.
    async fn wait_lost(&mut self) {
        let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        loop {
            tokio::select! {
                heard = self.connection.try_recv() => match heard {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return,
                },
                _ = ping.tick() => {
                    let answer = timeout(PING_INTERVAL, sqlx::query("SELECT").execute(&mut self.connection));
                    if !matches!(answer.await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    /// Closes the connection, which releases the lock.
    pub async fn close(self) {
        let Self { pool, connection } = self;
        drop(connection);
        // When the connection no longer answers, the server notices by its keepalives.
        let _ = timeout(PING_INTERVAL, pool.close()).await;
    }
}

/// SQLSTATE 55P03: `lock_timeout` ran out.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}
