//! The reports of switches appear in the statuses of the Switch, the Trunk and the Tenant.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use centrex::plan::report::SwitchInfo;
use centrex::plan::report::{Applied, GatewayState, SwitchReport};
use centrex::store::Reader;
use centrex::store::reports::Reporter;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Site;
use crate::postgres::keyring;
use crate::wait::{DEADLINE, until};

const TRUNK: &str = "carriers/carrier";

/// A switch that reports every stored revision, and the findings that a test sets.
struct Fake {
    findings: watch::Sender<SwitchReport>,
    task: JoinHandle<()>,
}

impl Fake {
    fn start(site: &Site, name: &str, findings: SwitchReport) -> Self {
        let reader = Reader::lazy(&site.database.store_options(&keyring(&[(1, 'a')])));
        let info = SwitchInfo { name: name.to_owned(), hostname: Some("host.example.com".to_owned()) };
        let (sender, mut told) = watch::channel(findings);
        let task = tokio::spawn(async move {
            let mut reporter = Reporter::new(&reader, info);
            loop {
                let platform = sqlx::query_scalar("SELECT revision FROM public.platform");
                let platform = platform.fetch_one(reader.pool()).await.unwrap();
                let tenants = sqlx::query_as("SELECT id, revision FROM public.tenants");
                let tenants: Vec<(Uuid, i64)> = tenants.fetch_all(reader.pool()).await.unwrap();
                let held = Applied { platform, tenants: tenants.into_iter().collect() };
                let now = told.borrow_and_update().clone();
                assert!(reporter.report(held, &now).await.unwrap());
                let _ = tokio::time::timeout(Duration::from_millis(500), told.changed()).await;
            }
        });
        Self { findings: sender, task }
    }

    fn find(&self, change: impl FnOnce(&mut SwitchReport)) {
        self.findings.send_modify(change);
    }
}

impl Drop for Fake {
    /// Ends the switch as a power cut does.
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn gateways(states: [&str; 2]) -> BTreeMap<String, Vec<GatewayState>> {
    let gateways = states.map(|state| GatewayState { state: state.to_owned(), up: true });
    [(TRUNK.to_owned(), gateways.to_vec())].into()
}

fn good(version: &str) -> SwitchReport {
    SwitchReport {
        version: Some(version.to_owned()),
        connected: Some(true),
        gateways: gateways(["REGED", "REGED"]),
        ..SwitchReport::default()
    }
}

fn message(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == type_).unwrap();
    found["message"].as_str().unwrap().to_owned()
}

