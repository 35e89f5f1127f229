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

use super::error::{Doing, StoreError};
use super::{Reader, tenant_schema};

/// What became of records.
#[derive(Debug, PartialEq, Eq)]
pub enum InsertedCdrs {
    /// They are there now; so many were not before.
    Stored(u64),
    /// One of the tenants is not there, and so none was kept.
    NoTenant,
    /// Postgres cannot keep one of them, and so kept none: a value is not what its column holds.
    Refused(String),
}

/// A record that has no place.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, in words.
    pub detail: String,
    /// The tenant that a right signature names.
    pub tenant: Option<Uuid>,
    /// Of the leg.
    pub uuid: Option<Uuid>,
    /// When, in µs since 1970.
    pub received_us: i64,
    /// All of it.
    pub body: Vec<u8>,
}

impl Reader {
    /// Adds records, of the type `public.cdr`, to tenants, which come in order and each once, in one
    /// transaction; what is there already stays as it is.
    ///
    /// # Errors
    /// When Postgres fails: worth another try.
    pub async fn take_cdrs<R>(&self, batches: &[(Uuid, Vec<R>)]) -> Result<InsertedCdrs, StoreError>
    where
        R: for<'q> Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        let mut sql = String::from("SELECT 0::bigint AS added");
        for (at, (tenant, _)) in (1..).zip(batches) {
            // Writing to a String does not fail.
            let _ = write!(sql, " UNION ALL SELECT {}.take_cdrs(${at})", tenant_schema(*tenant));
        }
        let sql = format!("SELECT sum(added)::bigint FROM ({sql}) AS taken");
        // Statements of several tenants are hardly ever the same twice.
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

    /// Keeps records that have no place; one that is there already stays as it is.
    ///
    /// # Errors
    /// When Postgres fails: worth another try.
    pub async fn quarantine_cdrs(&self, records: Vec<Quarantined>) -> Result<(), StoreError> {
        const QUARANTINING: &str = "putting call records into quarantine";
        let column = |of: fn(&Quarantined) -> String| records.iter().map(of).collect::<Vec<_>>();
        let mut transaction = self.pool().begin().await.doing(QUARANTINING)?;
        // As `take_cdrs` does itself.
        sqlx::query("SELECT public.commit_to_disk()").execute(&mut *transaction).await.doing(QUARANTINING)?;
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
        .doing(QUARANTINING)?;
        transaction.commit().await.doing(QUARANTINING)
    }
}
