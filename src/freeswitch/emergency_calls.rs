//! Emergency calls of this switch: counted, logged, and recorded in Postgres.
//!
//! The dialplan answer waits for nothing: it puts the call into a queue. A task writes it to a file of the data
//! directory, and removes the file when Postgres has the row. While Postgres is away, it retries; after a restart it
//! goes on with the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::freeswitch::Destination;
use crate::route::{Call, Caller, EmergencyCall};
use crate::store::emergency_calls::EmergencyCallRecord;
use crate::store::error::in_time;
use crate::util::atomic_file;
use crate::util::backoff::Backoff;

/// Most calls that wait for the file system.
const MAX_QUEUED: usize = 1000;
/// Most calls that wait for Postgres.
const MAX_WAITING: usize = 10_000;
/// Pauses between attempts to write to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// Wait for an answer of Postgres.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Mode of a file: it names a caller.
const MODE: u32 = 0o600;

/// Takes in emergency calls. Clones share everything. The default one has no queue: it counts and logs.
#[derive(Clone, Debug, Default)]
pub struct EmergencyCalls {
    queue: Option<mpsc::Sender<EmergencyCallRecord>>,
    metrics: EmergencyMetrics,
}

/// Metrics of emergency calls, without labels.
#[derive(Clone, Debug, Default)]
struct EmergencyMetrics {
    calls: Counter,
    waiting: Gauge<i64>,
    lost: Counter,
}

/// Records the calls of an [`EmergencyCalls`].
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    queue: mpsc::Receiver<EmergencyCallRecord>,
    metrics: EmergencyMetrics,
    /// Calls that Postgres does not have yet, by the names of their files.
    waiting: BTreeMap<String, EmergencyCallRecord>,
}

impl EmergencyCalls {
    /// Takes in calls, to be recorded by the returned recorder with a folder for those that wait.
    ///
    /// # Errors
    /// The folder cannot be created or read.
    pub fn open(folder: &Path) -> std::io::Result<(Self, Recorder)> {
        std::fs::create_dir_all(folder)?;
        let metrics = EmergencyMetrics::default();
        let waiting = read(folder)?;
        metrics.waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        let (sender, queue) = mpsc::channel(MAX_QUEUED);
        let recorder = Recorder { folder: folder.to_owned(), queue, metrics: metrics.clone(), waiting };
        Ok((Self { queue: Some(sender), metrics }, recorder))
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let EmergencyMetrics { calls, waiting, lost } = self.metrics.clone();
        registry.register("emergency_calls", "Emergency calls", calls);
        registry.register(
            "emergency_calls_waiting",
            "Emergency calls that Postgres does not have yet",
            waiting,
        );
        registry.register(
            "emergency_calls_unrecorded",
            "Emergency calls that were logged only: too many waited",
            lost,
        );
    }

    /// Takes in a call. Never waits.
    pub fn report(&self, call: &Call<'_>, emergency: &EmergencyCall) {
        let tenant = &call.view.plan.tenant;
        let Caller::Extension(extension) = &call.caller else { return };
        let location = tenant.emergency.as_ref().and_then(|row| row.location(emergency.location.as_deref()));
        let record = EmergencyCallRecord {
            uuid: Uuid::try_parse(&call.leg).unwrap_or_else(|_| Uuid::new_v4()),
            number: emergency.number.clone(),
            called_at: call.now,
            tenant: tenant.id,
            extension: extension.clone(),
            internal: call.extension.map(|row| row.number.clone()),
            shown: emergency.shown.clone(),
            location: location.cloned(),
        };
        self.metrics.calls.inc();
        warn!(
            tenant = format!("{}/{}", tenant.namespace, tenant.name),
            extension,
            number = record.number,
            shown = record.shown,
            location = emergency.location,
            call = %record.uuid,
            "an emergency call"
        );
        if self.queue.as_ref().is_some_and(|queue| queue.try_send(record).is_err()) {
            self.metrics.lost.inc();
            error!("an emergency call is not recorded: too many wait");
        }
    }
}

