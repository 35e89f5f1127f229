//! What is found on the switch, in the log: there are no statuses here.

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
use crate::status::version::{HOLES, has_holes};

/// Tells what is found, once for each time that it differs from before.
pub(super) async fn tell(
    mut findings: watch::Receiver<SwitchReport>,
    mut progress: watch::Receiver<Progress>,
    replica: Arc<Replica>,
) {
    let (mut told, mut emergencies) = (SwitchReport::default(), Emergencies::default());
    loop {
        let now = findings.borrow_and_update().clone();
        progress.mark_unchanged();
        differences(&told, &now);
        emergencies.tell(&now, &replica.snapshot());
        told = now;
        let changed = tokio::select! {
            changed = findings.changed() => changed,
            changed = progress.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What was told last of the tenants' emergency trunks.
#[derive(Default)]
struct Emergencies(BTreeMap<Uuid, ConditionValue>);

impl Emergencies {
    /// Tells whose emergency calls do not leave by their trunk, and whose do again.
    fn tell(&mut self, findings: &SwitchReport, now: &Snapshot) {
        let mut acks = AckTable::default();
        let switch = SwitchInfo { name: "this switch".to_owned(), hostname: None };
        acks.take(Ack::Appeared(
            switch,
            SwitchState { findings: findings.clone(), ..SwitchState::default() },
        ));
        self.0.retain(|id, _| now.tenants.contains_key(id));
        for (id, held) in &now.tenants {
            let tenant = &held.view.plan.tenant;
            let found = tenant.emergency.as_ref().map(|row| emergency::found(row, &acks));
            // What is not known is as it was.
            let Some(found) = found.filter(|found| found.status != "Unknown") else { continue };
            let before = self.0.insert(*id, found.clone());
            if before.as_ref() == Some(&found) {
                continue;
            }
            let (name, text) = (format!("{}/{}", tenant.namespace, tenant.name), found.message);
            if found.status == "False" {
                warn!(tenant = name, reason = found.reason, "emergency calls of a tenant: {text}");
            } else if before.is_some() {
                info!(tenant = name, "emergency calls of a tenant leave by their trunk again: {text}");
            }
        }
    }
}

fn differences(before: &SwitchReport, now: &SwitchReport) {
    if let Some(version) = now.version.as_ref().filter(|version| before.version.as_ref() != Some(version)) {
        match has_holes(version) {
            Some(true) => warn!(version, "this FreeSWITCH is older than 1.11.2: {HOLES}"),
            _ => info!(version, "the version of FreeSWITCH"),
        }
    }
    for drift in now.drift.iter().filter(|drift| !before.drift.contains(drift)) {
        warn!("FreeSWITCH differs from what it should be: {drift}");
    }
    for drift in before.drift.iter().filter(|drift| !now.drift.contains(drift)) {
        info!("FreeSWITCH no longer differs: {drift}");
    }
    for (tenant, problem) in now.problems.iter().filter(|(id, text)| before.problems.get(id) != Some(text)) {
        warn!(%tenant, "FreeSWITCH did not take something of a tenant: {problem}");
    }
    for tenant in before.problems.keys().filter(|id| !now.problems.contains_key(id)) {
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
        /// What came since it was asked last.
        fn news(&self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn what_is_found_is_told_once() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut now =
                SwitchReport { version: Some("1.10.12-release".to_owned()), ..SwitchReport::default() };
            differences(&SwitchReport::default(), &now);
            let told = log.news();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains("WARN") && told[0].contains("REFER"), "{told:?}");

            let before = now.clone();
            (now.drift, now.calls) = (vec!["queue support@acme is missing".to_owned()], 3);
            now.problems.insert(uuid::Uuid::nil(), "no such profile".to_owned());
            differences(&before, &now);
            let told = log.news();
            assert_eq!(told.iter().filter(|line| line.contains("WARN")).count(), 2, "{told:?}");
            assert!(told[0].contains("queue support@acme") && told[1].contains("no such profile"));

            differences(&now, &SwitchReport { calls: 4, ..now.clone() });
            assert_eq!(log.news(), [""; 0]);
            differences(&now, &before);
            let told = log.news();
            assert!(told.len() == 2 && told.iter().all(|line| line.contains("INFO")), "{told:?}");
        });
    }
}
