//! The writing side: one sidecar's reports.

use std::collections::BTreeMap;

use sqlx::PgPool;
use uuid::Uuid;

use super::{CHANNEL, Notice, SwitchInfo};
use crate::store::Reader;
use crate::store::error::{Doing, StoreError};

/// Most bytes of a notification's payload; Postgres takes less than 8000.
const MAX_PAYLOAD: usize = 7900;

/// Reports for one switch, in the name of this process.
#[derive(Debug)]
pub struct Reporter {
    pool: PgPool,
    info: SwitchInfo,
    instance: Uuid,
    /// What was reported.
    platform: i64,
    tenants: BTreeMap<Uuid, i64>,
}

impl Reporter {
    /// A reporter that has not said anything yet.
    pub fn new(reader: &Reader, info: SwitchInfo) -> Self {
        let instance = Uuid::new_v4();
        Self { pool: reader.pool().clone(), info, instance, platform: 0, tenants: BTreeMap::new() }
    }

    /// Takes the name, from an older process if need be, with nothing held yet.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn register(&mut self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await.doing("connecting")?;
        sqlx::query(
            "INSERT INTO public.switches (name, instance, hostname, version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET instance = $2, hostname = $3, version = $4,
                 platform_revision = 0, started_at = now(), last_seen = now()",
        )
        .bind(&self.info.name)
        .bind(self.instance)
        .bind(&self.info.hostname)
        .bind(&self.info.version)
        .execute(&mut *transaction)
        .await
        .doing("registering a switch")?;
        sqlx::query("DELETE FROM public.switch_state WHERE switch = $1")
            .bind(&self.info.name)
            .execute(&mut *transaction)
            .await
            .doing("registering a switch")?;
        self.notify(&mut transaction, &Notice { all: true, ..self.notice() }).await?;
        transaction.commit().await.doing("registering a switch")?;
        (self.platform, self.tenants) = (0, BTreeMap::new());
        Ok(())
    }

    /// Reports what is held now, as far as it differs from what was reported, and that the switch
    /// is there. False when a younger process has taken the name.
    ///
    /// # Errors
    /// When Postgres fails; the next report makes up for it.
    pub async fn report(&mut self, platform: i64, tenants: BTreeMap<Uuid, i64>) -> Result<bool, StoreError> {
        let changed: Vec<(Uuid, i64)> = tenants
            .iter()
            .filter(|(id, revision)| self.tenants.get(id) != Some(revision))
            .map(|(id, revision)| (*id, *revision))
            .collect();
        let gone: Vec<Uuid> = self.tenants.keys().filter(|id| !tenants.contains_key(id)).copied().collect();
        let mut transaction = self.pool.begin().await.doing("connecting")?;
        let mine = sqlx::query(
            "UPDATE public.switches SET last_seen = now(), platform_revision = $3 WHERE name = $1 AND instance = $2",
        )
        .bind(&self.info.name)
        .bind(self.instance)
        .bind(platform)
        .execute(&mut *transaction)
        .await
        .doing("reporting what a switch holds")?;
        if mine.rows_affected() == 0 {
            return Ok(false);
        }
        if !changed.is_empty() {
            let (ids, revisions): (Vec<Uuid>, Vec<i64>) = changed.iter().copied().unzip();
            sqlx::query(
                "INSERT INTO public.switch_state (switch, tenant_id, revision)
                 SELECT $1, t.id, t.revision FROM unnest($2::uuid[], $3::bigint[]) AS t (id, revision)
                 ON CONFLICT (switch, tenant_id) DO UPDATE SET revision = excluded.revision",
            )
            .bind(&self.info.name)
            .bind(ids)
            .bind(revisions)
            .execute(&mut *transaction)
            .await
            .doing("reporting what a switch holds")?;
        }
        if !gone.is_empty() {
            sqlx::query("DELETE FROM public.switch_state WHERE switch = $1 AND tenant_id = ANY($2)")
                .bind(&self.info.name)
                .bind(&gone)
                .execute(&mut *transaction)
                .await
                .doing("reporting what a switch holds")?;
        }
        let news = changed.iter().map(|(id, revision)| (*id, Some(*revision)));
        let news: Vec<_> = news.chain(gone.iter().map(|id| (*id, None))).collect();
        let moved = (platform != self.platform).then_some(platform);
        if moved.is_some() || !news.is_empty() {
            self.notify(&mut transaction, &Notice { platform: moved, tenants: news, ..self.notice() })
                .await?;
        }
        transaction.commit().await.doing("reporting what a switch holds")?;
        (self.platform, self.tenants) = (platform, tenants);
        Ok(true)
    }

    /// Says that the switch has ended.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await.doing("connecting")?;
        let mine = sqlx::query("DELETE FROM public.switches WHERE name = $1 AND instance = $2")
            .bind(&self.info.name)
            .bind(self.instance)
            .execute(&mut *transaction)
            .await
            .doing("taking a switch's report back")?;
        if mine.rows_affected() > 0 {
            self.notify(&mut transaction, &Notice { gone: true, ..self.notice() }).await?;
        }
        transaction.commit().await.doing("taking a switch's report back")
    }

    fn notice(&self) -> Notice {
        Notice {
            switch: self.info.name.clone(),
            platform: None,
            tenants: Vec::new(),
            all: false,
            gone: false,
        }
    }

    async fn notify(&self, connection: &mut sqlx::PgConnection, notice: &Notice) -> Result<(), StoreError> {
        let text = |notice: &Notice| serde_json::to_string(notice).unwrap_or_default();
        let mut payload = text(notice);
        if payload.len() > MAX_PAYLOAD {
            payload = text(&Notice { all: true, ..self.notice() });
        }
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(payload)
            .execute(connection)
            .await
            .doing("notifying")?;
        Ok(())
    }
}
