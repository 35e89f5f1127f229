//! Looking at the switch: before changes are made, and until they are seen.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::apply::ApplyReport;
use super::change::{Change, Changes};
use super::plan::{differences, revised, wanted};
use super::read;
use super::read::Observed;
use super::state::State;
use super::task::{Live, SessionState};
use crate::freeswitch::esl::{Client, EslError};
use crate::replica::tenants::Snapshot;
use crate::route::legal::Word;
use crate::secrets::signing_key::SigningKey;

/// A difference that was found counts when it is there this much later too: a profile that starts, or
/// a gateway that goes, is none.
const AGAIN: Duration = Duration::from_secs(2);
/// How long changes may take to be seen, and how often it is looked.
const SETTLE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(250));
/// How long while newer changes wait to be made: the next look shows what is late.
const HURRIED: Duration = Duration::from_secs(1);

/// What the replica holds at one moment.
pub(super) struct ReplicaSnapshot {
    /// Whether it is all that there is. What it lacks may be missing only here where it is not, and
    /// what it has may be older than what is on the switch.
    pub(super) complete: bool,
    /// What it holds.
    pub(super) now: Snapshot,
    /// What changed since the switch was last brought to something; what changed before everything was
    /// there is told then.
    pub(super) revised: Changes,
}

impl Live {
    /// What the replica holds now.
    pub(super) fn moment(&self, memory: &SessionState, key: &SigningKey) -> ReplicaSnapshot {
        // In this order: what is complete stays so.
        let complete = self.progress.borrow().complete;
        let now = self.answers.replica.snapshot();
        let revised = match &memory.before {
            _ if !complete => Changes::new(),
            Some(before) => revised(before, &now, key, &self.answers.media),
            None => Changes::from([Change::ReloadAcl]),
        };
        ReplicaSnapshot { complete, now, revised }
    }

    /// Calls of tenants that are not served; none where there are too many calls to be looked at.
    pub(super) async fn calls(
        &self,
        client: &Client,
        memory: &mut SessionState,
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

    /// What is different, and still is after a moment; what the replica comes to hold meanwhile is
    /// what counts. What is about to be done anyhow needs no second look.
    pub(super) async fn compare(
        &self,
        client: &Client,
        memory: &mut SessionState,
        (mut moment, mut want): (ReplicaSnapshot, State),
        key: &SigningKey,
    ) -> Result<(ReplicaSnapshot, State), EslError> {
        let found = read::found(client).await?;
        self.note_listening(memory, &found, &want);
        memory.left = differences(&found, &want, &moment.now);
        let expected = |change| moment.revised.contains(change) || memory.retry.contains(change);
        if !memory.left.iter().all(expected) {
            tokio::time::sleep(AGAIN).await;
            let again = read::found(client).await?;
            moment = self.moment(memory, key);
            want = wanted(&moment.now, key, &self.answers.media);
            self.note_listening(memory, &again, &want);
            let second = differences(&again, &want, &moment.now);
            memory.left = differences(&found, &want, &moment.now).intersection(&second).cloned().collect();
        }
        (memory.gateways, memory.beyond) = (found.gateways, found.beyond);
        Ok((moment, want))
    }

    /// Tells whether calls find the switch. A profile that does not come up keeps a switch that starts
    /// from being sent calls, and no other: the rest of it works.
    fn note_listening(&self, memory: &mut SessionState, found: &Observed, want: &State) {
        let runs = |name: &String| found.state.profiles.contains_key(name);
        memory.has_listened |= want.profiles.keys().all(runs);
        let listening = memory.has_listened && (want.profiles.is_empty() || want.profiles.keys().any(runs));
        self.findings
            .send_if_modified(|findings| std::mem::replace(&mut findings.listening, listening) != listening);
    }

    /// Looks until everything that was tried is seen, or long enough.
    pub(super) async fn settle(
        &self,
        client: &Client,
        memory: &mut SessionState,
        want: &State,
        now: &Snapshot,
        done: &ApplyReport,
    ) -> Result<Observed, EslError> {
        let start = Instant::now();
        loop {
            let mut found = read::found(client).await?;
            self.note_listening(memory, &found, want);
            memory.left = differences(&found, want, now);
            if !is_awaited(&memory.left, done, start.elapsed(), || self.is_newer_than(now)) {
                memory.gateways = std::mem::take(&mut found.gateways);
                return Ok(found);
            }
            tokio::time::sleep(SETTLE.1).await;
        }
    }
}

/// Whether something that was tried is still to be seen, and is looked for once more. What harms is
/// looked for as long as it takes, whatever waits: only then is it known whether it helps.
fn is_awaited(left: &Changes, done: &ApplyReport, looked: Duration, newer_wait: impl Fn() -> bool) -> bool {
    let open: Vec<_> =
        left.iter().filter(|left| done.tried.contains(left) && !done.refused.contains_key(left)).collect();
    let hurried = || looked >= HURRIED && !open.iter().any(|change| change.harms()) && newer_wait();
    !open.is_empty() && looked < SETTLE.0 && !hurried()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awaited(change: Change, looked: Duration, newer_wait: bool) -> bool {
        let left = Changes::from([change]);
        let done = ApplyReport { tried: left.clone(), ..ApplyReport::default() };
        is_awaited(&left, &done, looked, || newer_wait)
    }

    #[test]
    fn a_revision_waits_a_second_for_what_does_not_come_and_longer_for_what_harms() {
        let start = || Change::StartProfile { profile: "internal".to_owned() };
        let restart = || Change::RestartProfile { profile: "internal".to_owned() };
        assert!(awaited(start(), Duration::ZERO, true));
        assert!(!awaited(start(), HURRIED, true));
        assert!(awaited(start(), HURRIED, false));
        assert!(awaited(restart(), HURRIED, true));
        assert!(!awaited(restart(), SETTLE.0, true) && !awaited(start(), SETTLE.0, false));
    }

    #[test]
    fn what_is_seen_or_was_refused_is_not_awaited() {
        let change = Change::StartProfile { profile: "internal".to_owned() };
        let tried = Changes::from([change.clone()]);
        let done = ApplyReport { tried: tried.clone(), ..ApplyReport::default() };
        assert!(!is_awaited(&Changes::new(), &done, Duration::ZERO, || false));
        let refused =
            ApplyReport { tried: tried.clone(), refused: [(change, "no".to_owned())].into(), ..done };
        assert!(!is_awaited(&tried, &refused, Duration::ZERO, || false));
    }
}
