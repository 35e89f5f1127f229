//! Much work of one tenant: other tenants do not wait for it, it does not flood the log, and a changed Secret
//! shows in the status before a user could rely on the old status.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{Patch, PatchParams};

use super::Site;
use crate::program::{Program, sample};
use crate::wait::{DEADLINE, until};
use centrex::resources::Extension;

/// Extensions of the tenant with much work.
const MANY: usize = 1000;

fn written(operator: &Program) -> f64 {
    sample(&operator.get("/metrics").1, "centrex_operator_status_writes_total").unwrap()
}

fn is_ready(extension: &Extension) -> bool {
    let conditions = extension.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn status_writes_of_one_tenant_delay_no_other_tenant() {
    let Some(site) = Site::start("operator::statuses_of_one_tenant").await else { return };
    let operator = site.operator(&[]);
    site.tenant("bulk", "");
    site.tenant("other", "");
    site.cluster.apply(&site.extension("other", 100));
    let all: String = (0..MANY).map(|index| site.extension("bulk", 1000 + index)).collect();
    site.cluster.apply(&all);
    site.wait_for("other", "extension/e100", "Live=Unknown NoSwitches");
    let told = || {
        let status = site.get("bulk", "tenant/bulk")?["status"].clone();
        (status["resources"][0]["programmed"] == MANY).then_some(()).or_else(|| {
            let last = site.conditions("bulk", &format!("extension/e{}", 999 + MANY));
            last.contains(&"Live=Unknown NoSwitches".to_owned()).then_some(())
        })
    };
    until(DEADLINE, told).expect("all are stored");
    let quiet = || {
        let before = written(&operator);
        std::thread::sleep(Duration::from_secs(1));
        (written(&operator) == before).then_some(())
    };
    until(DEADLINE, quiet).expect("all statuses are written");

    // All passwords were generated, without a log line for each.
    let log = operator.log();
    let lines = log.lines().filter(|line| line.contains("bulk")).count();
    assert!(lines < 100, "{lines} lines for {MANY} extensions:\n{log}");
    assert!(log.contains("passwords of phones were generated"), "{log}");

    // The first switch changes every status, and the tenant with many extensions comes first.
    let extensions: Api<Extension> = Api::namespaced(site.cluster.client().await, "other");
    let (before, start) = (written(&operator), Instant::now());
    let _switch = site.switch("switch-1");
    while !is_ready(&extensions.get("e100").await.unwrap()) {
        assert!(start.elapsed() < DEADLINE, "never ready");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (first, waited) = (written(&operator) - before, start.elapsed());
    until(DEADLINE, || (written(&operator) - before >= MANY as f64).then_some(())).expect("all the others");
    println!("ready after {waited:?} and {first} statuses; all {MANY} after {:?}", start.elapsed());
    assert!(first < MANY as f64 / 4.0, "{first} statuses of another tenant were written first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_changed_secret_is_reported_at_once() {
    let Some(site) = Site::start("operator::a_secret_that_changes").await else { return };
    let _operator = site.operator(&[]);
    let switch = site.switch("switch-1");
    site.apply_samples();
    site.samples_ready();
    let client = site.cluster.client().await;
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client.clone(), "acme");
    let extensions: Api<Extension> = Api::namespaced(client, "acme");
    let (mut windows, mut told) = (Vec::new(), 0);
    for turn in 0..10 {
        let before = switch.answer("acme-register-1001");
        let password = serde_json::json!({ "stringData": { "password": format!("changed-{turn:08}") } });
        let patched = secrets.patch("alice-sip", &PatchParams::default(), &Patch::Merge(password)).await;
        let (start, _) = (Instant::now(), patched.unwrap());
        // How long the status is Ready while the switch still has the old password.
        let (mut ready, mut unready) = (Duration::ZERO, false);
        while switch.answer("acme-register-1001") == before {
            match is_ready(&extensions.get("alice").await.unwrap()) {
                true => ready = start.elapsed(),
                false => unready = true,
            }
            assert!(start.elapsed() < DEADLINE, "never changed");
        }
        windows.push(ready);
        told += usize::from(unready);
        site.wait_for("acme", "extension/alice", "Ready=True Ready");
        assert_ne!(switch.answer("acme-register-1001"), before, "ready, with the old password");
    }
    windows.sort();
    println!("Ready=True with the old password: {windows:?}");
    // A status can say nothing before the watch reports the change, but must change before a switch has the
    // new password.
    assert!(told >= 8, "{told} of 10 statuses preceded the new password: {windows:?}");
}
