//! Phones that fetch their configuration: their passwords, and the record of their fetches.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::Reader;
use super::error::{PgContext, StoreError};
use super::load::{BEGIN, Entered, enter_tenant, read_named};
use super::records::RowRecord;
use super::revision_log::Names;
use super::rows::TENANT_TABLE;
use crate::plan::Secrets;
use crate::resources::Kind;

const READING: &str = "reading the passwords of a phone";
const RECORDING: &str = "recording phones' fetches";
const ENROLLING: &str = "recording that a phone enrolls";
const PRUNING: &str = "removing old fetches of phones";

/// Fetches of a Device that are left.
const HISTORY: i64 = 50;
/// Results of requests with a right credential. They have a history of their own, which no stranger can fill.
const GRANTED: [&str; 4] = ["served", "not_modified", "not_made", "enrolled"];
/// Days that they are left.
const HISTORY_DAYS: i32 = 90;

/// A request of a known phone.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    /// The tenant.
    pub tenant: Uuid,
    /// Name of the Device.
    pub device: String,
    /// When.
    pub at: Timestamp,
    /// Address that it came from.
    pub address: IpAddr,
    /// What the phone called itself.
    pub user_agent: String,
    /// Name of the file.
    pub file: String,
    /// What came of it, a word.
    pub result: &'static str,
    /// Fingerprint of the phone's settings, if it has them now.
    pub fingerprint: Option<[u8; 32]>,
}

impl Reader {
    /// The secrets of a Device; `None` when the tenant or the Device does not exist.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when they were sealed with other keys; else when Postgres fails.
    pub async fn device_secrets(&self, tenant: Uuid, device: &str) -> Result<Option<Secrets>, StoreError> {
        let mut pooled = self.pool().acquire().await.context("connecting")?;
        match self.device_secrets_over(&mut pooled, tenant, device).await {
            Err(error) if error.is_denied() => {
                // The connection may have cached its memberships before the role was granted.
                pooled.close_on_drop();
                let mut fresh = super::connect(&self.pool().connect_options()).await?;
                let read = self.device_secrets_over(&mut fresh, tenant, device).await;
                fresh.close().await.context("closing a connection")?;
                read
            }
            read => read,
        }
    }

    async fn device_secrets_over(
        &self,
        connection: &mut PgConnection,
        tenant: Uuid,
        device: &str,
    ) -> Result<Option<Secrets>, StoreError> {
        let mut transaction = connection.begin_with(BEGIN).await.context(READING)?;
        let Some(Entered { schema, .. }) = enter_tenant(&mut transaction, tenant).await? else {
            return Ok(None);
        };
        let names = Names::from([(Kind::Device.as_str().to_owned(), [device.to_owned()].into())]);
        let rows = read_named(&mut transaction, &format!("{schema}{TENANT_TABLE}"), &names).await?;
        transaction.commit().await.context(READING)?;
        let Some((kind, name, body, sealed)) = rows.into_iter().next() else { return Ok(None) };
        let row = RowRecord::unseal(self.keyring(), &tenant.to_string(), &kind, (name, body, sealed))?;
        Ok(Some(row.secrets.map(Secrets::from_revealed).unwrap_or_default()))
    }

    /// Records that a phone gets its provisioning password in a window, which ends at `until`. False if it has got it
    /// in that window already, or the tenant does not exist: of several requests at one time, one gets true.
    ///
    /// # Errors
    /// When Postgres fails, or the login may not write.
    pub async fn enroll(&self, tenant: Uuid, device: &str, until: Timestamp) -> Result<bool, StoreError> {
        let recorded = sqlx::query(
            "INSERT INTO public.phones (tenant_id, device, enrolled_at, enrolled_window)
             SELECT id, $2, now(), timestamptz 'epoch' + $3 * interval '1 microsecond'
             FROM public.tenants WHERE id = $1
             ON CONFLICT (tenant_id, device) DO UPDATE
             SET enrolled_at = excluded.enrolled_at, enrolled_window = excluded.enrolled_window
             WHERE phones.enrolled_window IS DISTINCT FROM excluded.enrolled_window",
        )
        .bind(tenant)
        .bind(device)
        .bind(until.as_microsecond())
        .execute(self.pool())
        .await
        .context(ENROLLING)?;
        Ok(recorded.rows_affected() == 1)
    }

