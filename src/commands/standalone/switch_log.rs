//! Logs what the event socket reports of the switch, because standalone has no statuses to write it into.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};
use uuid::Uuid;

use crate::plan::report::SwitchReport;
use crate::plan::report::{Ack, SwitchInfo, SwitchState};
use crate::replica::follow::Progress;
use crate::replica::tenants::{Replica, Snapshot};
use crate::status::AckTable;
use crate::status::conditions::ConditionValue;
use crate::status::emergency;
use crate::status::vulnerabilities::{VULNERABILITIES, is_vulnerable};

/// Logs each difference from the previous report, until the sidecar ends.
pub(super) async fn run(
    mut report: watch::Receiver<SwitchReport>,
    mut progress: watch::Receiver<Progress>,
    replica: Arc<Replica>,
) {
    let (mut previous, mut emergencies) = (SwitchReport::default(), EmergencyConditions::default());
    loop {
        let current = report.borrow_and_update().clone();
        progress.mark_unchanged();
        log_differences(&previous, &current);
        emergencies.log(&current, &replica.snapshot());
        previous = current;
        let changed = tokio::select! {
            changed = report.changed() => changed,
            changed = progress.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// The last logged condition of each tenant's emergency trunk.
#[derive(Default)]
struct EmergencyConditions(BTreeMap<Uuid, ConditionValue>);

impl EmergencyConditions {
    /// Logs each tenant whose emergency trunk fails, or works again.
    fn log(&mut self, report: &SwitchReport, snapshot: &Snapshot) {
        let mut acks = AckTable::default();
        let switch = SwitchInfo { name: "this switch".to_owned(), hostname: None };
        acks.record(Ack::Appeared(
            switch,
            SwitchState { findings: report.clone(), ..SwitchState::default() },
        ));
        self.0.retain(|id, _| snapshot.tenants.contains_key(id));
        for (id, entry) in &snapshot.tenants {
            let tenant = &entry.view.plan.tenant;
            let condition = tenant.emergency.as_ref().map(|row| emergency::emergency_condition(row, &acks));
            // `Unknown` is no news.
            let Some(condition) = condition.filter(|condition| condition.status != "Unknown") else {
                continue;
            };
            let previous = self.0.insert(*id, condition.clone());
            if previous.as_ref() == Some(&condition) {
                continue;
            }
            let (name, text) = (format!("{}/{}", tenant.namespace, tenant.name), condition.message);
            if condition.status == "False" {
                warn!(tenant = name, reason = condition.reason, "emergency calls of a tenant: {text}");
            } else if previous.is_some() {
                info!(tenant = name, "emergency calls of a tenant leave by their trunk again: {text}");
            }
        }
    }
}

/// Logs what one report has and the other has not.
fn log_differences(previous: &SwitchReport, current: &SwitchReport) {
    if let Some(version) =
        current.version.as_ref().filter(|version| previous.version.as_ref() != Some(version))
    {
        match is_vulnerable(version) {
            Some(true) => warn!(version, "this FreeSWITCH is older than 1.11.2: {VULNERABILITIES}"),
            _ => info!(version, "the version of FreeSWITCH"),
        }
    }
    for drift in current.drift.iter().filter(|drift| !previous.drift.contains(drift)) {
        warn!("FreeSWITCH differs from its configuration: {drift}");
    }
    for drift in previous.drift.iter().filter(|drift| !current.drift.contains(drift)) {
        info!("FreeSWITCH no longer differs: {drift}");
    }
    for (tenant, problem) in
        current.problems.iter().filter(|(id, text)| previous.problems.get(id) != Some(text))
    {
        warn!(%tenant, "FreeSWITCH did not apply something of a tenant: {problem}");
    }
    for tenant in previous.problems.keys().filter(|id| !current.problems.contains_key(id)) {
        info!(%tenant, "FreeSWITCH has everything of the tenant");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// Lines since the last call.
        fn drain_lines(&self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn each_difference_is_logged_once() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut now =
                SwitchReport { version: Some("1.10.12-release".to_owned()), ..SwitchReport::default() };
            log_differences(&SwitchReport::default(), &now);
            let lines = log.drain_lines();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("WARN") && lines[0].contains("REFER"), "{lines:?}");

            let before = now.clone();
            (now.drift, now.calls) = (vec!["queue support@acme is missing".to_owned()], 3);
            now.problems.insert(uuid::Uuid::nil(), "no such profile".to_owned());
            log_differences(&before, &now);
            let lines = log.drain_lines();
            assert_eq!(lines.iter().filter(|line| line.contains("WARN")).count(), 2, "{lines:?}");
            assert!(lines[0].contains("queue support@acme") && lines[1].contains("no such profile"));

            log_differences(&now, &SwitchReport { calls: 4, ..now.clone() });
            assert_eq!(log.drain_lines(), [""; 0]);
            log_differences(&now, &before);
            let lines = log.drain_lines();
            assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("INFO")), "{lines:?}");
        });
    }
}
