//! Accepts records. An acknowledged record is in Postgres, or in the spool while Postgres is unreachable. New
//! records queue behind spooled ones, so that all arrive in order.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::delivery::{Delivery, OnRefusal, Record};
use super::spool::{Received, Spool, SpoolError};
use crate::store::{Reader, StoreError};
use crate::util::backoff::Backoff;

/// Most records of one transaction.
const MAX_BATCH: usize = 500;
/// Most records in the queue. FreeSWITCH posts from the thread of each ended call.
const MAX_QUEUED: usize = 4096;
/// Most bytes of bodies in the queue.
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Attempts at a batch that Postgres refuses, although it is not down, before the refused records go into
/// quarantine.
const MAX_ATTEMPTS: u32 = 5;
/// Size from which a body is parsed on a blocking thread; most bodies have 20 kB.
const LARGE_BODY_BYTES: usize = 128 << 10;
/// Timeout of Postgres while FreeSWITCH waits, which it does for 5 s (`timeout`, xml_cdr.conf).
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of Postgres for spooled records.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(30);
/// Waits before Postgres is tried again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

/// Why a record was not accepted; the sender must send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue is full.
    #[error("too many call records are queued; send it again")]
    Busy,
    /// Neither Postgres nor the spool can store it.
    #[error("it can be stored neither in Postgres nor in the spool: {0}")]
    Nowhere(String),
}

struct Job {
    received: Received,
    /// The parsed record; `None` while the signing key is unknown.
    record: Option<Record>,
    /// The body's share of `MAX_QUEUED_BYTES`.
    _room: OwnedSemaphorePermit,
    done: oneshot::Sender<Result<(), Refusal>>,
}

/// Accepts records. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    delivery: Delivery,
}

/// Writes queued records to Postgres or to the spool.
pub struct CdrWriter {
    jobs: mpsc::Receiver<Job>,
    spool: Arc<Mutex<Spool>>,
    delivery: Delivery,
}

impl Intake {
    /// Opens an intake with a spool in a directory, of at most `limit` bytes.
    ///
    /// # Errors
    /// The spool cannot be opened.
    pub fn open(directory: &Path, limit: u64, delivery: Delivery) -> Result<(Self, CdrWriter), SpoolError> {
        let spool = Arc::new(Mutex::new(Spool::open(directory, limit, delivery.metrics.clone())?));
        let (queue, jobs) = mpsc::channel(MAX_QUEUED);
        let room = Arc::new(Semaphore::new(MAX_QUEUED_BYTES));
        Ok((Self { queue, room, delivery: delivery.clone() }, CdrWriter { jobs, spool, delivery }))
    }

    /// Accepts a record. Returns when the record is on disk.
    ///
    /// # Errors
    /// The record was not stored and must be sent again.
    pub async fn accept(&self, received: Received) -> Result<(), Refusal> {
        let outcome = self.enqueue(received).await;
        if outcome.is_err() {
            self.delivery.metrics.count("refused", 1);
        }
        outcome
    }

    async fn enqueue(&self, received: Received) -> Result<(), Refusal> {
        let bytes = u32::try_from(received.body.len()).map_err(|_| Refusal::Busy)?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Refusal::Busy)?;
        let slot = self.queue.try_reserve().map_err(|_| Refusal::Busy)?;
        let record = self.read(received.clone()).await;
        let (done, outcome) = oneshot::channel();
        slot.send(Job { received, record, _room: room, done });
        outcome.await.unwrap_or(Err(Refusal::Busy))
    }

    /// Parses a record on arrival, outside the writer's task.
    async fn read(&self, received: Received) -> Option<Record> {
        if received.body.len() < LARGE_BODY_BYTES {
            return self.delivery.read(received);
        }
        let delivery = self.delivery.clone();
        tokio::task::spawn_blocking(move || delivery.read(received)).await.ok().flatten()
    }
}

/// When Postgres is tried again after a failure.
struct RetryState {
    backoff: Backoff,
    next_try: Instant,
    /// How often Postgres refused records although it was not down.
    failures: u32,
}

impl RetryState {
    /// Postgres is tried at once.
    fn now() -> Self {
        Self { backoff: BACKOFF, next_try: Instant::now(), failures: 0 }
    }

    /// Postgres is tried after the first pause.
    fn after_failure() -> Self {
        let mut backoff = BACKOFF;
        Self { next_try: Instant::now() + backoff.pause(), backoff, failures: 0 }
    }

    fn on_refusal(&self) -> OnRefusal {
        if self.failures < MAX_ATTEMPTS { OnRefusal::Retry } else { OnRefusal::Quarantine }
    }

    fn record_failure(&mut self, cause: Option<&StoreError>) {
        self.failures += u32::from(cause.is_some_and(|cause| !cause.is_outage() || cause.is_of_schema()));
        self.next_try = Instant::now() + self.backoff.pause();
    }
}