    /// The fingerprints of what Devices fetched last, by tenant and name. One that never fetched is missing.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn fetched_fingerprints(
        &self,
        devices: &[(Uuid, String)],
    ) -> Result<HashMap<(Uuid, String), [u8; 32]>, StoreError> {
        let (tenants, names): (Vec<Uuid>, Vec<&str>) =
            devices.iter().map(|(tenant, name)| (*tenant, name.as_str())).unzip();
        let rows: Vec<(Uuid, String, Vec<u8>)> = sqlx::query_as(
            "SELECT p.tenant_id, p.device, p.fingerprint FROM public.phones p
             JOIN unnest($1::uuid[], $2::text[]) AS d (tenant, device)
                  ON p.tenant_id = d.tenant AND p.device = d.device
             WHERE p.fingerprint IS NOT NULL",
        )
        .bind(tenants)
        .bind(names)
        .fetch_all(self.pool())
        .await
        .context("reading what phones fetched")?;
        let each = rows
            .into_iter()
            .map(|(tenant, device, fingerprint)| Some(((tenant, device), fingerprint.try_into().ok()?)));
        Ok(each.flatten().collect())
    }

    /// Adds fetches to the history, and updates what each phone has. Those of tenants that were dropped meanwhile are
    /// left out.
    ///
    /// # Errors
    /// When Postgres fails, or the login may not write.
    pub async fn record_fetches(&self, fetches: &[Fetch]) -> Result<(), StoreError> {
        let mut transaction = self.pool().begin().await.context(RECORDING)?;
        let column = Columns::of(fetches.iter());
        sqlx::query(
            "INSERT INTO public.phone_fetches (tenant_id, device, fetched_at, address, user_agent, file, result)
             SELECT t.id, f.device, timestamptz 'epoch' + f.at * interval '1 microsecond', f.address::inet, f.user_agent,
                    f.file, f.result
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
                  AS f (tenant, device, at, address, user_agent, file, result)
             JOIN public.tenants t ON t.id = f.tenant ORDER BY f.at",
        )
        .bind(&column.tenants)
        .bind(&column.devices)
        .bind(&column.times)
        .bind(&column.addresses)
        .bind(&column.user_agents)
        .bind(fetches.iter().map(|fetch| fetch.file.as_str()).collect::<Vec<_>>())
        .bind(fetches.iter().map(|fetch| fetch.result).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await
        .context(RECORDING)?;
        sqlx::query(
            "DELETE FROM public.phone_fetches old
             USING (SELECT DISTINCT tenant, device FROM unnest($1::uuid[], $2::text[]) AS f (tenant, device)) f
             CROSS JOIN (VALUES (true), (false)) AS c (granted)
             WHERE old.tenant_id = f.tenant AND old.device = f.device AND (old.result = ANY($4)) = c.granted
                 AND old.id <=
                 (SELECT id FROM public.phone_fetches WHERE tenant_id = f.tenant AND device = f.device
                      AND (result = ANY($4)) = c.granted
                  ORDER BY id DESC OFFSET $3 LIMIT 1)",
        )
        .bind(&column.tenants)
        .bind(&column.devices)
        .bind(HISTORY)
        .bind(GRANTED)
        .execute(&mut *transaction)
        .await
        .context(RECORDING)?;
        let with_settings = fetches.iter().filter(|fetch| fetch.fingerprint.is_some());
        let column = Columns::of(with_settings.clone());
        let fingerprints: Vec<&[u8]> =
            with_settings.filter_map(|fetch| fetch.fingerprint.as_ref().map(<[u8; 32]>::as_slice)).collect();
        // One row a phone, the last: a row cannot be updated twice by one statement. In order, so that two writers
        // never wait for each other.
        sqlx::query(
            "INSERT INTO public.phones AS p (tenant_id, device, fetched_at, address, user_agent, fingerprint)
             SELECT DISTINCT ON (t.id, f.device) t.id, f.device,
                    timestamptz 'epoch' + f.at * interval '1 microsecond', f.address::inet, f.user_agent, f.fingerprint
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[])
                  AS f (tenant, device, at, address, user_agent, fingerprint)
             JOIN public.tenants t ON t.id = f.tenant ORDER BY t.id, f.device, f.at DESC
             ON CONFLICT (tenant_id, device) DO UPDATE
             SET fetched_at = excluded.fetched_at, address = excluded.address, user_agent = excluded.user_agent,
                 fingerprint = excluded.fingerprint
             WHERE p.fetched_at IS NULL OR p.fetched_at < excluded.fetched_at",
        )
        .bind(&column.tenants)
        .bind(&column.devices)
        .bind(&column.times)
        .bind(&column.addresses)
        .bind(&column.user_agents)
        .bind(fingerprints)
        .execute(&mut *transaction)
        .await
        .context(RECORDING)?;
        transaction.commit().await.context(RECORDING)
    }

    /// Removes fetches, and phones, that are older than 90 days.
    ///
    /// # Errors
    /// When Postgres fails, or the login may not write.
    pub async fn prune_fetches(&self) -> Result<(), StoreError> {
        for (table, time) in
            [("phone_fetches", "fetched_at"), ("phones", "greatest(fetched_at, enrolled_at)")]
        {
            let sql = format!("DELETE FROM public.{table} WHERE {time} < now() - $1 * interval '1 day'");
            let delete = sqlx::query(AssertSqlSafe(sql)).bind(HISTORY_DAYS);
            delete.execute(self.pool()).await.context(PRUNING)?;
        }
        Ok(())
    }
}

/// Columns that both tables have.
#[derive(Default)]
struct Columns<'a> {
    tenants: Vec<Uuid>,
    devices: Vec<&'a str>,
    times: Vec<i64>,
    addresses: Vec<String>,
    user_agents: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(fetches: impl Iterator<Item = &'a Fetch>) -> Self {
        let mut columns = Self::default();
        for fetch in fetches {
            columns.tenants.push(fetch.tenant);
            columns.devices.push(&fetch.device);
            columns.times.push(fetch.at.as_microsecond());
            columns.addresses.push(fetch.address.to_string());
            columns.user_agents.push(&fetch.user_agent);
        }
        columns
    }
}
