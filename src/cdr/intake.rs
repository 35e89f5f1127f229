//! From a body to a row. What is acknowledged is in Postgres, or in the spool while Postgres is
//! away; then new records queue up behind those that wait, so that all arrive in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::document::Document;
use super::metrics::CdrMetrics;
use super::place::{Misplaced, place};
use super::record::Cdr;
use super::spool::{Received, Spool, SpoolError};
use crate::route::SigningKey;
use crate::store::cdrs::{Quarantined, Taken};
use crate::store::error::in_time;
use crate::store::{Reader, StoreError};

/// Most records that are stored together.
const BATCH: usize = 500;
/// Most records that wait to be taken in; FreeSWITCH posts from the thread of each ended call.
const QUEUE: usize = 4096;
/// Most bytes of them.
const QUEUE_BYTES: usize = 64 << 20;
/// So often Postgres may fail at records for no reason of its own, until those it fails at are put
/// into quarantine.
const TRIES: u32 = 5;
/// How long Postgres may take while FreeSWITCH waits, which does so for 5 s (`timeout`, xml_cdr.conf).
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take for what nobody waits for.
const REPLAY_PATIENCE: Duration = Duration::from_secs(30);
/// First and longest wait before another try.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Why a record was not taken: it has to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More come than can be taken in.
    #[error("too many call records wait to be taken in; send it again")]
    Busy,
    /// It can be kept nowhere.
    #[error("it can be kept neither in Postgres nor here: {0}")]
    Nowhere(String),
}

struct Job {
    received: Received,
    /// Its part of `QUEUE_BYTES`.
    _room: OwnedSemaphorePermit,
    done: oneshot::Sender<Result<(), Refusal>>,
}

/// Takes records in; clones take in together.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

/// What does it.
pub struct Worker {
    jobs: mpsc::Receiver<Job>,
    spool: Arc<Mutex<Spool>>,
    delivery: Delivery,
}

/// How records get to Postgres.
#[derive(Clone)]
struct Delivery {
    key: Arc<OnceLock<SigningKey>>,
    keep_xml: bool,
    metrics: CdrMetrics,
}

impl Intake {
    /// An intake with a spool in a directory, of at most so many bytes.
    ///
    /// # Errors
    /// When the spool cannot be opened.
    pub fn open(
        directory: &Path,
        limit: u64,
        keep_xml: bool,
        key: Arc<OnceLock<SigningKey>>,
        metrics: CdrMetrics,
    ) -> Result<(Self, Worker), SpoolError> {
        let spool = Arc::new(Mutex::new(Spool::open(directory, limit, metrics.clone())?));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Ok((Self { queue, room }, Worker { jobs, spool, delivery: Delivery { key, keep_xml, metrics } }))
    }

    /// Takes a record in. It is on a disk when this says so.
    ///
    /// # Errors
    /// It is nowhere, and has to be sent again.
    pub async fn take(&self, received: Received) -> Result<(), Refusal> {
        let bytes = u32::try_from(received.body.len()).map_err(|_| Refusal::Busy)?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Refusal::Busy)?;
        let (done, told) = oneshot::channel();
        self.queue.try_send(Job { received, _room: room, done }).map_err(|_| Refusal::Busy)?;
        told.await.unwrap_or(Err(Refusal::Busy))
    }
}