impl CdrWriter {
    /// Writes queued records until stopped. `reader` is set once Postgres is known.
    pub async fn run(mut self, reader: Arc<OnceLock<Reader>>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        // The previous process may have left spooled records, which go first.
        let mut outage = Some(RetryState::now());
        loop {
            let next_try = outage.as_ref().map(|outage| outage.next_try);
            let replay = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(next_try.unwrap_or_else(Instant::now)), if next_try.is_some() => true,
                count = self.jobs.recv_many(&mut batch, MAX_BATCH) => match count {
                    0 => break,
                    _ => false,
                }
            };
            outage = match outage {
                Some(outage) if replay => self.replay(&reader, outage, &mut batch, &stop).await,
                Some(outage) => {
                    self.spool(std::mem::take(&mut batch)).await;
                    Some(outage)
                }
                None => self.deliver(&reader, std::mem::take(&mut batch)).await,
            };
        }
        // Records that are still queued are spooled, not refused.
        self.jobs.close();
        while let Some(job) = self.jobs.recv().await {
            batch.push(job);
        }
        self.spool(batch).await;
    }

    /// Delivers records to Postgres, or else spools them.
    async fn deliver(&self, reader: &OnceLock<Reader>, mut jobs: Vec<Job>) -> Option<RetryState> {
        let records: Option<Vec<Record>> = jobs.iter_mut().map(|job| job.record.take()).collect();
        let delivered = match records {
            Some(records) => self.delivery.deliver(reader, records, OnRefusal::Retry, DELIVERY_TIMEOUT).await,
            None => Err(None), // unparsed records are parsed when they are replayed
        };
        match delivered {
            Ok(()) => {
                jobs.into_iter().for_each(|job| drop(job.done.send(Ok(()))));
                None
            }
            Err(cause) => {
                if let Some(cause) = cause {
                    warn!(category = cause.category(), %cause, "call records are spooled until Postgres takes them");
                }
                self.spool(jobs).await;
                Some(RetryState::after_failure())
            }
        }
    }

    /// Replays the oldest file of the spool to Postgres, and spools new records meanwhile.
    async fn replay(
        &mut self,
        reader: &OnceLock<Reader>,
        mut outage: RetryState,
        batch: &mut Vec<Job>,
        stop: &CancellationToken,
    ) -> Option<RetryState> {
        let (spool, delivery) = (self.spool.clone(), self.delivery.clone());
        let mut replaying = pin!(replay_oldest(&spool, &delivery, reader, outage.on_refusal()));
        let outcome = loop {
            tokio::select! {
                outcome = &mut replaying => break outcome,
                () = stop.cancelled() => break Err(None), // the records stay in the spool
                count = self.jobs.recv_many(batch, MAX_BATCH) => match count {
                    0 => break Err(None),
                    _ => self.spool(std::mem::take(batch)).await,
                }
            }
        };
        match outcome {
            Ok(()) if with_spool(&self.spool, |spool| spool.is_empty()).await == Some(true) => {
                info!("call records go straight to Postgres");
                return None;
            }
            Ok(()) => return Some(RetryState::now()),
            Err(Some(cause)) => {
                warn!(category = cause.category(), %cause, "call records wait for Postgres");
                outage.record_failure(Some(&cause));
            }
            Err(None) => outage.record_failure(None),
        }
        Some(outage)
    }

    /// Appends records to the spool, and answers their senders.
    async fn spool(&self, jobs: Vec<Job>) {
        let records: Vec<Received> = jobs.iter().map(|job| job.received.clone()).collect();
        let count = records.len() as u64;
        let outcome = match with_spool(&self.spool, move |spool| spool.append(&records)).await {
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

/// Delivers the oldest file of the spool to Postgres, if there is one.
async fn replay_oldest(
    spool: &Arc<Mutex<Spool>>,
    delivery: &Delivery,
    reader: &OnceLock<Reader>,
    on_refusal: OnRefusal,
) -> Result<(), Option<StoreError>> {
    let oldest = with_spool(spool, Spool::oldest).await.unwrap_or_else(|| Ok(None));
    let (number, records) = match oldest {
        Ok(Some(found)) => found,
        // The spool is empty. The next record shows whether Postgres answers.
        Ok(None) if reader.get().is_some() && delivery.key.get().is_some() => return Ok(()),
        Ok(None) => return Err(None),
        Err(cause) => {
            error!(category = cause.category(), %cause, "spooled call records cannot be read");
            return Err(None);
        }
    };
    for batch in records.chunks(MAX_BATCH) {
        let (reading, batch) = (delivery.clone(), batch.to_vec());
        let read = move || batch.into_iter().map(|received| reading.read(received)).collect();
        let Ok(Some(batch)) = tokio::task::spawn_blocking(read).await else { return Err(None) };
        delivery.deliver(reader, batch, on_refusal, REPLAY_TIMEOUT).await?;
    }
    if let Some(Err(cause)) = with_spool(spool, move |spool| spool.remove(number)).await {
        error!(category = cause.category(), %cause, "call records were stored in Postgres but cannot be removed from the spool");
        return Err(None);
    }
    info!(records = records.len(), "spooled call records are in Postgres");
    Ok(())
}

/// Runs work on the spool in a blocking thread; `None` if the work panics.
async fn with_spool<T: Send + 'static>(
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
    async fn postgres_is_tried_at_once_and_then_after_growing_pauses() {
        let mut retry = RetryState::now();
        assert_eq!(retry.next_try, Instant::now());
        retry.record_failure(None);
        let first = retry.next_try - Instant::now();
        assert!(first >= Duration::from_millis(125) && first <= Duration::from_millis(250), "{first:?}");
        for _ in 0..10 {
            retry.record_failure(None);
        }
        let last = retry.next_try - Instant::now();
        assert!(last >= Duration::from_millis(2500) && last <= Duration::from_secs(5), "{last:?}");
        assert!(RetryState::after_failure().next_try > Instant::now());
    }
}
