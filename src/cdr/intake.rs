//! What is acknowledged is in Postgres, or in the spool while Postgres is away; then new records
//! queue up behind those that wait, so that all arrive in order.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::delivery::{Delivery, Record};
use super::spool::{Received, Spool, SpoolError};
use crate::store::{Reader, StoreError};
use crate::util::backoff::Backoff;

/// Most records that are stored together.
const BATCH: usize = 500;
/// Most records that wait to be taken in; FreeSWITCH posts from the thread of each ended call.
const QUEUE: usize = 4096;
/// Most bytes of them.
const QUEUE_BYTES: usize = 64 << 20;
/// So often Postgres may fail at records for no reason of its own, until those it fails at are put
/// into quarantine.
const TRIES: u32 = 5;
/// A larger body is read on a thread that may take its time; most have 20 kB.
const LARGE: usize = 128 << 10;
/// How long Postgres may take while FreeSWITCH waits, which does so for 5 s (`timeout`, xml_cdr.conf).
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take for what nobody waits for.
const REPLAY_PATIENCE: Duration = Duration::from_secs(30);
/// Pauses between attempts while Postgres fails.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

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
    /// What was read of it on arrival, where that could be done.
    record: Option<Record>,
    /// Its part of `QUEUE_BYTES`.
    _room: OwnedSemaphorePermit,
    done: oneshot::Sender<Result<(), Refusal>>,
}

/// Takes records in; clones take in together.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    delivery: Delivery,
}

/// What does it.
pub struct CdrWriter {
    jobs: mpsc::Receiver<Job>,
    spool: Arc<Mutex<Spool>>,
    delivery: Delivery,
}

impl Intake {
    /// An intake with a spool in a directory, of at most so many bytes.
    ///
    /// # Errors
    /// When the spool cannot be opened.
    pub fn open(directory: &Path, limit: u64, delivery: Delivery) -> Result<(Self, CdrWriter), SpoolError> {
        let spool = Arc::new(Mutex::new(Spool::open(directory, limit, delivery.metrics.clone())?));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Ok((Self { queue, room, delivery: delivery.clone() }, CdrWriter { jobs, spool, delivery }))
    }

    /// Takes a record in. It is on a disk when this says so.
    ///
    /// # Errors
    /// It is nowhere, and has to be sent again.
    pub async fn take(&self, received: Received) -> Result<(), Refusal> {
        let outcome = self.queued(received).await;
        if outcome.is_err() {
            self.delivery.metrics.count("refused", 1);
        }
        outcome
    }

    async fn queued(&self, received: Received) -> Result<(), Refusal> {
        let bytes = u32::try_from(received.body.len()).map_err(|_| Refusal::Busy)?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Refusal::Busy)?;
        let place = self.queue.try_reserve().map_err(|_| Refusal::Busy)?;
        let record = self.read(received.clone()).await;
        let (done, told) = oneshot::channel();
        place.send(Job { received, record, _room: room, done });
        told.await.unwrap_or(Err(Refusal::Busy))
    }

    /// Reads a record as soon as it comes, wherever it came: what waits for Postgres is rows.
    async fn read(&self, received: Received) -> Option<Record> {
        if received.body.len() < LARGE {
            return self.delivery.read(received);
        }
        let delivery = self.delivery.clone();
        tokio::task::spawn_blocking(move || delivery.read(received)).await.ok().flatten()
    }
}

/// When Postgres is asked again after it failed.
struct RetryState {
    backoff: Backoff,
    next_try: Instant,
    /// How often it failed for no reason of its own.
    failures: u32,
}

impl RetryState {
    /// Postgres is asked at once.
    fn now() -> Self {
        Self { backoff: BACKOFF, next_try: Instant::now(), failures: 0 }
    }

    /// Postgres is asked after the first pause.
    fn after_failure() -> Self {
        let mut backoff = BACKOFF;
        Self { next_try: Instant::now() + backoff.pause(), backoff, failures: 0 }
    }

    fn goes_on(&mut self, cause: Option<&StoreError>) {
        self.failures += u32::from(cause.is_some_and(|cause| !cause.is_outage() || cause.is_of_schema()));
        self.next_try = Instant::now() + self.backoff.pause();
    }
}