impl Worker {
    /// Takes in until stopped; `reader` comes when there is a Postgres to write to.
    pub async fn run(mut self, reader: Arc<OnceLock<Reader>>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        // Behind what waits, from before this process too.
        let mut away = true;
        let mut wait = BACKOFF.0;
        let mut next_try = tokio::time::Instant::now();
        let mut failures = 0;
        loop {
            let replay = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(next_try), if away => true,
                count = self.jobs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    false
                }
            };
            if replay {
                // New ones are acknowledged meanwhile.
                let outcome = {
                    let replaying = replay_one(&self.spool, &self.delivery, &reader, failures >= TRIES);
                    tokio::pin!(replaying);
                    loop {
                        tokio::select! {
                            outcome = &mut replaying => break outcome,
                            () = stop.cancelled() => break Err(None), // what waits is on the disk
                            count = self.jobs.recv_many(&mut batch, BATCH) => {
                                if count == 0 {
                                    return;
                                }
                                self.delivery.keep(&self.spool, std::mem::take(&mut batch)).await;
                            }
                        }
                    }
                };
                match outcome {
                    Ok(more) => {
                        away = more;
                        (wait, failures) = (BACKOFF.0, 0);
                        if !more {
                            info!("call records go straight to Postgres");
                        }
                    }
                    Err(cause) => {
                        if let Some(cause) = cause {
                            failures += u32::from(!cause.is_outage());
                            warn!(category = cause.category(), %cause, "call records wait for Postgres");
                        }
                        next_try = tokio::time::Instant::now() + wait;
                        wait = (wait * 2).min(BACKOFF.1);
                    }
                }
                continue;
            }
            let jobs = std::mem::take(&mut batch);
            if away {
                self.delivery.keep(&self.spool, jobs).await;
                continue;
            }
            let records: Vec<Received> = jobs.iter().map(|job| job.received.clone()).collect();
            match self.delivery.deliver(&reader, records, false, PATIENCE).await {
                Ok(()) => jobs.into_iter().for_each(|job| drop(job.done.send(Ok(())))),
                Err(cause) => {
                    if let Some(cause) = cause {
                        warn!(category = cause.category(), %cause, "call records are kept here until Postgres takes them");
                    }
                    away = true;
                    next_try = tokio::time::Instant::now() + wait;
                    self.delivery.keep(&self.spool, jobs).await;
                }
            }
        }
        // What came last is kept, not refused.
        self.jobs.close();
        while let Some(job) = self.jobs.recv().await {
            self.delivery.keep(&self.spool, vec![job]).await;
        }
    }
}

/// Brings the oldest file of the spool to Postgres; whether there may be more. `give_up` on records
/// that Postgres fails at.
async fn replay_one(
    spool: &Arc<Mutex<Spool>>,
    delivery: &Delivery,
    reader: &OnceLock<Reader>,
    give_up: bool,
) -> Result<bool, Option<StoreError>> {
    let oldest = with(spool, Spool::oldest).await.unwrap_or_else(|| Ok(None));
    let (number, records) = match oldest {
        Ok(Some(found)) => found,
        Ok(None) => {
            // Nothing waits; whether Postgres is there is found out by the next record.
            return if reader.get().is_some() && delivery.key.get().is_some() {
                Ok(false)
            } else {
                Err(None)
            };
        }
        Err(cause) => {
            error!(category = cause.category(), %cause, "call records that wait cannot be read");
            return Err(None);
        }
    };
    let count = records.len();
    for batch in records.chunks(BATCH) {
        delivery.deliver(reader, batch.to_vec(), give_up, REPLAY_PATIENCE).await?;
    }
    if let Some(Err(cause)) = with(spool, move |spool| spool.remove(number)).await {
        error!(category = cause.category(), %cause, "call records that are in Postgres stay on the disk too");
        return Err(None);
    }
    info!(records = count, "call records that waited are in Postgres");
    Ok(true)
}

/// Works on the spool, on a thread that may wait for the disk.
async fn with<T: Send + 'static>(
    spool: &Arc<Mutex<Spool>>,
    work: impl FnOnce(&mut Spool) -> T + Send + 'static,
) -> Option<T> {
    let spool = spool.clone();
    let locked = move || work(&mut spool.lock().unwrap_or_else(PoisonError::into_inner));
    tokio::task::spawn_blocking(locked).await.ok()
}

impl Delivery {
    /// Puts records into the spool, and tells whoever waits for them.
    async fn keep(&self, spool: &Arc<Mutex<Spool>>, jobs: Vec<Job>) {
        let records: Vec<Received> = jobs.iter().map(|job| job.received.clone()).collect();
        let count = records.len() as u64;
        let outcome = match with(spool, move |spool| spool.append(&records)).await {
            Some(Ok(())) => {
                self.metrics.count("spooled", count);
                Ok(())
            }
            Some(Err(cause)) => {
                error!(category = cause.category(), %cause, records = count, "call records are refused");
                self.metrics.count("refused", count);
                Err(Refusal::Nowhere(cause.to_string()))
            }
            None => Err(Refusal::Busy),
        };
        jobs.into_iter().for_each(|job| drop(job.done.send(outcome.clone())));
    }

