//! Verifies the switch against the replica: which differences there are, and whether changes have taken effect.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::apply::ApplyReport;
use super::change::{Change, Changes};
use super::plan::{changes_between, desired_state, differences};
use super::read;
use super::read::Observed;
use super::state::State;
use super::switch_loop::{Live, SessionState};
use crate::freeswitch::esl::{Client, EslError};
use crate::plan::Service;
use crate::replica::spellings::Spellings;
use crate::replica::tenants::Snapshot;
use crate::route::legal::Word;
use crate::secrets::signing_key::SigningKey;

/// A difference counts only if it still exists after this delay: profiles that are starting and gateways
/// that are being removed are not differences.
const RECHECK_DELAY: Duration = Duration::from_secs(2);
/// How long changes may take to show on the switch, and how often that is checked.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
const VERIFY_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The same timeout while newer revisions wait to be applied: a later comparison shows late changes.
const HURRIED_VERIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// The replica's content at one moment.
pub(super) struct ReplicaSnapshot {
    /// Whether the replica has everything that Postgres has. An incomplete one may lack what exists and
    /// may be older than the switch.
    pub(super) complete: bool,
    /// Its content.
    pub(super) now: Snapshot,
    /// Changes since the content that was last applied; none while the replica is incomplete.
    pub(super) revised: Changes,
}

impl Live {
    /// Takes a snapshot of the replica.
    pub(super) fn replica_snapshot(&self, session: &SessionState, key: &SigningKey) -> ReplicaSnapshot {
        // Before the snapshot: a complete replica stays complete.
        let complete = self.progress.borrow().complete;
        let now = self.answers.replica.snapshot();
        let revised = match &session.last_applied {
            _ if !complete => Changes::new(),
            Some(before) => {
                let changes = changes_between(before, &now, key, &self.answers.media);
                with_spellings(changes, &self.answers.replica.spellings)
            }
            None => Changes::from([Change::ReloadAcl]),
        };
        ReplicaSnapshot { complete, now, revised }
    }

    /// Changes that end calls of tenants that are not served; `None` if there are too many calls to
    /// check.
    pub(super) async fn stray_calls(
        &self,
        client: &Client,
        session: &mut SessionState,
        now: &Snapshot,
        key: &SigningKey,
    ) -> Result<Option<Changes>, EslError> {
        match read::tenants(client, key).await {
            Err(EslError::Unreadable { reason, .. }) => {
                session.not_compared.push(reason);
                Ok(None)
            }
            tenants => {
                let end = |tenant: Uuid| {
                    let held = now.tenants.get(&tenant);
                    let service = held.map_or(Service::None, |held| held.view.plan.tenant.service());
                    let but_emergency = service == Service::EmergencyOnly;
                    (service != Service::Full).then_some(Change::EndCalls { tenant, but_emergency })
                };
                Ok(Some(tenants?.into_iter().filter_map(end).collect()))
            }
        }
    }

