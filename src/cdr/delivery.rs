//! Delivers records to Postgres: to the tables of their tenants, or into quarantine.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use super::attribution::{QuarantineReason, attribute};
use super::document::Document;
use super::metrics::CdrMetrics;
use super::record::Cdr;
use super::resource_names::ResourceNames;
use super::spool::Received;
use crate::replica::tenants::Replica;
use crate::secrets::signing_key::SigningKey;
use crate::store::cdrs::{InsertedCdrs, Quarantined};
use crate::store::error::in_time;
use crate::store::{Reader, StoreError};

/// Parses records and delivers them to Postgres. Clones share everything.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The key that our dialplan signs with, once it was loaded.
    pub key: Arc<OnceLock<SigningKey>>,
    /// Whether the documents are stored beside their fields.
    pub keep_xml: bool,
    /// Counts results.
    pub metrics: CdrMetrics,
    names: Arc<ResourceNames>,
}

/// A parsed record: its tenant and row, or why it goes into quarantine.
#[derive(Debug)]
pub struct Record {
    received: Received,
    attributed: Result<(Uuid, Cdr), QuarantineReason>,
}

/// Rows of one tenant, each with the record that it was parsed from.
type Batch = (Uuid, Vec<(Received, Cdr)>);

/// What to do with records that Postgres refuses although it is not down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefusal {
    /// Return the error, so that the caller tries again.
    Retry,
    /// Put the records into quarantine.
    Quarantine,
}

/// Why Postgres refused a batch.
enum BatchRefusal {
    /// A record in it belongs into quarantine.
    Quarantine(QuarantineReason),
    /// The tenant's schema is closed to this switch.
    SchemaClosed(StoreError),
}

impl BatchRefusal {
    /// Whether the reason applies to all records of the tenant.
    fn is_of_tenant(&self) -> bool {
        matches!(self, Self::SchemaClosed(_) | Self::Quarantine(QuarantineReason::TenantGone))
    }
}

impl Delivery {
    /// A delivery that resolves names of resources in a replica.
    pub fn new(
        key: Arc<OnceLock<SigningKey>>,
        replica: Arc<Replica>,
        keep_xml: bool,
        metrics: CdrMetrics,
    ) -> Self {
        Self { key, keep_xml, metrics, names: Arc::new(ResourceNames::new(replica)) }
    }

    /// Parses and attributes a record; `None` while the signing key is unknown.
    pub fn read(&self, received: Received) -> Option<Record> {
        let attributed = self.parse(self.key.get()?, &received);
        Some(Record { received, attributed })
    }

    fn parse(&self, key: &SigningKey, received: &Received) -> Result<(Uuid, Cdr), QuarantineReason> {
        let text = received.encoding.document(&received.body)?;
        let document = Document::parse(&text)?;
        let (tenant, caller) = attribute(key, &document)?;
        let mut cdr = Cdr::new(&document, &caller, received.at)?;
        self.names.fill_in(key, tenant, &caller, &mut cdr);
        cdr.xml = self.keep_xml.then(|| text.replace('\0', ""));
        Ok((tenant, cdr))
    }

    /// Delivers records to Postgres.
    ///
    /// # Errors
    /// Postgres is unreachable or refuses the records; `None` if its URL is not known yet. Some records may have
    /// been stored; storing them again changes nothing.
    pub async fn deliver(
        &self,
        reader: &OnceLock<Reader>,
        records: Vec<Record>,
        on_refusal: OnRefusal,
        timeout: Duration,
    ) -> Result<(), Option<StoreError>> {
        let Some(reader) = reader.get() else { return Err(None) };
        in_time(timeout, self.store(reader, records, on_refusal)).await.map_err(Some)
    }