fn version(site: &Site, namespace: &str, object: &str) -> Value {
    site.get(namespace, object).unwrap()["metadata"]["resourceVersion"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_of_switches_appear_in_the_statuses_of_their_resources() {
    let Some(site) = Site::start("operator::what_switches_find").await else { return };
    let operator = site.operator(&[]);
    site.apply_samples();
    site.wait_for("carriers", "trunk/carrier", "Live=Unknown NoSwitches");
    let a = Fake::start(&site, "a", good("1.11.2-release"));
    let b = Fake::start(&site, "b", good("1.10.12-release"));
    site.samples_ready();

    // Each Switch shows its versions; an old FreeSWITCH causes one warning.
    for condition in ["Ready=True Reporting", "Connected=True Connected", "Drifted=False AsPlanned"] {
        site.wait_for("default", "switch/a", condition);
        site.wait_for("default", "switch/b", condition);
    }
    site.wait_for("default", "switch/a", "Vulnerable=False NoneKnown");
    site.wait_for("default", "switch/b", "Vulnerable=True KnownHoles");
    let table = site.cluster.kubectl_ok(&["get", "switches"]);
    assert!(table.contains("1.10.12-release") && table.contains("1.11.2-release"), "{table}");
    let warned = || site.events("default", "KnownHoles");
    assert!(until(DEADLINE, || (!warned().is_empty()).then_some(())).is_some());
    assert!(warned()[0].contains("disable-transfer") && warned()[0].contains("1.10.12"), "{:?}", warned());

    // Trunks show where they are registered.
    let wait_registered = |count: &str| {
        let is =
            || site.get("carriers", "trunk/carrier").filter(|trunk| trunk["status"]["registered"] == count);
        until(DEADLINE, is).unwrap_or_else(|| panic!("{count}: {:?}", site.get("carriers", "trunk/carrier")))
    };
    let trunk = wait_registered("4/4");
    assert_eq!(trunk["status"]["gateways"].as_array().unwrap().len(), 4);
    site.wait_for("carriers", "trunk/carrier", "Registered=True Registered");
    let before = version(&site, "carriers", "trunk/carrier");
    b.find(|found| found.gateways = gateways(["REGED", "FAIL_WAIT"]));
    let trunk = wait_registered("3/4");
    assert_eq!(message(&trunk, "Registered"), "3/4 registered; b at 198.51.100.20: FAIL_WAIT");
    let conditions = site.conditions("carriers", "trunk/carrier");
    assert!(
        conditions.contains(&"Ready=True Ready".to_owned()),
        "the carrier is no part of it: {conditions:?}"
    );
    assert_ne!(version(&site, "carriers", "trunk/carrier"), before);
    let table = site.cluster.kubectl_ok(&["get", "trunks", "-n", "carriers"]);
    assert!(table.contains("REGISTERED") && table.contains("3/4"), "{table}");
    // Calls and the renewal of a registration cause no write.
    let quiet = || {
        let objects = [
            ("default", "switch/a"),
            ("default", "switch/b"),
            ("acme", "tenant/acme"),
            ("carriers", "trunk/carrier"),
        ];
        objects.map(|(namespace, object)| version(&site, namespace, object))
    };
    let before = quiet();
    for calls in 1..6 {
        a.find(|found| {
            found.calls = calls;
            found.gateways = gateways(["TRYING", "REGISTER"]);
        });
        std::thread::sleep(Duration::from_millis(300)); // long enough for a report of each state
    }
    a.find(|found| found.gateways = gateways(["REGED", "REGED"]));
    // This status is written after those reports: a write that they caused would be done by now.
    site.cluster.apply(&site.extension("globex", 7775));
    site.wait_for("globex", "extension/e7775", "Ready=True Ready");
    assert_eq!(quiet(), before);

    emergency_trunk_goes_down(&site, &a, &b);

    // The Switch reports drift and draining in words.
    a.find(|found| found.drift = vec!["queue support@acme.example.com is missing".to_owned()]);
    site.wait_for("default", "switch/a", "Drifted=True Differs");
    assert!(message(&site.get("default", "switch/a").unwrap(), "Drifted").contains("support@acme"));
    a.find(|found| (found.drift, found.draining) = (Vec::new(), true));
    site.wait_for("default", "switch/a", "Ready=False Draining");
    site.wait_for("default", "switch/a", "Drifted=False AsPlanned");
    a.find(|found| found.draining = false);

    // The status of a tenant that a switch refuses names the refusal, and not the revision that the switch
    // has.
    let mut admin = site.database.admin().await;
    let acme: Uuid = sqlx::query_scalar("SELECT id FROM public.tenants WHERE name = 'acme'")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let list = site.cluster.kubectl_ok(&["get", "extensions", "-n", "acme", "-o", "name"]);
    let extension = list.lines().next().unwrap().to_owned();
    let before = version(&site, "acme", &extension);
    b.find(|found| _ = found.problems.insert(acme, "queue support: -ERR no such queue".to_owned()));
    site.wait_for("acme", "tenant/acme", "Live=False SwitchRefused");
    site.wait_for("acme", "tenant/acme", "Ready=False SwitchRefused");
    let told = message(&site.get("acme", "tenant/acme").unwrap(), "Live");
    assert_eq!(told, "b: queue support: -ERR no such queue");
    assert_eq!(version(&site, "acme", &extension), before);

    // Another operator repeats no write and no warning.
    let before = quiet();
    operator.end("-TERM");
    let _operator = site.operator(&[]);
    a.find(|found| found.draining = true);
    site.wait_for("default", "switch/a", "Ready=False Draining");
    site.cluster.apply(&site.extension("globex", 7776));
    site.wait_for("globex", "extension/e7776", "Ready=True Ready");
    assert_eq!((warned().len(), &quiet()[1..]), (1, &before[1..]));
    a.find(|found| found.draining = false);
    b.find(|found| found.problems.clear());
    site.wait_for("acme", "tenant/acme", "Ready=True Ready");

    // A gateway state that a silent switch reported earlier counts as unknown.
    b.find(|found| found.connected = Some(false));
    site.wait_for("default", "switch/b", "Ready=False Disconnected");
    wait_registered("2/4");
    b.find(|found| found.connected = Some(true));
    site.wait_for("default", "switch/b", "Ready=True Reporting");
    wait_registered("3/4");

    // A switch that loses its power is reported soon, and after a while no resource waits for it.
    drop(b);
    let killed = Instant::now();
    site.wait_for("default", "switch/b", "Ready=Unknown Late");
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    site.cluster.apply(&site.extension("globex", 7777));
    site.wait_for("globex", "extension/e7777", "Live=False Applying");
    site.wait_for("globex", "extension/e7777", "Ready=True Ready");
    assert!(killed.elapsed() > Duration::from_secs(27), "the lost switch counted for {:?}", killed.elapsed());
    site.wait_for("default", "switch/b", "Ready=Unknown Silent");
    site.wait_for("default", "switch/b", "Connected=Unknown Silent");
    site.wait_for("default", "switch/b", "Vulnerable=True KnownHoles");
    wait_registered("2/2");
}

/// The Tenant says where its emergency trunk cannot be used, and which trunk is tried instead; no resource
/// waits for the carrier, and a reported failure is not written again.
fn emergency_trunk_goes_down(site: &Site, a: &Fake, b: &Fake) {
    let down = |switch: &Fake, trunk: &str, state: &str, up: bool| {
        let gateways = vec![GatewayState { state: state.to_owned(), up }; 2];
        switch.find(|found| _ = found.gateways.insert(trunk.to_owned(), gateways));
    };
    let told = || message(&site.get("acme", "tenant/acme").unwrap(), "EmergencyTrunkUsable");
    let wait = |condition: &str| site.wait_for("acme", "tenant/acme", condition);
    let backup = "apiVersion: centrex.dev/v1alpha1\nkind: Trunk\n\
        metadata: {name: backup, namespace: acme}\n\
        spec: {sipProfileRef: {name: external}, gateways: [{host: 192.0.2.91}]}";
    site.cluster.apply(backup);
    site.wait_for("acme", "trunk/backup", "Ready=True Ready");
    for switch in [a, b] {
        down(switch, "acme/backup", "NOREG", true);
    }
    wait("EmergencyTrunkUsable=True EmergencyTrunkUp");
    assert!(site.events("acme", "EmergencyTrunkDown").is_empty());

    // On one switch pings are not answered; on the other no gateway is registered.
    down(b, TRUNK, "NOREG", false);
    wait("EmergencyTrunkUsable=False EmergencyTrunkDown");
    assert_eq!(
        told(),
        "No gateway of Trunk carriers/carrier is up: on b emergency calls leave by acme/backup"
    );
    wait("Ready=True Ready");
    let warned = || site.events("acme", "EmergencyTrunkDown");
    assert!(until(DEADLINE, || (!warned().is_empty()).then_some(())).is_some());
    assert!(warned().iter().all(|event| event.contains("leave by acme/backup")), "{:?}", warned());
    let before = version(site, "acme", "tenant/acme");
    for state in ["TRYING", "FAIL_WAIT", "FAILED"] {
        down(b, TRUNK, state, false);
        std::thread::sleep(Duration::from_millis(700)); // long enough for a report of each state
    }
    assert_eq!(version(site, "acme", "tenant/acme"), before, "an unchanged state writes nothing");
    down(a, TRUNK, "FAIL_WAIT", false);
    let both = || told().contains("on a emergency calls leave by acme/backup, on b").then_some(());
    assert!(until(DEADLINE, both).is_some(), "{}", told());
    down(a, "acme/backup", "NOREG", false);
    wait("EmergencyTrunkUsable=False NoTrunkUp");
    assert!(told().contains("on a no other trunk that the tenant may use is up"), "{}", told());
    wait("Ready=True Ready");

    // The gateway is back.
    for switch in [a, b] {
        down(switch, TRUNK, "REGED", true);
    }
    wait("EmergencyTrunkUsable=True EmergencyTrunkUp");
    // The emergency trunk is deleted, then the other one.
    let spec = |trunk: &str| format!("{{\"spec\":{{\"emergency\":{{\"trunkRef\":{trunk}}}}}}}");
    let patch = |trunk: &str| {
        site.cluster.patch("acme", "tenant/acme", &spec(trunk));
    };
    patch("{\"name\":\"nothing\",\"namespace\":\"carriers\"}");
    wait("EmergencyTrunkUsable=False EmergencyTrunkMissing");
    wait("Accepted=False RefNotFound");
    patch("{\"name\":\"carrier\",\"namespace\":\"carriers\"}");
    wait("EmergencyTrunkUsable=True EmergencyTrunkUp");
    site.cluster.kubectl_ok(&["delete", "-n", "acme", "trunk/backup"]);
    b.find(|found| found.gateways = gateways(["REGED", "FAIL_WAIT"]));
    a.find(|found| found.gateways = gateways(["REGED", "REGED"]));
    wait("Ready=True Ready");
}