impl Recorder {
    /// Records calls until stopped. `destination` is set once Postgres is known.
    pub async fn run(mut self, destination: Arc<OnceLock<Destination>>, stop: CancellationToken) {
        let mut backoff = BACKOFF;
        let mut pause = Duration::ZERO;
        loop {
            let is_idle = self.waiting.is_empty();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(call) = self.queue.recv() => self.keep(call),
                () = tokio::time::sleep(pause), if !is_idle => {
                    pause = match self.deliver(&destination).await {
                        true => {
                            backoff.reset();
                            Duration::ZERO
                        }
                        false => backoff.pause(),
                    };
                }
            }
        }
        self.queue.close();
        while let Ok(call) = self.queue.try_recv() {
            self.keep(call);
        }
        self.deliver(&destination).await;
    }

    /// Puts a call into a file. Without one it is still delivered, unless this process ends before.
    fn keep(&mut self, call: EmergencyCallRecord) {
        let name = format!("{}-{}.json", call.uuid, call.number);
        if self.waiting.len() >= MAX_WAITING {
            self.metrics.lost.inc();
            error!(call = %call.uuid, "an emergency call is not recorded: too many wait for Postgres");
            return;
        }
        let text = serde_json::to_vec(&call).unwrap_or_default();
        let path = self.folder.join(&name);
        if let Err(cause) = block_in_place(|| atomic_file::replace(&path, &text, MODE)) {
            error!(call = %call.uuid, %cause, "an emergency call could not be kept on disk");
        }
        self.waiting.insert(name, call);
        self.count_waiting();
    }

    /// Writes the waiting calls to Postgres, until one fails.
    async fn deliver(&mut self, destination: &OnceLock<Destination>) -> bool {
        let Some((reader, switch)) = destination.get() else { return false };
        while let Some((name, call)) = self.waiting.first_key_value() {
            let recorded = in_time(ANSWER_TIMEOUT, reader.record_emergency_call(call, switch)).await;
            if let Err(cause) = recorded {
                warn!(
                    call = %call.uuid, category = cause.category(), %cause,
                    "an emergency call is not in Postgres yet; retrying"
                );
                return false;
            }
            // A file that cannot be removed is recorded again after a restart, which changes nothing.
            let _ = std::fs::remove_file(self.folder.join(name));
            self.waiting.pop_first();
            self.count_waiting();
        }
        true
    }

    fn count_waiting(&self) {
        self.metrics.waiting.set(i64::try_from(self.waiting.len()).unwrap_or(i64::MAX));
    }
}

/// The calls in the files of a folder. A file that is none is left alone.
fn read(folder: &Path) -> std::io::Result<BTreeMap<String, EmergencyCallRecord>> {
    let mut calls = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".json"));
        let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
        match std::fs::read(&path).map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(call)) => drop(calls.insert(name.to_owned(), call)),
            _ => warn!(path = %path.display(), "is not a recorded emergency call"),
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: &str) -> EmergencyCallRecord {
        EmergencyCallRecord {
            uuid: Uuid::from_u128(7),
            number: number.to_owned(),
            called_at: "2026-11-30T12:00:00Z".parse().unwrap(),
            tenant: Uuid::from_u128(1),
            extension: "desk".to_owned(),
            internal: Some("201".to_owned()),
            shown: None,
            location: None,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_that_postgres_does_not_have_is_kept_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (calls, recorder) = EmergencyCalls::open(folder.path()).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(recorder.run(Arc::default(), stop.clone()));
        for number in ["112", "911"] {
            calls.queue.as_ref().unwrap().send(call(number)).await.unwrap();
        }
        stop.cancel();
        task.await.unwrap();
        std::fs::write(folder.path().join("torn.json"), "{").unwrap();
        let (_, recorder) = EmergencyCalls::open(folder.path()).unwrap();
        assert_eq!(recorder.waiting.values().cloned().collect::<Vec<_>>(), [call("112"), call("911")]);
        assert_eq!(recorder.metrics.waiting.get(), 2);
    }
}
