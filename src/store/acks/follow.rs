//! The reading side: every switch's reports, as they come.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{Ack, CHANNEL, Notice, SwitchInfo, SwitchState};
use crate::store::Reader;
use crate::store::error::{Doing, StoreError};

/// First and longest wait before another try.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How long switches may be silent. Time is Postgres' own.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often it is looked.
    pub look: Duration,
    /// After which a switch counts as silent.
    pub silent: Duration,
    /// After which it is forgotten.
    pub gone: Duration,
}

impl Default for Patience {
    /// Sidecars report every five seconds.
    fn default() -> Self {
        Self { look: Duration::from_secs(5), silent: Duration::from_secs(30), gone: Duration::from_secs(600) }
    }
}

/// Whoever no longer takes news ends the following.
struct Over;

/// What is known of a switch.
struct Known {
    instance: Uuid,
    silent: bool,
}

/// Follows all switches' reports until stopped; a connection that is lost is made again for ever,
/// and everything is read anew then.
pub async fn follow_acks(
    reader: Reader,
    patience: Patience,
    acks: mpsc::Sender<Ack>,
    stop: CancellationToken,
) {
    let mut wait = FIRST_RETRY;
    loop {
        let mut follower = Follower { pool: reader.pool(), patience, acks: &acks, known: HashMap::new() };
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = follower.follow() => ended,
        };
        match ended {
            Ok(Over) => return,
            Err(cause) => warn!(category = cause.category(), %cause, "switches' reports; trying again"),
        }
        if !follower.known.is_empty() {
            wait = FIRST_RETRY;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_RETRY),
        }
    }
}

struct Follower<'a> {
    pool: &'a PgPool,
    patience: Patience,
    acks: &'a mpsc::Sender<Ack>,
    known: HashMap<String, Known>,
}

/// A row of `public.switches`, with the seconds since it was heard.
type Row = (String, Uuid, Option<String>, Option<String>, i64, f64);

impl Follower<'_> {
    async fn follow(&mut self) -> Result<Over, StoreError> {
        // A pool of its own, of one: the listener keeps its connection.
        let options = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5));
        let pool = options.connect_lazy_with((*self.pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&pool).await.doing("listening to switches")?;
        listener.listen(CHANNEL).await.doing("listening to switches")?;
        if self.reset().await?.is_err() {
            return Ok(Over);
        }
        let mut look = tokio::time::interval(self.patience.look);
        loop {
            let sent = tokio::select! {
                notification = listener.try_recv() => match notification.doing("listening to switches")? {
                    Some(notification) => self.notice(notification.payload()).await?,
                    // The connection was lost and made again: what was said meanwhile is read.
                    None => self.reset().await?,
                },
                _ = look.tick() => self.look().await?,
            };
            if sent.is_err() {
                return Ok(Over);
            }
        }
    }

    async fn send(&self, ack: Ack) -> Result<(), Over> {
        self.acks.send(ack).await.map_err(|_| Over)
    }

    async fn rows(&self) -> Result<Vec<Row>, StoreError> {
        sqlx::query_as(
            "SELECT name, instance, hostname, version, platform_revision,
                    extract(epoch FROM now() - last_seen)::float8
             FROM public.switches ORDER BY name",
        )
        .fetch_all(self.pool)
        .await
        .doing("reading switches")
    }

    async fn reset(&mut self) -> Result<Result<(), Over>, StoreError> {
        let rows = self.rows().await?;
        let mut all = Vec::new();
        let mut silent = Vec::new();
        self.known.clear();
        for row in rows.into_iter().filter(|row| row.5 < self.patience.gone.as_secs_f64()) {
            let is_silent = row.5 >= self.patience.silent.as_secs_f64();
            if is_silent {
                silent.push(row.0.clone());
            }
            self.known.insert(row.0.clone(), Known { instance: row.1, silent: is_silent });
            all.push(self.state(row).await?);
        }
        let mut sent = self.send(Ack::Reset(all)).await;
        for name in silent {
            sent = sent.and(self.send(Ack::Silent(name)).await);
        }
        Ok(sent)
    }

    async fn state(&self, row: Row) -> Result<(SwitchInfo, SwitchState), StoreError> {
        let (name, _, hostname, version, platform, _) = row;
        let tenants: Vec<(Uuid, i64)> =
            sqlx::query_as("SELECT tenant_id, revision FROM public.switch_state WHERE switch = $1")
                .bind(&name)
                .fetch_all(self.pool)
                .await
                .doing("reading what a switch holds")?;
        let state = SwitchState { platform, tenants: tenants.into_iter().collect() };
        Ok((SwitchInfo { name, hostname, version }, state))
    }

    async fn notice(&mut self, payload: &str) -> Result<Result<(), Over>, StoreError> {
        let Ok(notice) = serde_json::from_str::<Notice>(payload) else { return self.reset().await };
        let Notice { switch, platform, tenants, all, gone } = notice;
        if gone {
            self.known.remove(&switch);
            return Ok(self.send(Ack::Gone(switch)).await);
        }
        if all || self.known.get(&switch).is_none_or(|known| known.silent) {
            let Some(row) = self.rows().await?.into_iter().find(|row| row.0 == switch) else {
                return Ok(Ok(()));
            };
            self.known.insert(switch, Known { instance: row.1, silent: false });
            let (info, state) = self.state(row).await?;
            return Ok(self.send(Ack::Appeared(info, state)).await);
        }
        Ok(self.send(Ack::Revisions { switch, platform, tenants }).await)
    }

    /// Compares who was heard when.
    async fn look(&mut self) -> Result<Result<(), Over>, StoreError> {
        let rows = self.rows().await?;
        let (silent, gone) = (self.patience.silent.as_secs_f64(), self.patience.gone.as_secs_f64());
        let left: Vec<String> = self
            .known
            .keys()
            .filter(|name| !rows.iter().any(|row| row.0 == **name && row.5 < gone))
            .cloned()
            .collect();
        for name in left {
            self.known.remove(&name);
            if self.send(Ack::Gone(name)).await.is_err() {
                return Ok(Err(Over));
            }
        }
        for row in rows.into_iter().filter(|row| row.5 < gone) {
            let known = self.known.get(&row.0);
            let is_silent = row.5 >= silent;
            let ack = match known {
                Some(known) if known.instance == row.1 && known.silent == is_silent => continue,
                Some(known) if known.instance == row.1 && is_silent => {
                    self.known.insert(row.0.clone(), Known { instance: row.1, silent: true });
                    Ack::Silent(row.0)
                }
                None if is_silent => continue,
                _ => {
                    self.known.insert(row.0.clone(), Known { instance: row.1, silent: is_silent });
                    let (info, state) = self.state(row).await?;
                    Ack::Appeared(info, state)
                }
            };
            if self.send(ack).await.is_err() {
                return Ok(Err(Over));
            }
        }
        Ok(Ok(()))
    }
}