impl CdrWriter {
    /// Takes in until stopped; `reader` comes when there is a Postgres to write to.
    pub async fn run(mut self, reader: Arc<OnceLock<Reader>>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        // Behind what waits, from before this process too.
        let mut outage = Some(RetryState::now());
        loop {
            let next_try = outage.as_ref().map(|outage| outage.next_try);
            let replay = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(next_try.unwrap_or_else(Instant::now)), if next_try.is_some() => true,
                count = self.jobs.recv_many(&mut batch, BATCH) => match count {
                    0 => break,
                    _ => false,
                }
            };
            outage = match outage {
                Some(outage) if replay => self.replay(&reader, outage, &mut batch, &stop).await,
                Some(outage) => {
                    self.keep(std::mem::take(&mut batch)).await;
                    Some(outage)
                }
                None => self.take(&reader, std::mem::take(&mut batch)).await,
            };
        }
        // What came last is kept, not refused.
        self.jobs.close();
        while let Some(job) = self.jobs.recv().await {
            batch.push(job);
        }
        self.keep(batch).await;
    }

    /// Brings records straight to Postgres, or else into the spool.
    async fn take(&self, reader: &OnceLock<Reader>, mut jobs: Vec<Job>) -> Option<RetryState> {
        let records: Option<Vec<Record>> = jobs.iter_mut().map(|job| job.record.take()).collect();
        let delivered = match records {
            Some(records) => self.delivery.deliver(reader, records, false, PATIENCE).await,
            None => Err(None), // what could not be read when it came is read behind the spool
        };
        match delivered {
            Ok(()) => {
                jobs.into_iter().for_each(|job| drop(job.done.send(Ok(()))));
                None
            }
            Err(cause) => {
                if let Some(cause) = cause {
                    warn!(category = cause.category(), %cause, "call records are kept here until Postgres takes them");
                }
                self.keep(jobs).await;
                Some(RetryState::after_failure())
            }
        }
    }

    /// Brings the oldest file of the spool to Postgres; new records are acknowledged meanwhile.
    async fn replay(
        &mut self,
        reader: &OnceLock<Reader>,
        mut outage: RetryState,
        batch: &mut Vec<Job>,
        stop: &CancellationToken,
    ) -> Option<RetryState> {
        let (spool, delivery) = (self.spool.clone(), self.delivery.clone());
        let mut replaying = pin!(replay_oldest(&spool, &delivery, reader, outage.failures >= TRIES));
        let outcome = loop {
            tokio::select! {
                outcome = &mut replaying => break outcome,
                () = stop.cancelled() => break Err(None), // what waits is on the disk
                count = self.jobs.recv_many(batch, BATCH) => match count {
                    0 => break Err(None),
                    _ => self.keep(std::mem::take(batch)).await,
                }
            }
        };
        match outcome {
            Ok(()) if with(&self.spool, |spool| spool.is_empty()).await == Some(true) => {
                info!("call records go straight to Postgres");
                return None;
            }
            Ok(()) => return Some(RetryState::now()),
            Err(Some(cause)) => {
                warn!(category = cause.category(), %cause, "call records wait for Postgres");
                outage.goes_on(Some(&cause));
            }
            Err(None) => outage.goes_on(None),
        }
        Some(outage)
    }

    /// Puts records into the spool, and tells whoever waits for them.
    async fn keep(&self, jobs: Vec<Job>) {
        let records: Vec<Received> = jobs.iter().map(|job| job.received.clone()).collect();
        let count = records.len() as u64;
        let outcome = match with(&self.spool, move |spool| spool.append(&records)).await {
            Some(Ok(())) => {
                self.delivery.metrics.count("spooled", count);
                Ok(())
            }
            Some(Err(cause)) => {
                error!(category = cause.category(), %cause, records = count, "call records are refused");
                Err(Refusal::Nowhere(cause.to_string()))
            }
            None => Err(Refusal::Busy),
        };
        jobs.into_iter().for_each(|job| drop(job.done.send(outcome.clone())));
    }
}

/// Brings the oldest file of the spool to Postgres, if there is one. `give_up` on records that
/// Postgres fails at.
async fn replay_oldest(
    spool: &Arc<Mutex<Spool>>,
    delivery: &Delivery,
    reader: &OnceLock<Reader>,
    give_up: bool,
) -> Result<(), Option<StoreError>> {
    let oldest = with(spool, Spool::oldest).await.unwrap_or_else(|| Ok(None));
    let (number, records) = match oldest {
        Ok(Some(found)) => found,
        // Nothing waits; whether Postgres is there is found out by the next record.
        Ok(None) if reader.get().is_some() && delivery.key.get().is_some() => return Ok(()),
        Ok(None) => return Err(None),
        Err(cause) => {
            error!(category = cause.category(), %cause, "call records that wait cannot be read");
            return Err(None);
        }
    };
    for batch in records.chunks(BATCH) {
        let (reading, batch) = (delivery.clone(), batch.to_vec());
        let read = move || batch.into_iter().map(|received| reading.read(received)).collect();
        let Ok(Some(batch)) = tokio::task::spawn_blocking(read).await else { return Err(None) };
        delivery.deliver(reader, batch, give_up, REPLAY_PATIENCE).await?;
    }
    if let Some(Err(cause)) = with(spool, move |spool| spool.remove(number)).await {
        error!(category = cause.category(), %cause, "call records that are in Postgres stay on the disk too");
        return Err(None);
    }
    info!(records = records.len(), "call records that waited are in Postgres");
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn postgres_is_asked_at_once_and_then_after_pauses_that_grow() {
        let mut retry = RetryState::now();
        assert_eq!(retry.next_try, Instant::now());
        retry.goes_on(None);
        let first = retry.next_try - Instant::now();
        assert!(first >= Duration::from_millis(125) && first <= Duration::from_millis(250), "{first:?}");
        for _ in 0..10 {
            retry.goes_on(None);
        }
        let last = retry.next_try - Instant::now();
        assert!(last >= Duration::from_millis(2500) && last <= Duration::from_secs(5), "{last:?}");
        assert!(RetryState::after_failure().next_try > Instant::now());
    }
}
