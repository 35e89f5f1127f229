//! Looking at the switch: before changes are made, and until they are seen.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::apply::Done;
use super::change::{Change, Changes};
use super::plan::differences;
use super::read::{self, Found};
use super::state::State;
use super::task::{Live, Memory};
use crate::route::SigningKey;
use crate::route::legal::Word;
use crate::switch::esl::{Client, EslError};
use crate::switch::replica::Snapshot;

/// A difference that was found counts when it is there this much later too: a profile that starts, or
/// a gateway that goes, is none.
const AGAIN: Duration = Duration::from_secs(2);
/// How long changes may take to be seen, and how often it is looked.
const SETTLE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(250));

impl Live {
    /// Calls of tenants that are not served; none where there are too many calls to be looked at.
    pub(super) async fn calls(
        &self,
        client: &Client,
        memory: &mut Memory,
        now: &Snapshot,
        key: &SigningKey,
    ) -> Result<Option<Changes>, EslError> {
        match read::tenants(client, key).await {
            Err(EslError::Unreadable { reason, .. }) => {
                memory.beyond.push(reason);
                Ok(None)
            }
            tenants => {
                let served =
                    |id: &Uuid| now.tenants.get(id).is_some_and(|held| !held.view.plan.tenant.suspended);
                let others = tenants?.into_iter().filter(|id| !served(id));
                Ok(Some(others.map(|tenant| Change::EndCalls { tenant }).collect()))
            }
        }
    }

    /// Profiles that have to be started anew are told what they have until they are.
    pub(super) async fn note_running(
        &self,
        client: &Client,
        todo: &Changes,
        now: &Snapshot,
    ) -> Result<(), EslError> {
        let known = self.answers.running.all();
        for change in todo.iter().filter(|change| matches!(change, Change::RestartProfile { .. })) {
            let Some(name) = change.profile().filter(|name| !known.contains_key(*name)) else { continue };
            let (Some(row), Some(word)) = (now.platform.sip_profiles.get(name), Word::new(name)) else {
                continue;
            };
            if let Some(running) = read::running(client, word).await? {
                self.answers.running.note(name, running.row(row));
            }
        }
        Ok(())
    }

    /// What is different, and still is after a moment.
    pub(super) async fn differences(
        &self,
        client: &Client,
        memory: &mut Memory,
        want: &State,
        now: &Snapshot,
        todo: &Changes,
    ) -> Result<Changes, EslError> {
        let found = read::found(client).await?;
        let first = differences(&found, want, now);
        (memory.gateways, memory.beyond) = (found.gateways, found.beyond);
        if first.is_subset(todo) {
            return Ok(first);
        }
        tokio::time::sleep(AGAIN).await;
        let second = differences(&read::found(client).await?, want, now);
        Ok(first.intersection(&second).cloned().collect())
    }

    /// Looks until everything that was tried is seen, or long enough.
    pub(super) async fn settle(
        &self,
        client: &Client,
        memory: &mut Memory,
        want: &State,
        now: &Snapshot,
        done: &Done,
    ) -> Result<Found, EslError> {
        let deadline = Instant::now() + SETTLE.0;
        loop {
            let mut found = read::found(client).await?;
            memory.left = differences(&found, want, now);
            let open =
                memory.left.iter().any(|left| done.tried.contains(left) && !done.refused.contains_key(left));
            if !open || Instant::now() >= deadline {
                memory.gateways = std::mem::take(&mut found.gateways);
                return Ok(found);
            }
            tokio::time::sleep(SETTLE.1).await;
        }
    }
}
