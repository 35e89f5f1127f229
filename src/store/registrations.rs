//! Registrations of phones: each switch writes its own, for the REST API and the portal. Devices whose absence is
//! announced are recorded with the time at which they were registered last.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::Reader;
use super::error::{PgContext, StoreError};

/// Most rows of one statement.
const BATCH: usize = 1000;
/// Hours after which an expired row of a switch that is gone is removed.
const EXPIRED_HOURS: i32 = 1;
const WRITING: &str = "writing registrations";

/// Which registration of a switch it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RegistrationKey {
    /// Sofia profile.
    pub profile: String,
    /// SIP user.
    pub sip_user: String,
    /// Its domain, as the phone spells it.
    pub domain: String,
}

/// A registration, as a switch writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistrationRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Name of the Extension.
    pub extension: String,
    /// Name of the Device; `None` for the extension's own user.
    pub device: Option<String>,
    /// Address that its packets come from.
    pub address: Option<String>,
    /// Port that they come from.
    pub port: Option<i32>,
    /// What the phone says that it is.
    pub user_agent: String,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`; empty when unknown.
    pub transport: String,
    /// Call-ID of its REGISTER requests.
    pub call_id: Option<String>,
    /// When it began.
    pub registered_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// A registered Device whose absence is announced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchedDevice {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Name of the Device.
    pub device: String,
    /// Minutes without a registration until its absence is announced.
    pub minutes: i32,
}

/// A key and its row, as one JSON object.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    key: &'a RegistrationKey,
    #[serde(flatten)]
    row: &'a RegistrationRow,
}

impl Reader {
    /// Replaces all registrations of a switch. Removes those of other switches that expired an hour ago: they are gone.
    ///
    /// # Errors
    /// When Postgres fails, or the login may not write there.
    pub async fn replace_registrations(
        &self,
        switch: &str,
        rows: &BTreeMap<RegistrationKey, RegistrationRow>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool().begin().await.context(WRITING)?;
        sqlx::query(
            "DELETE FROM public.registrations
             WHERE switch = $1 OR expires_at < now() - make_interval(hours => $2)",
        )
        .bind(switch)
        .bind(EXPIRED_HOURS)
        .execute(&mut *transaction)
        .await
        .context(WRITING)?;
        upsert(&mut transaction, switch, &rows.iter().collect::<Vec<_>>()).await?;
        transaction.commit().await.context(WRITING)
    }

    /// Writes registrations of a switch that changed, and removes those that ended.
    ///
    /// # Errors
    /// As [`Reader::replace_registrations`].
    pub async fn change_registrations(
        &self,
        switch: &str,
        changed: &[(&RegistrationKey, &RegistrationRow)],
        gone: &[&RegistrationKey],
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool().begin().await.context(WRITING)?;
        upsert(&mut transaction, switch, changed).await?;
        for gone in gone.chunks(BATCH) {
            sqlx::query(
                "DELETE FROM public.registrations r
                 USING jsonb_to_recordset($2) AS g (profile text, sip_user text, domain text)
                 WHERE r.switch = $1 AND r.profile = g.profile AND r.sip_user = g.sip_user AND r.domain = g.domain",
            )
            .bind(switch)
            .bind(Json(gone))
            .execute(&mut *transaction)
            .await
            .context(WRITING)?;
        }
        transaction.commit().await.context(WRITING)
    }

    /// How many registrations of a switch Postgres has.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn count_registrations(&self, switch: &str) -> Result<usize, StoreError> {
        let action = "counting registrations";
        let count: i64 = sqlx::query("SELECT count(*) FROM public.registrations WHERE switch = $1")
            .bind(switch)
            .fetch_one(self.pool())
            .await
            .and_then(|row| row.try_get(0))
            .context(action)?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Records that Devices whose absence is announced are registered now.
    ///
    /// # Errors
    /// When Postgres fails, or the login may not write there.
    pub async fn record_watched_devices(&self, devices: &[WatchedDevice]) -> Result<(), StoreError> {
        let tenants: Vec<Uuid> = devices.iter().map(|device| device.tenant_id).collect();
        let names: Vec<&str> = devices.iter().map(|device| device.device.as_str()).collect();
        let minutes: Vec<i32> = devices.iter().map(|device| device.minutes).collect();
        sqlx::query(
            "INSERT INTO public.device_alerts (tenant_id, device, minutes, registered_at)
             SELECT d.tenant_id, d.device, d.minutes, now()
             FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS d (tenant_id, device, minutes)
             JOIN public.tenants t ON t.id = d.tenant_id
             ON CONFLICT (tenant_id, device) DO UPDATE SET minutes = excluded.minutes, registered_at = now()",
        )
        .bind(tenants)
        .bind(names)
        .bind(minutes)
        .execute(self.pool())
        .await
        .context("recording registered Devices")?;
        Ok(())
    }
}

async fn upsert(
    connection: &mut PgConnection,
    switch: &str,
    rows: &[(&RegistrationKey, &RegistrationRow)],
) -> Result<(), StoreError> {
    for rows in rows.chunks(BATCH) {
        let rows: Vec<_> = rows.iter().map(|(key, row)| Written { key, row }).collect();
        sqlx::query(
            "INSERT INTO public.registrations AS r
                 (switch, profile, tenant_id, sip_user, domain, extension, device, address, port, user_agent,
                  transport, call_id, registered_at, expires_at)
             SELECT $1, n.profile, n.tenant_id, n.sip_user, n.domain, n.extension, n.device, n.address, n.port,
                    n.user_agent, n.transport, n.call_id, n.registered_at, n.expires_at
             FROM jsonb_to_recordset($2) AS n
                 (profile text, tenant_id uuid, sip_user text, domain text, extension text, device text, address inet,
                  port integer, user_agent text, transport text, call_id text, registered_at timestamptz,
                  expires_at timestamptz)
             ON CONFLICT (switch, profile, sip_user, domain) DO UPDATE SET
                 tenant_id = excluded.tenant_id, extension = excluded.extension, device = excluded.device,
                 address = excluded.address, port = excluded.port, user_agent = excluded.user_agent,
                 transport = excluded.transport, call_id = excluded.call_id,
                 registered_at = excluded.registered_at, expires_at = excluded.expires_at",
        )
        .bind(switch)
        .bind(Json(rows))
        .execute(&mut *connection)
        .await
        .context(WRITING)?;
    }
    Ok(())
}
