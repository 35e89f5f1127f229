//! Writes the registrations of this switch to Postgres, in batches. While Postgres is away nothing waits for it; when it
//! is back, all rows are written again.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Registrations;
use super::rows::{Rows, rows};
use crate::freeswitch::Destination;
use crate::replica::tenants::Replica;
use crate::store::error::in_time;
use crate::store::registrations::{RegistrationKey, RegistrationRow};
use crate::store::{Reader, StoreError};
use crate::util::backoff::Backoff;

/// Changes within this time are one batch.
const BATCH: Duration = Duration::from_secs(1);
/// How often it is checked that the rows are still there, and watched Devices are recorded. The table is unlogged: it is
/// empty after a crash of Postgres.
const CHECK: Duration = Duration::from_secs(30);
/// Pauses between attempts to write.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// Wait for an answer of Postgres.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the rows of this switch.
#[derive(Debug)]
pub struct Writer {
    registrations: Registrations,
    replica: Arc<Replica>,
    /// The rows that Postgres has; `None` when that is not known.
    written: Option<BTreeMap<RegistrationKey, RegistrationRow>>,
}

impl Writer {
    /// A writer that has written nothing yet.
    pub fn new(registrations: Registrations, replica: Arc<Replica>) -> Self {
        Self { registrations, replica, written: None }
    }

    /// Writes until stopped. `destination` is set once Postgres is known.
    pub async fn run(mut self, destination: Arc<OnceLock<Destination>>, stop: CancellationToken) {
        stop.run_until_cancelled(self.write_all(&destination)).await;
    }

    async fn write_all(&mut self, destination: &OnceLock<Destination>) {
        let mut changes = self.registrations.changes();
        let (mut backoff, mut failing, mut check_at) = (BACKOFF, false, Instant::now());
        loop {
            tokio::time::sleep(BATCH).await;
            let Some((reader, switch)) = destination.get() else { continue };
            let is_due = Instant::now() >= check_at;
            if !is_due && self.written.is_some() {
                // Without a change there is nothing to write before the next check.
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep_until(check_at) => {}
                }
                if Instant::now() < check_at {
                    tokio::time::sleep(BATCH).await;
                }
            }
            changes.mark_unchanged();
            let is_due = Instant::now() >= check_at;
            let rows = rows(&self.registrations, &self.replica, Timestamp::now());
            match in_time(ANSWER_TIMEOUT, self.write(reader, switch, rows, is_due)).await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!("registrations are written to Postgres again");
                    }
                    backoff.reset();
                    if is_due {
                        check_at = Instant::now() + CHECK;
                    }
                }
                Err(cause) => {
                    self.written = None;
                    if !std::mem::replace(&mut failing, true) {
                        warn!(category = cause.category(), %cause, "registrations are not in Postgres; retrying");
                    }
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    async fn write(
        &mut self,
        reader: &Reader,
        switch: &str,
        Rows { registrations, watched }: Rows,
        is_check: bool,
    ) -> Result<(), StoreError> {
        let mut written = self.written.take();
        if is_check
            && let Some(rows) = &written
            && reader.count_registrations(switch).await? != rows.len()
        {
            written = None;
        }
        match &written {
            None => reader.replace_registrations(switch, &registrations).await?,
            Some(before) => {
                let changed: Vec<_> =
                    registrations.iter().filter(|(key, row)| before.get(*key) != Some(*row)).collect();
                let gone: Vec<_> = before.keys().filter(|key| !registrations.contains_key(*key)).collect();
                if !changed.is_empty() || !gone.is_empty() {
                    reader.change_registrations(switch, &changed, &gone).await?;
                }
            }
        }
        self.written = Some(registrations);
        if is_check {
            reader.record_watched_devices(&watched).await?;
        }
        Ok(())
    }
}