    /// Records how profiles run that must be restarted, so that answers repeat it until the restart.
    pub(super) async fn record_profile_overrides(
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
            if let Some(running) = read::running_profile(client, word).await? {
                self.answers.running.insert(name, running.row(row));
            }
        }
        Ok(())
    }

    /// Compares the switch with the replica, twice unless all differences are about to be changed anyway,
    /// and stores the differences that both comparisons found. Returns the newer snapshot with the state
    /// that it wants.
    pub(super) async fn compare(
        &self,
        client: &Client,
        session: &mut SessionState,
        (mut snapshot, mut want): (ReplicaSnapshot, State),
        key: &SigningKey,
    ) -> Result<(ReplicaSnapshot, State), EslError> {
        let found = self.observe(client).await?;
        self.publish_listening(session, &found, &want);
        session.differences = differences(&found, &want, &snapshot.now);
        let expected = |change| snapshot.revised.contains(change) || session.retry.contains(change);
        if !session.differences.iter().all(expected) {
            tokio::time::sleep(RECHECK_DELAY).await;
            let again = self.observe(client).await?;
            snapshot = self.replica_snapshot(session, key);
            want = desired_state(&snapshot.now, key, &self.answers.media);
            self.publish_listening(session, &again, &want);
            let still = differences(&again, &want, &snapshot.now);
            session.differences =
                differences(&found, &want, &snapshot.now).intersection(&still).cloned().collect();
        }
        (session.gateways, session.not_compared) = (found.gateways, found.not_compared);
        Ok((snapshot, want))
    }

    /// Reads the switch, and remembers its registrations and how phones spell their domains.
    async fn observe(&self, client: &Client) -> Result<Observed, EslError> {
        let mut found = read::observe(client).await?;
        self.answers.replica.spellings.listed(&found.registered);
        self.registrations.listed(std::mem::take(&mut found.registrations));
        self.count_registrations();
        Ok(found)
    }

    /// Publishes whether the switch listens for calls. A profile that fails to start keeps a starting
    /// switch from getting calls, but not a switch that has listened before: its other profiles work.
    fn publish_listening(&self, session: &mut SessionState, found: &Observed, want: &State) {
        let runs = |name: &String| found.state.profiles.contains_key(name);
        session.has_listened |= want.profiles.keys().all(runs);
        let listening = session.has_listened && (want.profiles.is_empty() || want.profiles.keys().any(runs));
        self.findings
            .send_if_modified(|findings| std::mem::replace(&mut findings.listening, listening) != listening);
    }

    /// Reads the switch until all tried changes show there, or a timeout passes.
    pub(super) async fn await_changes(
        &self,
        client: &Client,
        session: &mut SessionState,
        want: &State,
        now: &Snapshot,
        report: &ApplyReport,
    ) -> Result<Observed, EslError> {
        let start = Instant::now();
        loop {
            let mut found = self.observe(client).await?;
            self.publish_listening(session, &found, want);
            session.differences = differences(&found, want, now);
            if !is_awaited(&session.differences, report, start.elapsed(), || self.is_newer_than(now)) {
                session.gateways = std::mem::take(&mut found.gateways);
                return Ok(found);
            }
            tokio::time::sleep(VERIFY_POLL_INTERVAL).await;
        }
    }
}

/// The changes, with the registrations that have another spelling of the domain.
fn with_spellings(mut changes: Changes, spellings: &Spellings) -> Changes {
    let mut others = Changes::new();
    for change in &changes {
        match change {
            Change::FlushRegistration { tenant, user, domain } => {
                others.extend(
                    spellings.of_user(domain, user).into_iter().map(|domain| Change::FlushRegistration {
                        tenant: *tenant,
                        user: user.clone(),
                        domain,
                    }),
                );
            }
            Change::FlushDomain { tenant, domain } => {
                let hosts = spellings.of_domain(domain).into_iter();
                others.extend(hosts.map(|domain| Change::FlushDomain { tenant: *tenant, domain }));
            }
            _ => {}
        }
    }
    changes.append(&mut others);
    changes
}

/// Whether to read the switch again because a tried change does not show yet. A change that disturbs
/// calls is awaited for the full timeout even if revisions wait: otherwise its effect stays unknown.
fn is_awaited(
    differences: &Changes,
    report: &ApplyReport,
    elapsed: Duration,
    revisions_wait: impl Fn() -> bool,
) -> bool {
    let is_open = |change: &&Change| report.tried.contains(change) && !report.refused.contains_key(change);
    let open: Vec<_> = differences.iter().filter(is_open).collect();
    let hurries = || elapsed >= HURRIED_VERIFY_TIMEOUT && !open.iter().any(|change| change.harms());
    !open.is_empty() && elapsed < VERIFY_TIMEOUT && !(hurries() && revisions_wait())
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
    fn a_revision_waits_one_second_for_a_missing_change_and_longer_for_a_harmful_one() {
        let start = || Change::StartProfile { profile: "internal".to_owned() };
        let restart = || Change::RestartProfile { profile: "internal".to_owned() };
        assert!(awaited(start(), Duration::ZERO, true));
        assert!(!awaited(start(), HURRIED_VERIFY_TIMEOUT, true));
        assert!(awaited(start(), HURRIED_VERIFY_TIMEOUT, false));
        assert!(awaited(restart(), HURRIED_VERIFY_TIMEOUT, true));
        assert!(!awaited(restart(), VERIFY_TIMEOUT, true) && !awaited(start(), VERIFY_TIMEOUT, false));
    }

    #[test]
    fn applied_and_refused_changes_are_not_awaited() {
        let change = Change::StartProfile { profile: "internal".to_owned() };
        let tried = Changes::from([change.clone()]);
        let done = ApplyReport { tried: tried.clone(), ..ApplyReport::default() };
        assert!(!is_awaited(&Changes::new(), &done, Duration::ZERO, || false));
        let refused =
            ApplyReport { tried: tried.clone(), refused: [(change, "no".to_owned())].into(), ..done };
        assert!(!is_awaited(&tried, &refused, Duration::ZERO, || false));
    }
}
