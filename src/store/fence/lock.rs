//! The advisory lock of whoever writes, and the connection that holds it.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Elected, WriterIdentity};
use crate::store::ACQUIRE_TIMEOUT;
use crate::store::error::{Doing, StoreError};

/// The lock, one a database: the letters `writer` in ASCII.
const LOCK: i64 = 0x7772_6974_6572;
/// How often the connection is tried, and how long its answer may take: a connection that ends says
/// so by itself, one whose network is gone does not.
const PING: Duration = Duration::from_secs(3);
/// How often the lock is tried again while whoever had it is being ended.
const ATTEMPTS: u32 = 50;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// What the connection asks of Postgres: to notice soon when we are gone, whatever the server's
/// defaults, and not to wait long for the last writer's transactions.
const SETTINGS: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2;
     SET tcp_keepalives_count = 3; SET idle_session_timeout = 0; SET lock_timeout = '5s'";

/// The lock, held. A listener is a connection that notices when it ends.
pub(super) struct Lock {
    pool: PgPool,
    connection: PgListener,
}

/// Who holds the lock, as Postgres sees it.
struct Holder {
    backend: i32,
    application_name: String,
    address: Option<String>,
    since: Option<String>,
}

impl Lock {
    /// Takes the lock; of an earlier leader of the same Lease by ending it.
    pub async fn take(options: &PgConnectOptions, candidate: &WriterIdentity) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.clone());
        let mut connection = PgListener::connect_with(&pool).await.doing("connecting")?;
        connection.eager_reconnect(false);
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await.doing("preparing a connection")?;
        let mut lock = Self { pool, connection };
        match lock.try_take(candidate).await {
            Ok(()) => Ok(lock),
            Err(error) => {
                lock.close().await;
                Err(error)
            }
        }
    }

    async fn try_take(&mut self, candidate: &WriterIdentity) -> Result<(), StoreError> {
        let mut by = "somebody who comes and goes".to_owned();
        for _ in 0..ATTEMPTS {
            let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut self.connection)
                .await
                .doing("taking the writer's lock")?;
            if taken {
                // Its lock may be free while a transaction of its own still hangs.
                return self.end_earlier(candidate.elected.as_ref()).await;
            }
            if let Some(holder) = self.holder().await? {
                by = self.describe(&holder).await;
                let elected = candidate.elected.as_ref();
                match elected.and_then(|elected| elected.transition_of(&holder.application_name)) {
                    Some(later) if elected.is_some_and(|elected| later > elected.transition) => {
                        return Err(StoreError::Fenced(format!("a later leader writes: {by}")));
                    }
                    Some(_) => self.end_earlier(elected).await?,
                    None => return Err(StoreError::Led(by)),
                }
            }
            sleep(ATTEMPT_PAUSE).await;
        }
        Err(StoreError::Led(by))
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
        .doing("asking who writes")?;
        Ok(row.map(|(backend, application_name, address, since)| Holder {
            backend,
            application_name,
            address,
            since,
        }))
    }

    /// For people.
    async fn describe(&mut self, holder: &Holder) -> String {
        // Before the first migration there is nobody to name.
        let name: Option<String> = sqlx::query_scalar("SELECT holder FROM public.writer WHERE backend = $1")
            .bind(holder.backend)
            .fetch_optional(&mut self.connection)
            .await
            .unwrap_or_default();
        let address = holder.address.as_deref().unwrap_or("this machine");
        let since = holder.since.as_deref().unwrap_or("some time");
        format!(
            "{} (application_name {}, process {} of Postgres, from {address}, since {since})",
            name.as_deref().unwrap_or("somebody"),
            holder.application_name,
            holder.backend
        )
    }

    /// Ends every connection of earlier leaders of the same Lease. An earlier leader of our own
    /// process is among them.
    async fn end_earlier(&mut self, elected: Option<&Elected>) -> Result<(), StoreError> {
        let Some(elected) = elected else { return Ok(()) };
        let all: Vec<(i32, String)> = sqlx::query_as(
            "SELECT pid, application_name FROM pg_stat_activity
             WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()",
        )
        .fetch_all(&mut self.connection)
        .await
        .doing("looking for earlier leaders")?;
        let earlier = |(_, name): &(i32, String)| {
            elected.transition_of(name).is_some_and(|transition| transition <= elected.transition)
        };
        let backends: Vec<i32> = all.into_iter().filter(earlier).map(|(backend, _)| backend).collect();
        if backends.is_empty() {
            return Ok(());
        }
        tracing::warn!(?backends, "ending connections of a leader whose lease is over");
        sqlx::query("SELECT pg_terminate_backend(backend) FROM unnest($1::integer[]) AS backend")
            .bind(backends)
            .execute(&mut self.connection)
            .await
            .doing("ending an earlier leader")?;
        Ok(())
    }

    /// Begins a term. It waits for transactions of the last one that are still under way.
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
            Ok(None) => Err(StoreError::Fenced("a later leader of the same lease has written".to_owned())),
            Err(error) if is_lock_timeout(&error) => {
                Err(StoreError::Led("a transaction of the last writer, which has not ended".to_owned()))
            }
            Err(error) => Err(StoreError::from_sqlx(error, "beginning a term")),
        }
    }

    /// Holds the lock until it is lost or told to end; `lost` is dropped then.
    pub async fn keep(mut self, lost: DropGuard, end: CancellationToken) {
        if end.run_until_cancelled(self.lives()).await.is_some() {
            tracing::warn!(
                "the connection that holds the writer's lock was lost: nothing is written any more"
            );
        }
        drop(lost);
        self.close().await;
    }

    /// Returns when the connection is gone.
    async fn lives(&mut self) {
        let mut ping = interval_at(Instant::now() + PING, PING);
        loop {
            tokio::select! {
                heard = self.connection.try_recv() => match heard {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return,
                },
                _ = ping.tick() => {
                    let answer = timeout(PING, sqlx::query("SELECT").execute(&mut self.connection));
                    if !matches!(answer.await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    /// Closes the connection, and with it goes the lock.
    pub async fn close(self) {
        let Self { pool, connection } = self;
        drop(connection);
        // The connection may not answer any more; then it is the server that finds it gone.
        let _ = timeout(PING, pool.close()).await;
    }
}

/// SQLSTATE 55P03: `lock_timeout` ran out.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}
