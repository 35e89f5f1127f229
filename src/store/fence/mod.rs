//! One writer at a time, even if an earlier writer does not know that its leadership is over.
//!
//! - The writer holds an advisory lock on a connection of its own. A second process gets an error that
//!   names the holder. When the connection is lost, the right to write is lost at once.
//! - Each writer has a term, one higher than the previous. Every transaction that writes a plan checks its
//!   term and locks it until the end: a process that was frozen or cut off and continues later cannot
//!   write.
//! - A later leader of the same Lease ends the lock and the transactions of an earlier one. A writer of
//!   another Lease, or of none, is not ended: the second process waits.
//!
//! Readers need no lock and no term.

mod lock;
mod watch;

use std::sync::Arc;

use sqlx::{Connection, PgConnection};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::error::{PgContext, StoreError};
use super::{Memory, Reader, Store, StoreOptions, check_server, connect};
use lock::Lock;

/// A process that wants to write.
#[derive(Clone, Debug)]
pub struct WriterIdentity {
    /// Name for people, such as the pod's: errors of waiting processes have it.
    pub holder: String,
    /// Election that it won; `None` where there is no election.
    pub elected: Option<Elected>,
}

/// Lease that elected a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// UID of the Lease.
    pub lease: String,
    /// `leaseTransitions` of the Lease: a later leader has a higher number.
    pub transition: i64,
}

impl Elected {
    /// `application_name` of its connections; Postgres truncates it to 63 bytes.
    fn application_name(&self) -> String {
        format!("centrex {} {}", self.lease, self.transition)
    }

    /// The transition in the `application_name` of a leader of the same Lease; `None` for other connections.
    fn transition_of(&self, application_name: &str) -> Option<i64> {
        application_name.strip_prefix("centrex ")?.strip_prefix(&self.lease)?.strip_prefix(' ')?.parse().ok()
    }
}

/// The right to write.
#[derive(Debug)]
pub(super) struct WriterTerm {
    term: i64,
    set_back: bool,
    lost: CancellationToken,
    end: CancellationToken,
    tasks: TaskTracker,
    _guard: DropGuard,
}

impl Store {
    /// Connects as [`Store::connect`] does, and becomes the writer. For the first term of a process.
    ///
    /// # Errors
    /// [`StoreError::HeldByOther`] while another process writes, which is worth a retry;
    /// [`StoreError::Fenced`] when a later leader of the same Lease writes; else as [`Store::connect`].
    pub async fn lead(options: &StoreOptions, candidate: &WriterIdentity) -> Result<Self, StoreError> {
        Self::lead_again(options, candidate, &Memory::default()).await
    }

    /// Like [`Store::lead`] for a process that may have written before. `memory`, what it wrote, shows whether the
    /// database was set back since ([`Store::was_set_back`]).
    ///
    /// # Errors
    /// As [`Store::lead`].
    pub async fn lead_again(
        options: &StoreOptions,
        candidate: &WriterIdentity,
        memory: &Memory,
    ) -> Result<Self, StoreError> {
        let options = &options.current()?;
        let mut connection = connect(&options.connect).await?;
        let acquired = Self::acquire_lead(options, candidate, memory, &mut connection).await;
        let closed = connection.close().await;
        let store = acquired?;
        closed.context("closing a connection")?;
        Ok(store)
    }

    async fn acquire_lead(
        options: &StoreOptions,
        candidate: &WriterIdentity,
        memory: &Memory,
        connection: &mut PgConnection,
    ) -> Result<Self, StoreError> {
        check_server(connection).await?;
        let name = candidate.elected.as_ref().map(Elected::application_name);
        let mut options = options.clone();
        options.connect = options.connect.application_name(name.as_deref().unwrap_or("centrex writer"));
        // The lock is taken first: only the writer migrates.
        let mut lock = Lock::acquire(&options.connect, candidate).await?;
        let reader = Reader::lazy(&options);
        let started = async {
            let signing_key = Self::prepare(connection, &options.keyring).await?;
            let term = lock.raise_term(candidate).await?;
            let stored = reader.revisions(&mut *connection).await?;
            Ok((signing_key, term, memory.begin(term, term - 1, &stored)))
        };
        let (signing_key, term, set_back) = match started.await {
            Ok(started) => started,
            Err(error) => {
                lock.close().await;
                return Err(error);
            }
        };
        tracing::info!(term, holder = candidate.holder, "writing to the database");
        if set_back {
            tracing::warn!(
                "the database was set back to an older state: all plans are compared with it before their status is written"
            );
        }
        let (lost, end, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(lock.hold(lost.clone().drop_guard(), end.clone()));
        let watched = watch::watch(reader.clone(), memory.clone(), term, lost.clone(), end.clone());
        tasks.spawn(watched);
        tasks.close();
        let writer = WriterTerm { term, set_back, lost, _guard: end.clone().drop_guard(), end, tasks };
        Ok(Self { reader, signing_key, memory: memory.clone(), writer: Some(Arc::new(writer)) })
    }

    /// The term; `None` for a store that was only connected.
    pub fn term(&self) -> Option<i64> {
        self.writer.as_ref().map(|writer| writer.term)
    }

    /// True when the database was set back since this process wrote last, as by a restored backup.
    pub fn was_set_back(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.set_back)
    }

    /// Cancelled when the right to write is lost or resigned, and when the database was set back: this store can no
    /// longer write. Never cancelled for a store that was only connected.
    pub fn lost(&self) -> CancellationToken {
        self.writer.as_ref().map(|writer| writer.lost.clone()).unwrap_or_default()
    }

    /// Releases the right to write, so that the next writer can begin at once. Dropping the last clone of the store
    /// does the same, a little later.
    pub async fn resign(&self) {
        if let Some(writer) = &self.writer {
            writer.end.cancel();
            writer.tasks.wait().await;
        }
    }

    /// Comes first in every transaction that writes a plan: checks the term and locks it, so that no other process can
    /// begin a term before the transaction ends. Postgres ends the transaction when it is idle for 60 s.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when this process may no longer write; else when Postgres fails.
    pub(super) async fn fence(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        if writer.lost.is_cancelled() {
            return Err(StoreError::Fenced("its lock was lost, or the database was set back".to_owned()));
        }
        let (term, holder): (i64, String) = sqlx::query_as(
            "SELECT term, holder FROM (SELECT term, holder FROM public.writer FOR SHARE) AS writer,
                    set_config('idle_in_transaction_session_timeout', '60s', true)",
        )
        .fetch_one(connection)
        .await
        .context("reading the current term")?;
        match term == writer.term {
            true => Ok(()),
            false => {
                Err(StoreError::Fenced(format!("term {} is over, {holder} has term {term}", writer.term)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_of_the_same_lease_are_recognised() {
        let elected = Elected { lease: "2f1a7a3e-9a70-4c7c-8f3e-0b8a5d3c1e11".to_owned(), transition: 12 };
        let name = elected.application_name();
        assert!(name.len() <= 63);
        assert_eq!(elected.transition_of(&name), Some(12));
        for other in
            ["centrex", "centrex writer", "psql", "centrex 2f1a7a3e-9a70-4c7c-8f3e-0b8a5d3c1e1 12", ""]
        {
            assert_eq!(elected.transition_of(other), None, "{other}");
        }
    }
}
