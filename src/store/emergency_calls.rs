//! Emergency calls: added by the switches, announced by the operator.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::types::Json;
use uuid::Uuid;

use super::Reader;
use super::error::{PgContext, StoreError};
use crate::resources::emergency::EmergencyLocation;

/// Channel of the notifications of new rows. The payload is empty.
pub const CHANNEL: &str = "centrex_emergency";

/// Most rows that one read returns.
const MAX_BATCH: i64 = 100;
const RECORDING: &str = "recording an emergency call";
const READING: &str = "reading emergency calls";

/// An emergency call, as a switch records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyCallRecord {
    /// The caller's leg.
    pub uuid: Uuid,
    /// The emergency number.
    pub number: String,
    /// When it was called.
    pub called_at: Timestamp,
    /// The tenant.
    pub tenant: Uuid,
    /// Name of the Extension that called.
    pub extension: String,
    /// Its internal number.
    pub internal: Option<String>,
    /// The number that the emergency service is shown, in E.164 form.
    pub shown: Option<String>,
    /// The caller's location.
    pub location: Option<EmergencyLocation>,
}

/// A recorded call whose event was not raised yet, with its Tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct UnannouncedCall {
    /// The call.
    pub call: EmergencyCallRecord,
    /// The switch that took it.
    pub switch: String,
    /// Namespace, name and UID of the Tenant; `None` if it was dropped.
    pub tenant: Option<(String, String, String)>,
}

impl Reader {
    /// Adds an emergency call of a switch, and notifies the operator; does nothing if it was added before.
    ///
    /// # Errors
    /// When Postgres fails, or the login may not insert.
    pub async fn record_emergency_call(
        &self,
        call: &EmergencyCallRecord,
        switch: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool().begin().await.context(RECORDING)?;
        sqlx::query("SELECT public.commit_to_disk(), pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&mut *transaction)
            .await
            .context(RECORDING)?;
        sqlx::query(
            "INSERT INTO public.emergency_calls
                 (uuid, number, called_at, tenant_id, extension, internal, shown, location, switch)
             VALUES ($1, $2, timestamptz 'epoch' + $3 * interval '1 microsecond', $4, $5, $6, $7, $8, $9)
             ON CONFLICT DO NOTHING",
        )
        .bind(call.uuid)
        .bind(&call.number)
        .bind(call.called_at.as_microsecond())
        .bind(call.tenant)
        .bind(&call.extension)
        .bind(&call.internal)
        .bind(&call.shown)
        .bind(call.location.as_ref().map(Json))
        .bind(switch)
        .execute(&mut *transaction)
        .await
        .context(RECORDING)?;
        transaction.commit().await.context(RECORDING)
    }

    /// The oldest calls whose event was not raised yet.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn unannounced_emergency_calls(&self) -> Result<Vec<UnannouncedCall>, StoreError> {
        let rows = sqlx::query(
            "SELECT c.uuid, c.number, (extract(epoch FROM c.called_at) * 1000000)::bigint, c.tenant_id, c.extension,
                    c.internal, c.shown, c.location, c.switch, t.namespace, t.name, t.owner_uid
             FROM public.emergency_calls c LEFT JOIN public.tenants t ON t.id = c.tenant_id
             WHERE c.announced_at IS NULL ORDER BY c.called_at LIMIT $1",
        )
        .bind(MAX_BATCH)
        .fetch_all(self.pool())
        .await
        .context(READING)?;
        rows.iter().map(|row| unannounced(row).context(READING)).collect()
    }

    /// Records that the event of a call was raised.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn emergency_call_announced(&self, uuid: Uuid, number: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE public.emergency_calls SET announced_at = now() WHERE uuid = $1 AND number = $2")
            .bind(uuid)
            .bind(number)
            .execute(self.pool())
            .await
            .context("recording that an emergency call was announced")?;
        Ok(())
    }
}

fn unannounced(row: &sqlx::postgres::PgRow) -> Result<UnannouncedCall, sqlx::Error> {
    let location: Option<Json<EmergencyLocation>> = row.try_get(7)?;
    let owner: (Option<String>, Option<String>, Option<String>) =
        (row.try_get(9)?, row.try_get(10)?, row.try_get(11)?);
    Ok(UnannouncedCall {
        call: EmergencyCallRecord {
            uuid: row.try_get(0)?,
            number: row.try_get(1)?,
            called_at: Timestamp::from_microsecond(row.try_get(2)?).unwrap_or_default(),
            tenant: row.try_get(3)?,
            extension: row.try_get(4)?,
            internal: row.try_get(5)?,
            shown: row.try_get(6)?,
            location: location.map(|Json(location)| location),
        },
        switch: row.try_get(8)?,
        tenant: match owner {
            (Some(namespace), Some(name), Some(uid)) => Some((namespace, name, uid)),
            _ => None,
        },
    })
}