    /// Stores the records of all tenants in one transaction. If Postgres refuses a tenant or a record,
    /// stores halves, so that the others do not wait for it.
    async fn store(
        &self,
        reader: &Reader,
        records: Vec<Record>,
        on_refusal: OnRefusal,
    ) -> Result<(), StoreError> {
        let gives_up = on_refusal == OnRefusal::Quarantine;
        let (mut by_tenant, mut quarantine) = (BTreeMap::<Uuid, Vec<_>>::new(), Vec::new());
        for Record { received, attributed } in records {
            match attributed {
                Ok((tenant, cdr)) => by_tenant.entry(tenant).or_default().push((received, cdr)),
                Err(why) => quarantine.push(quarantined(&received, None, None, &why)),
            }
        }
        let mut left: Vec<Vec<Batch>> = vec![by_tenant.into_iter().collect()];
        let (mut some_stored, mut refused) = (false, Vec::new());
        while let Some(batches) = left.pop().filter(|batches| !batches.is_empty()) {
            let why = match reader.insert_cdrs(&rows(&batches)).await {
                Ok(InsertedCdrs::Stored(new)) => {
                    self.count_stored(&batches, new);
                    some_stored = true;
                    continue;
                }
                Ok(InsertedCdrs::NoTenant) => BatchRefusal::Quarantine(QuarantineReason::TenantGone),
                Ok(InsertedCdrs::Refused(reason)) => {
                    BatchRefusal::Quarantine(QuarantineReason::Refused(reason))
                }
                Err(cause) if cause.is_of_schema() => BatchRefusal::SchemaClosed(cause),
                Err(cause) if gives_up && !cause.is_outage() => {
                    BatchRefusal::Quarantine(QuarantineReason::Refused(cause.to_string()))
                }
                Err(cause) => return Err(cause),
            };
            match halves(batches, why.is_of_tenant()) {
                Ok(halves) => left.extend(halves),
                Err(batch) => refused.push((batch, why)),
            }
        }
        let mut failed = None;
        for (batch, why) in refused {
            let why = match why {
                BatchRefusal::Quarantine(why) => why,
                // Only if the cause is this tenant's schema, and not a database under maintenance.
                BatchRefusal::SchemaClosed(cause) if gives_up && (some_stored || cause.is_denied()) => {
                    QuarantineReason::Refused(cause.to_string())
                }
                BatchRefusal::SchemaClosed(cause) => {
                    failed = Some(cause);
                    continue;
                }
            };
            quarantine.extend(quarantined_all(&batch, &why));
        }
        self.quarantine(reader, quarantine).await?;
        failed.map_or(Ok(()), Err)
    }

    fn count_stored(&self, batches: &[Batch], new: u64) {
        let all: usize = batches.iter().map(|(_, records)| records.len()).sum();
        self.metrics.count("stored", new);
        self.metrics.count("repeated", (all as u64).saturating_sub(new));
    }

    async fn quarantine(&self, reader: &Reader, records: Vec<Quarantined>) -> Result<(), StoreError> {
        let reasons: Vec<&'static str> = records.iter().map(|record| record.reason).collect();
        let Some(first) = reasons.first() else { return Ok(()) };
        warn!(records = reasons.len(), first, "call records were put into quarantine");
        reader.quarantine_cdrs(records).await?;
        reasons.into_iter().for_each(|reason| self.metrics.count_quarantined(reason));
        Ok(())
    }
}

fn rows(batches: &[Batch]) -> Vec<(Uuid, Vec<&Cdr>)> {
    batches.iter().map(|(tenant, records)| (*tenant, records.iter().map(|(_, row)| row).collect())).collect()
}

/// Splits batches into halves: by tenants or, of one tenant, by records. Returns the batch of one tenant as
/// an error if it is `whole` or has one record.
fn halves(mut batches: Vec<Batch>, whole: bool) -> Result<[Vec<Batch>; 2], Batch> {
    let rest = batches.split_off(batches.len().div_ceil(2));
    if !rest.is_empty() {
        return Ok([rest, batches]);
    }
    let (tenant, mut records) = batches.pop().unwrap_or_default();
    if whole || records.len() < 2 {
        return Err((tenant, records));
    }
    let rest = records.split_off(records.len().div_ceil(2));
    Ok([vec![(tenant, rest)], vec![(tenant, records)]])
}

fn quarantined_all<'a>(
    (tenant, records): &'a Batch,
    why: &'a QuarantineReason,
) -> impl Iterator<Item = Quarantined> {
    records.iter().map(|(received, row)| quarantined(received, Some(*tenant), Some(row.uuid), why))
}

fn quarantined(
    received: &Received,
    tenant: Option<Uuid>,
    uuid: Option<Uuid>,
    why: &QuarantineReason,
) -> Quarantined {
    Quarantined {
        reason: why.reason(),
        detail: why.to_string(),
        tenant,
        uuid,
        received_us: received.at.as_microsecond(),
        body: received.body.to_vec(),
    }
}
