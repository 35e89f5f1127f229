//! Devices whose absence is announced: recorded by the switches, announced by the operator.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::Reader;
use super::error::{PgContext, StoreError};
use crate::plan::heartbeat::SILENT_AFTER;

/// How long the records must have been readable, and a switch must have reported, before an absence is believed. The
/// switches record each half minute who is registered; after an outage of Postgres they need a moment.
const TRUSTED_AFTER: Duration = Duration::from_secs(90);
/// Most alerts of one read.
const MAX_BATCH: i64 = 100;
const READING: &str = "reading Devices that are offline";

/// What happened to a Device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// None of its lines has been registered for as long as its `alertWhenOffline` says.
    Offline,
    /// One of its lines is registered again.
    Online,
}

/// A Device whose presence is to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAlert {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Namespace of the Tenant and of the Device.
    pub namespace: String,
    /// Name of the Device.
    pub device: String,
    /// What happened.
    pub presence: Presence,
    /// When one of its lines was registered last.
    pub registered_at: Timestamp,
}

/// Reads who is offline, once that can be believed.
#[derive(Debug, Default)]
pub struct DeviceAlerts {
    /// Since when the records can be read and a switch reports.
    reported_since: Option<Instant>,
}

impl DeviceAlerts {
    /// The Devices whose presence is to be announced now. None while no switch reports, and for a while after that.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn due(&mut self, reader: &Reader) -> Result<Vec<DeviceAlert>, StoreError> {
        let reports = reader.has_switch().await;
        if !matches!(reports, Ok(true)) {
            self.reported_since = None;
            return reports.map(|_| Vec::new());
        }
        let since = *self.reported_since.get_or_insert_with(Instant::now);
        if since.elapsed() < TRUSTED_AFTER {
            return Ok(Vec::new());
        }
        reader.due_device_alerts().await.inspect_err(|_| self.reported_since = None)
    }
}

impl Reader {
    /// Whether any switch reports.
    async fn has_switch(&self) -> Result<bool, StoreError> {
        sqlx::query(
            "SELECT EXISTS (SELECT FROM public.switches WHERE last_seen > now() - make_interval(secs => $1))",
        )
        .bind(SILENT_AFTER.as_secs_f64())
        .fetch_one(self.pool())
        .await
        .and_then(|row| row.try_get(0))
        .context(READING)
    }

    /// Devices of served tenants that went offline or came back.
    async fn due_device_alerts(&self) -> Result<Vec<DeviceAlert>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.tenant_id, t.namespace, a.device, a.announced_at IS NULL,
                    (extract(epoch FROM a.registered_at) * 1000000)::bigint
             FROM public.device_alerts a JOIN public.tenants t ON t.id = a.tenant_id
             WHERE NOT t.suspended AND t.retained_at IS NULL
               AND CASE WHEN a.announced_at IS NULL
                        THEN a.registered_at < now() - make_interval(mins => a.minutes)
                        ELSE a.registered_at > a.announced_at END
             ORDER BY a.registered_at LIMIT $1",
        )
        .bind(MAX_BATCH)
        .fetch_all(self.pool())
        .await
        .context(READING)?;
        let alert = |row: &sqlx::postgres::PgRow| {
            Ok(DeviceAlert {
                tenant_id: row.try_get(0)?,
                namespace: row.try_get(1)?,
                device: row.try_get(2)?,
                presence: if row.try_get(3)? { Presence::Offline } else { Presence::Online },
                registered_at: Timestamp::from_microsecond(row.try_get(4)?).unwrap_or_default(),
            })
        };
        rows.iter().map(|row| alert(row).context(READING)).collect()
    }

    /// Records that a Device's presence was announced.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn device_announced(&self, alert: &DeviceAlert) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE public.device_alerts SET announced_at = CASE WHEN $3 THEN now() END
             WHERE tenant_id = $1 AND device = $2",
        )
        .bind(alert.tenant_id)
        .bind(&alert.device)
        .bind(alert.presence == Presence::Offline)
        .execute(self.pool())
        .await
        .context("recording that a Device was announced")?;
        Ok(())
    }

    /// Removes the record of a Device that is gone, or whose absence is not announced any more.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn forget_device(&self, alert: &DeviceAlert) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM public.device_alerts WHERE tenant_id = $1 AND device = $2")
            .bind(alert.tenant_id)
            .bind(&alert.device)
            .execute(self.pool())
            .await
            .context("removing the record of a Device")?;
        Ok(())
    }
}
