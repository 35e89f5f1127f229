//! From a body to a row: each record to its tenant, or into quarantine.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use super::attribution::{QuarantineReason, place};
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

/// How records get to Postgres; clones do the same.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What our dialplan signs with, once it is known.
    pub key: Arc<OnceLock<SigningKey>>,
    /// Whether documents are kept beside their fields.
    pub keep_xml: bool,
    /// Where is counted what became of them.
    pub metrics: CdrMetrics,
    names: Arc<ResourceNames>,
}

/// A record that was read: the tenant it belongs to and its row, or why it has no place.
#[derive(Debug)]
pub struct Record {
    received: Received,
    placed: Result<(Uuid, Cdr), QuarantineReason>,
}

/// Records of one tenant, each with what it was read from.
type Batch = (Uuid, Vec<(Received, Cdr)>);

/// Why records could not be taken in together.
enum Unfit {
    /// They have no place.
    Unplaced(QuarantineReason),
    /// A schema is closed to this switch.
    Barred(StoreError),
}

impl Unfit {
    /// Whether it concerns all records of a tenant alike.
    fn is_the_tenants(&self) -> bool {
        matches!(self, Self::Barred(_) | Self::Unplaced(QuarantineReason::TenantGone))
    }
}

impl Delivery {
    /// With the names that the switch holds.
    pub fn new(
        key: Arc<OnceLock<SigningKey>>,
        replica: Arc<Replica>,
        keep_xml: bool,
        metrics: CdrMetrics,
    ) -> Self {
        Self { key, keep_xml, metrics, names: Arc::new(ResourceNames::new(replica)) }
    }

    /// Reads a record; none while it is not known what records are signed with.
    pub fn read(&self, received: Received) -> Option<Record> {
        let placed = self.place(self.key.get()?, &received);
        Some(Record { received, placed })
    }

    fn place(&self, key: &SigningKey, received: &Received) -> Result<(Uuid, Cdr), QuarantineReason> {
        let text = received.encoding.document(&received.body)?;
        let document = Document::parse(&text)?;
        let (tenant, caller) = place(key, &document)?;
        let mut cdr = Cdr::new(&document, &caller, received.at)?;
        self.names.put(key, tenant, &caller, &mut cdr);
        cdr.xml = self.keep_xml.then(|| text.replace('\0', ""));
        Ok((tenant, cdr))
    }

    /// Brings records to Postgres. `give_up` on those that Postgres fails at for no reason of its own.
    ///
    /// # Errors
    /// When Postgres is away or says no; none in words when it is not known yet where it is. Some may
    /// be there, and are not added again.
    pub async fn deliver(
        &self,
        reader: &OnceLock<Reader>,
        records: Vec<Record>,
        give_up: bool,
        patience: Duration,
    ) -> Result<(), Option<StoreError>> {
        let Some(reader) = reader.get() else { return Err(None) };
        in_time(patience, self.store(reader, records, give_up)).await.map_err(Some)
    }

    /// All tenants in one transaction; where one of them or one record does not fit, by halves, so
    /// that the others need not wait for it.
    async fn store(&self, reader: &Reader, records: Vec<Record>, give_up: bool) -> Result<(), StoreError> {
        let (mut placed, mut misplaced) = (BTreeMap::<Uuid, Vec<_>>::new(), Vec::new());
        for Record { received, placed: found } in records {
            match found {
                Ok((tenant, cdr)) => placed.entry(tenant).or_default().push((received, cdr)),
                Err(why) => misplaced.push(quarantined(&received, None, None, &why)),
            }
        }
        let mut left: Vec<Vec<Batch>> = vec![placed.into_iter().collect()];
        let (mut some_stored, mut unfit) = (false, Vec::new());
        while let Some(batches) = left.pop().filter(|batches| !batches.is_empty()) {
            let why = match reader.take_cdrs(&rows(&batches)).await {
                Ok(InsertedCdrs::Stored(new)) => {
                    self.count_stored(&batches, new);
                    some_stored = true;
                    continue;
                }
                Ok(InsertedCdrs::NoTenant) => Unfit::Unplaced(QuarantineReason::TenantGone),
                Ok(InsertedCdrs::Refused(reason)) => Unfit::Unplaced(QuarantineReason::Refused(reason)),
                Err(cause) if cause.is_of_schema() => Unfit::Barred(cause),
                Err(cause) if give_up && !cause.is_outage() => {
                    Unfit::Unplaced(QuarantineReason::Refused(cause.to_string()))
                }
                Err(cause) => return Err(cause),
            };
            match halves(batches, why.is_the_tenants()) {
                Ok(halves) => left.extend(halves),
                Err(batch) => unfit.push((batch, why)),
            }
        }
        let mut failed = None;
        for (batch, why) in unfit {
            let why = match why {
                Unfit::Unplaced(why) => why,
                // Whether it is this tenant's schema, or whoever keeps the database has work to do in all.
                Unfit::Barred(cause) if give_up && (some_stored || cause.is_denied()) => {
                    QuarantineReason::Refused(cause.to_string())
                }
                Unfit::Barred(cause) => {
                    failed = Some(cause);
                    continue;
                }
            };
            misplaced.extend(quarantined_all(&batch, &why));
        }
        self.quarantine(reader, misplaced).await?;
        failed.map_or(Ok(()), Err)
    }

    fn count_stored(&self, batches: &[Batch], new: u64) {
        let all: usize = batches.iter().map(|(_, records)| records.len()).sum();
        self.metrics.count("stored", new);
        self.metrics.count("repeated", (all as u64).saturating_sub(new));
    }

    async fn quarantine(&self, reader: &Reader, misplaced: Vec<Quarantined>) -> Result<(), StoreError> {
        let reasons: Vec<&'static str> = misplaced.iter().map(|record| record.reason).collect();
        let Some(first) = reasons.first() else { return Ok(()) };
        warn!(records = reasons.len(), first, "call records are in quarantine");
        reader.quarantine_cdrs(misplaced).await?;
        reasons.into_iter().for_each(|reason| self.metrics.count_quarantined(reason));
        Ok(())
    }
}

fn rows(batches: &[Batch]) -> Vec<(Uuid, Vec<&Cdr>)> {
    batches.iter().map(|(tenant, records)| (*tenant, records.iter().map(|(_, row)| row).collect())).collect()
}

/// Two halves, by tenants or, of one tenant, by records; what cannot be halved, or is `whole` when it
/// is one tenant's, comes back.
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
