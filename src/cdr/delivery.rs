//! From a body to a row: each record to its tenant, or into quarantine.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use super::document::Document;
use super::metrics::CdrMetrics;
use super::names::Names;
use super::place::{Misplaced, place};
use super::record::Cdr;
use super::spool::Received;
use crate::route::SigningKey;
use crate::store::cdrs::{Quarantined, Taken};
use crate::store::error::in_time;
use crate::store::{Reader, StoreError};
use crate::switch::replica::Replica;

/// How records get to Postgres; clones do the same.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What our dialplan signs with, once it is known.
    pub key: Arc<OnceLock<SigningKey>>,
    /// Whether documents are kept beside their fields.
    pub keep_xml: bool,
    /// Where is counted what became of them.
    pub metrics: CdrMetrics,
    names: Arc<Names>,
}

/// Records of one tenant, each with what it was read from.
type Batch = (Uuid, Vec<(Received, Cdr)>);

/// Records by where they belong.
#[derive(Default)]
struct Sorted {
    placed: BTreeMap<Uuid, Vec<(Received, Cdr)>>,
    misplaced: Vec<Quarantined>,
}

impl Delivery {
    /// With the names that the switch holds.
    pub fn new(
        key: Arc<OnceLock<SigningKey>>,
        replica: Arc<Replica>,
        keep_xml: bool,
        metrics: CdrMetrics,
    ) -> Self {
        Self { key, keep_xml, metrics, names: Arc::new(Names::new(replica)) }
    }

    /// Brings records to Postgres. `give_up` on those that Postgres fails at for no reason of its own.
    ///
    /// # Errors
    /// When Postgres is away or says no; none in words when it is not known yet where it is, or what
    /// records are signed with. Some may be there, and are not added again.
    pub async fn deliver(
        &self,
        reader: &OnceLock<Reader>,
        records: Vec<Received>,
        give_up: bool,
        patience: Duration,
    ) -> Result<(), Option<StoreError>> {
        let (Some(reader), Some(key)) = (reader.get(), self.key.get()) else { return Err(None) };
        let (this, key) = (self.clone(), key.clone());
        let sorted = tokio::task::spawn_blocking(move || this.sort(&key, records)).await;
        let Ok(sorted) = sorted else { return Err(None) };
        in_time(patience, self.store(reader, sorted, give_up)).await.map_err(Some)
    }

    fn sort(&self, key: &SigningKey, records: Vec<Received>) -> Sorted {
        let mut sorted = Sorted::default();
        for received in records {
            match self.read(key, &received) {
                Ok((tenant, cdr)) => sorted.placed.entry(tenant).or_default().push((received, cdr)),
                Err(why) => sorted.misplaced.push(quarantined(&received, None, None, &why)),
            }
        }
        sorted
    }

    fn read(&self, key: &SigningKey, received: &Received) -> Result<(Uuid, Cdr), Misplaced> {
        let text = received.encoding.document(&received.body)?;
        let document = Document::parse(&text)?;
        let (tenant, caller) = place(key, &document)?;
        let mut cdr = Cdr::new(&document, &caller, received.at)?;
        self.names.put(key, tenant, &caller, &mut cdr);
        cdr.xml = self.keep_xml.then(|| text.replace('\0', ""));
        Ok((tenant, cdr))
    }

    /// All tenants in one transaction; where one of them or one record does not fit, by halves, so
    /// that the others need not wait for it.
    async fn store(&self, reader: &Reader, sorted: Sorted, give_up: bool) -> Result<(), StoreError> {
        let mut misplaced = sorted.misplaced;
        let mut left: Vec<Vec<Batch>> = vec![sorted.placed.into_iter().collect()];
        while let Some(batches) = left.pop().filter(|batches| !batches.is_empty()) {
            let taken = match reader.take_cdrs(&rows(&batches)).await {
                Err(cause) if give_up && !cause.is_outage() => Taken::Refused(cause.to_string()),
                taken => taken?,
            };
            let why = match taken {
                Taken::Stored(new) => {
                    let all: usize = batches.iter().map(|(_, records)| records.len()).sum();
                    self.metrics.count("stored", new);
                    self.metrics.count("repeated", (all as u64).saturating_sub(new));
                    continue;
                }
                Taken::NoTenant => Misplaced::TenantGone,
                Taken::Refused(reason) => Misplaced::Refused(reason),
            };
            match halves(batches, why == Misplaced::TenantGone) {
                Ok(halves) => left.extend(halves),
                Err((tenant, records)) => misplaced.extend(
                    records
                        .iter()
                        .map(|(received, row)| quarantined(received, Some(tenant), Some(row.uuid), &why)),
                ),
            }
        }
        self.quarantine(reader, misplaced).await
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

fn quarantined(
    received: &Received,
    tenant: Option<Uuid>,
    uuid: Option<Uuid>,
    why: &Misplaced,
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
