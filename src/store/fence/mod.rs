//! One writer at a time, also when one does not know that its time is over.
//!
//! - Whoever writes holds an advisory lock, by a connection of its own. A second one is told who
//!   has it. When the connection is lost, so is the right to write, at once.
//! - Each has a term, one higher than the last. Every transaction that writes a plan checks its
//!   term and holds it to the end: a process that was frozen or cut off and wakes later writes
//!   nothing, whatever it believes.
//! - Leaders elected by one Lease come after each other: a later one ends what an earlier one has
//!   left open, lock and transactions. Between writers of different Leases, or of none, nobody is
//!   ended: the second waits.
//!
//! Readers need none of this.

mod lock;
mod watch;

use std::sync::Arc;

use sqlx::{Connection, PgConnection};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::error::{Doing, StoreError};
use super::{Memory, Reader, Store, StoreOptions, check_server, connect};
use lock::Lock;

/// Who wants to write.
#[derive(Clone, Debug)]
pub struct WriterIdentity {
    /// A name for people, such as the pod's: whoever has to wait is told it.
    pub holder: String,
    /// By what it was elected; none where there is no election.
    pub elected: Option<Elected>,
}

/// What a leader was elected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// UID of the Lease.
    pub lease: String,
    /// How often the Lease has changed hands: who comes later has a higher number.
    pub transition: i64,
}

impl Elected {
    /// What its connections are called in `pg_stat_activity`; Postgres keeps 63 bytes.
    fn application_name(&self) -> String {
        format!("centrex {} {}", self.lease, self.transition)
    }

    /// The same Lease's number that a connection was opened with; none for all others.
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
    /// Connects as [`Store::connect`] does, and becomes the one that writes, for the first time in this
    /// process.
    ///
    /// # Errors
    /// [`StoreError::Led`] while somebody else writes, which is worth another try after a while;
    /// [`StoreError::Fenced`] when a later leader of the same Lease writes; else as
    /// [`Store::connect`].
    pub async fn lead(options: &StoreOptions, candidate: &WriterIdentity) -> Result<Self, StoreError> {
        Self::lead_again(options, candidate, &Memory::default()).await
    }

    /// The same for a process that may have written before: by what it wrote it is noticed that the database
    /// was set back since ([`Store::was_set_back`]).
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
        let led = Self::take_lead(options, candidate, memory, &mut connection).await;
        let closed = connection.close().await;
        let store = led?;
        closed.doing("closing a connection")?;
        Ok(store)
    }

    async fn take_lead(
        options: &StoreOptions,
        candidate: &WriterIdentity,
        memory: &Memory,
        connection: &mut PgConnection,
    ) -> Result<Self, StoreError> {
        check_server(connection).await?;
        let name = candidate.elected.as_ref().map(Elected::application_name);
        let mut options = options.clone();
        options.connect = options.connect.application_name(name.as_deref().unwrap_or("centrex writer"));
        // The lock comes before the migrations: they are a writer's business too.
        let mut lock = Lock::take(&options.connect, candidate).await?;
        let reader = Reader::lazy(&options);
        let begun = async {
            let signing_key = Self::prepare(connection, &options.keyring).await?;
            let term = lock.raise_term(candidate).await?;
            let stored = reader.revisions(&mut *connection).await?;
            Ok((signing_key, term, memory.begin(term, term - 1, &stored)))
        };
        let (signing_key, term, set_back) = match begun.await {
            Ok(begun) => begun,
            Err(error) => {
                lock.close().await;
                return Err(error);
            }
        };
        tracing::info!(term, holder = candidate.holder, "writing to the database");
        if set_back {
            tracing::warn!(
                "the database was set back to an older state: everything is compared before it is served"
            );
        }
        let (lost, end, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(lock.keep(lost.clone().drop_guard(), end.clone()));
        let watched = watch::watch(reader.clone(), memory.clone(), term, lost.clone(), end.clone());
        tasks.spawn(watched);
        tasks.close();
        let lead = WriterTerm { term, set_back, lost, _guard: end.clone().drop_guard(), end, tasks };
        Ok(Self { reader, signing_key, memory: memory.clone(), lead: Some(Arc::new(lead)) })
    }

    /// The term; none for a store that was only connected.
    pub fn term(&self) -> Option<i64> {
        self.lead.as_ref().map(|lead| lead.term)
    }

    /// Whether the database was set back since this process wrote last, as by a restored backup.
    pub fn was_set_back(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.set_back)
    }

    /// Cancelled when the right to write is lost or was given back, and when the database was set back:
    /// nothing can be written with this store any more. Never for one that was only connected.
    pub fn lost(&self) -> CancellationToken {
        self.lead.as_ref().map(|lead| lead.lost.clone()).unwrap_or_default()
    }

    /// Gives the right to write back, for the next one to begin at once. Dropping the last clone of
    /// the store does the same, a little later.
    pub async fn resign(&self) {
        if let Some(lead) = &self.lead {
            lead.end.cancel();
            lead.tasks.wait().await;
        }
    }

    /// Comes first in every transaction that writes a plan: refuses when it is no longer ours to
    /// write, and sees to it that nobody else begins before the transaction has ended. One that
    /// stays open without a sign of life is ended by Postgres.
    pub(super) async fn fence(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Some(lead) = &self.lead else { return Ok(()) };
        if lead.lost.is_cancelled() {
            return Err(StoreError::Fenced("its lock was lost, or the database set back".to_owned()));
        }
        let (term, holder): (i64, String) = sqlx::query_as(
            "SELECT term, holder FROM (SELECT term, holder FROM public.writer FOR SHARE) AS writer,
                    set_config('idle_in_transaction_session_timeout', '60s', true)",
        )
        .fetch_one(connection)
        .await
        .doing("asking whose term it is")?;
        match term == lead.term {
            true => Ok(()),
            false => Err(StoreError::Fenced(format!("term {} is over, {holder} has term {term}", lead.term))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_of_one_lease_are_told_from_others() {
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
