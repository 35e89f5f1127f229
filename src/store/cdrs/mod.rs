//! Call records in Postgres. A switch adds them through a function of the tenant's schema that runs as the
//! tenant's role (migrations/tenant/0002_cdrs.sql), so that the switch's login needs no right to the table.
//! The leader removes old ones.

mod prune;

pub use prune::prune;

use std::fmt::Write;

use sha2::{Digest, Sha256};
use sqlx::postgres::PgHasArrayType;
use sqlx::{AssertSqlSafe, Encode, Postgres, Type};
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use super::{Reader, tenant_schema};

/// Result of inserting records.
#[derive(Debug, PartialEq, Eq)]
pub enum InsertedCdrs {
    /// All records are stored. The number of those that were new.
    Stored(u64),
    /// Nothing was stored: one of the tenants does not exist.
    NoTenant,
    /// Nothing was stored: a value of one record does not fit its column. What Postgres reported.
    Refused(String),
}

/// A record that belongs to no tenant, or cannot be stored.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Reason, from a fixed list of words (docs/cdrs.md).
    pub reason: &'static str,
    /// Reason in a sentence.
    pub detail: String,
    /// Tenant that a valid signature names.
    pub tenant: Option<Uuid>,
    /// UUID of the leg, where the record has one.
    pub uuid: Option<Uuid>,
    /// Time of receipt, in µs since 1970.
    pub received_us: i64,
    /// The record as it was posted.
    pub body: Vec<u8>,
}

impl Reader {
    /// Inserts records of the type `public.cdr` in one transaction; records that exist already are left as they are.
    /// `batches` has each tenant once, in order.
    ///
    /// # Errors
    /// When Postgres fails; worth a retry.
    pub async fn insert_cdrs<R>(&self, batches: &[(Uuid, Vec<R>)]) -> Result<InsertedCdrs, StoreError>
    where
        R: for<'q> Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        let mut sql = String::from("SELECT 0::bigint AS added");
        for (at, (tenant, _)) in (1..).zip(batches) {
            // Writing to a String does not fail.
            let _ = write!(sql, " UNION ALL SELECT {}.take_cdrs(${at})", tenant_schema(*tenant));
        }
        let sql = format!("SELECT sum(added)::bigint FROM ({sql}) AS taken");
        // The statement of several tenants is hardly ever used again.
        let mut query = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(batches.len() == 1);
        for (_, records) in batches {
            query = query.bind(records.as_slice());
        }
        let taken: Result<i64, _> = query.fetch_one(self.pool()).await;
        let code = |error: &sqlx::Error| Some(error.as_database_error()?.code()?.into_owned());
        match taken {
            Ok(new) => Ok(InsertedCdrs::Stored(u64::try_from(new).unwrap_or_default())),
            Err(error) => match code(&error).as_deref() {
                // invalid_schema_name
                Some("3F000") => Ok(InsertedCdrs::NoTenant),
                // Data exceptions, broken constraints, and what is too large for an index.
                Some(code) if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
                    Ok(InsertedCdrs::Refused(error.to_string()))
                }
                _ => Err(StoreError::from_sqlx(error, "storing call records")),
            },
        }
    }

    /// Inserts records into the quarantine; a record that exists already is left as it is.
    ///
    /// # Errors
    /// When Postgres fails; worth a retry.
    pub async fn quarantine_cdrs(&self, records: Vec<Quarantined>) -> Result<(), StoreError> {
        const QUARANTINING: &str = "putting call records into quarantine";
        let column = |of: fn(&Quarantined) -> String| records.iter().map(of).collect::<Vec<_>>();
        let mut transaction = self.pool().begin().await.context(QUARANTINING)?;
        // As `take_cdrs` does in its function.
        sqlx::query("SELECT public.commit_to_disk()")
            .execute(&mut *transaction)
            .await
            .context(QUARANTINING)?;
        sqlx::query(
            "INSERT INTO public.cdr_quarantine (digest, reason, detail, tenant_id, uuid, received_at, body)
             SELECT q.digest, q.reason, q.detail, q.tenant, q.uuid,
                    timestamptz 'epoch' + q.received * interval '1 microsecond', q.body
             FROM unnest($1::bytea[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[], $7::bytea[])
                  AS q (digest, reason, detail, tenant, uuid, received, body)
             ON CONFLICT DO NOTHING",
        )
        .bind(records.iter().map(|record| Sha256::digest(&record.body).to_vec()).collect::<Vec<_>>())
        .bind(column(|record| record.reason.to_owned()))
        .bind(column(|record| record.detail.replace('\0', "")))
        .bind(records.iter().map(|record| record.tenant).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.uuid).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.received_us).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.body.as_slice()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await
        .context(QUARANTINING)?;
        transaction.commit().await.context(QUARANTINING)
    }
}