    /// Brings records to Postgres, each to its tenant or into quarantine. No error in words when it
    /// is not known yet where Postgres is, or what records are signed with.
    async fn deliver(
        &self,
        reader: &OnceLock<Reader>,
        records: Vec<Received>,
        give_up: bool,
        patience: Duration,
    ) -> Result<(), Option<StoreError>> {
        let (Some(reader), Some(key)) = (reader.get(), self.key.get()) else { return Err(None) };
        let (key, keep_xml) = (key.clone(), self.keep_xml);
        let sorted = tokio::task::spawn_blocking(move || sort(&key, records, keep_xml)).await;
        let Ok(sorted) = sorted else { return Err(None) };
        in_time(patience, self.store(reader, sorted, give_up)).await.map_err(Some)
    }

    async fn store(&self, reader: &Reader, sorted: Sorted, give_up: bool) -> Result<(), StoreError> {
        let mut misplaced = sorted.misplaced;
        let take = async |tenant, rows: &[Cdr]| match reader.take_cdrs(tenant, rows).await {
            Err(cause) if give_up && !cause.is_outage() => Ok(Taken::Refused(cause.to_string())),
            taken => taken,
        };
        for (tenant, records) in sorted.placed {
            let (received, rows): (Vec<Received>, Vec<Cdr>) = records.into_iter().unzip();
            match take(tenant, &rows).await? {
                Taken::Stored(new) => self.count(rows.len(), new),
                Taken::NoTenant => {
                    let gone = std::iter::zip(received, &rows);
                    misplaced.extend(gone.map(|(received, row)| {
                        quarantined(&received, Some(tenant), Some(row.uuid), &Misplaced::TenantGone)
                    }));
                }
                // One of them does not fit; the others must not wait for it.
                Taken::Refused(_) => {
                    for (received, row) in std::iter::zip(received, rows) {
                        let uuid = row.uuid;
                        match take(tenant, &[row]).await? {
                            Taken::Stored(new) => self.count(1, new),
                            Taken::NoTenant => {
                                let why = Misplaced::TenantGone;
                                misplaced.push(quarantined(&received, Some(tenant), Some(uuid), &why));
                            }
                            Taken::Refused(reason) => {
                                let why = Misplaced::Refused(reason);
                                misplaced.push(quarantined(&received, Some(tenant), Some(uuid), &why));
                            }
                        }
                    }
                }
            }
        }
        if misplaced.is_empty() {
            return Ok(());
        }
        let reasons: Vec<&'static str> = misplaced.iter().map(|record| record.reason).collect();
        reader.quarantine_cdrs(misplaced).await?;
        warn!(records = reasons.len(), first = reasons.first(), "call records are in quarantine");
        reasons.into_iter().for_each(|reason| self.metrics.count_quarantined(reason));
        Ok(())
    }

    fn count(&self, all: usize, new: u64) {
        self.metrics.count("stored", new);
        self.metrics.count("repeated", (all as u64).saturating_sub(new));
    }
}

/// Records by where they belong.
#[derive(Default)]
struct Sorted {
    placed: BTreeMap<Uuid, Vec<(Received, Cdr)>>,
    misplaced: Vec<Quarantined>,
}

fn sort(key: &SigningKey, records: Vec<Received>, keep_xml: bool) -> Sorted {
    let mut sorted = Sorted::default();
    for received in records {
        match read(key, &received, keep_xml) {
            Ok((tenant, cdr)) => sorted.placed.entry(tenant).or_default().push((received, cdr)),
            Err(why) => sorted.misplaced.push(quarantined(&received, None, None, &why)),
        }
    }
    sorted
}

fn read(key: &SigningKey, received: &Received, keep_xml: bool) -> Result<(Uuid, Cdr), Misplaced> {
    let text = received.encoding.document(&received.body)?;
    let document = Document::parse(&text)?;
    let (tenant, caller) = place(key, &document)?;
    let mut cdr = Cdr::new(&document, &caller, received.at)?;
    cdr.xml = keep_xml.then(|| text.replace('\0', ""));
    Ok((tenant, cdr))
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
