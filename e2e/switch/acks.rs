//! Reports of switches, as the operator receives them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use centrex::plan::report::{Ack, SwitchInfo};
use centrex::plan::report::{Applied, GatewayState, SwitchReport};
use centrex::status::AckTable;
use centrex::store::reports::{HeartbeatLimits, Reporter, follow_acks};
use centrex::store::{Reader, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Site, names};
use crate::plans;
use crate::postgres::{Database, keyring};

/// Switches send a heartbeat every five seconds.
const SHORT: HeartbeatLimits = HeartbeatLimits {
    poll: Duration::from_millis(200),
    late: Duration::from_millis(6500),
    silent: Duration::from_secs(8),
    gone: Duration::from_secs(10),
};

/// A listener, with the table of all reports.
struct Listening {
    news: mpsc::Receiver<Ack>,
    table: AckTable,
    heard: Vec<Ack>,
    stop: CancellationToken,
}

impl Listening {
    fn start(reader: Reader) -> Self {
        let (sender, news) = mpsc::channel(16);
        let stop = CancellationToken::new();
        tokio::spawn(follow_acks(reader, SHORT, sender, stop.clone()));
        Self { news, table: AckTable::default(), heard: Vec::new(), stop }
    }

    /// The next report that satisfies a condition; earlier ones are recorded, too.
    async fn until(&mut self, what: &str, is: impl Fn(&Ack) -> bool) -> Ack {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let ack = self.news.recv().await.expect("an open stream");
                self.table.record(ack.clone());
                self.heard.push(ack.clone());
                if is(&ack) {
                    return ack;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never heard: {what}; but {:?}", self.heard))
    }

    /// Waits until so many switches have a revision.
    async fn have(&mut self, tenant: Uuid, revision: i64, switches: usize) {
        while self.table.lagging(tenant, revision, i64::MAX).have < switches {
            self.until("a revision", |_| true).await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn of<'a>(name: &'a str) -> impl Fn(&Ack) -> bool + 'a {
    move |ack| match ack {
        Ack::Appeared(info, _) => info.name == name,
        Ack::Late(other) | Ack::Silent(other) | Ack::Gone(other) => other == name,
        _ => false,
    }
}

async fn site(database: &Database) -> (Store, Site) {
    let store = database.store(&keyring(&[(1, 'a')])).await;
    store.write_platform(&plans::platform()).await.unwrap();
    (store, Site::on(database))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_report_their_applied_revisions_until_they_end() {
    let Some(database) = Database::start("switch: acks").await else { return };
    let (store, site) = site(&database).await;
    let mut plan = plans::tenant_with("acme", 2);
    let id = plan.tenant.id;
    store.write_tenant(&plan).await.unwrap();
    let mut listening = Listening::start(store.reader().clone());
    let nobody = Ack::Reset { reporting: Vec::new(), silent: Vec::new() };
    assert_eq!(listening.until("a beginning", |_| true).await, nobody);

    let a = site.start_ready("a");
    let Ack::Appeared(info, state) = listening.until("a switch", of("a")).await else { panic!() };
    assert_eq!((state.findings, info.hostname.is_some()), (SwitchReport::default(), true));
    let b = site.start_ready("b");
    listening.have(id, 1, 2).await;
    assert_eq!(listening.table.platform_lagging(1, i64::MAX).have, 2);

    plan.extensions.insert("new".to_owned(), plans::extension("199"));
    store.write_tenant(&plan).await.unwrap();
    let started = Instant::now();
    listening.have(id, 2, 2).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let gone = plans::tenant_with("gone", 1);
    store.write_tenant(&gone).await.unwrap();
    listening.have(gone.tenant.id, 1, 2).await;
    store.remove_tenant(gone.tenant.id, &gone.tenant.owner_uid, None).await.unwrap();
    while listening.table.lagging(gone.tenant.id, 1, i64::MAX).have > 0 {
        listening.until("the removal of a tenant", |ack| matches!(ack, Ack::Revisions { .. })).await;
    }

    // A killed switch is late, then silent, then gone. The other one reports meanwhile.
    b.end("-KILL");
    let killed = Instant::now();
    assert_eq!(listening.until("its being late", of("b")).await, Ack::Late("b".to_owned()));
    assert_eq!(listening.table.lagging(id, 2, i64::MAX).reporting, 2, "a late switch still counts");
    assert_eq!(listening.until("silence", of("b")).await, Ack::Silent("b".to_owned()));
    assert!(killed.elapsed() > Duration::from_secs(2), "{:?}", killed.elapsed());
    assert_eq!(listening.table.lagging(id, 2, i64::MAX).reporting, 1);
    assert_eq!(listening.until("the end of b", of("b")).await, Ack::Gone("b".to_owned()));

    // The killed switch starts again: the only news is the new process.
    listening.heard.clear();
    a.end("-TERM");
    let a = site.start_ready("a");
    let Ack::Appeared(_, state) = listening.until("its return", of("a")).await else { panic!() };
    assert_eq!(listening.heard.len(), 1, "{:?}", listening.heard);
    assert_eq!((state.platform, state.tenants), (1, HashMap::from([(id, 2)])), "the switch lost a revision");

    // Both switches end: none is left.
    a.end("-TERM");
    let ended = Instant::now();
    // On a busy machine one more heartbeat may have arrived before.
    listening.until("the end of the last", |ack| *ack == Ack::Gone("a".to_owned())).await;
    assert!(ended.elapsed() > Duration::from_secs(7), "{:?}", ended.elapsed());
    assert_eq!(listening.table.platform_lagging(0, i64::MAX).reporting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_missed_while_disconnected_are_read_afterwards() {
    let Some(database) = Database::alone("switch: acks missed").await else { return };
    let (store, site) = site(&database).await;
    let mut plan = plans::tenant_with("acme", 1);
    let id = plan.tenant.id;
    store.write_tenant(&plan).await.unwrap();
    let _a = site.start_ready("a");
    let mut options = database.store_options(&keyring(&[(1, 'a')]));
    options.connect = options.connect.application_name("listener under test");
    let mut listening = Listening::start(Reader::lazy(&options));
    listening.have(id, 1, 1).await;
    let before = instance_soon(&database, "").await;

    // All connections are lost: the switch's and the listener's.
    plan.tenant.display_name = "Changed".to_owned();
    store.write_tenant(&plan).await.unwrap();
    let killed = database.cut_connections().await;
    assert!(killed > 2, "{killed}");
    let ack = listening.until("a reset", |ack| matches!(ack, Ack::Reset { .. })).await;
    let Ack::Reset { reporting, silent } = ack else { panic!() };
    assert_eq!((reporting.len(), silent.len()), (1, 0));
    assert!(reporting[0].1.tenants.contains_key(&id), "the report lacks the tenant: {reporting:?}");
    listening.have(id, 2, 1).await;
    assert_eq!(instance_soon(&database, "").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_switches_with_one_name_the_younger_reports() {
    let Some(database) = Database::start("switch: one name").await else { return };
    let (store, site) = site(&database).await;
    store.write_tenant(&plans::tenant_with("acme", 1)).await.unwrap();
    let mut older = site.start_ready("a");
    let first = instance_soon(&database, "").await;
    let other = Site::on(&database); // another machine
    let younger = other.start_ready("a");
    let second = instance_soon(&database, &first).await;
    older.wait_until("a word about it", |older| {
        older.log().contains("another sidecar reports under this name")
    });
    assert_eq!(older.get("/readyz").0, 200, "the older switch still answers");
    assert_eq!(instance_soon(&database, "").await, second);

    // The younger ends: the older one reports again.
    younger.end("-TERM");
    older.wait_until("its return", |older| older.log().contains("reporting again"));
    assert_eq!(instance_soon(&database, &second).await.split(' ').next(), first.split(' ').next());
    assert_eq!(names(&mut database.admin().await).await, ["a"]);
}

/// Waits until another process than before reports.
async fn instance_soon(database: &Database, before: &str) -> String {
    let started = Instant::now();
    loop {
        let found: Option<String> =
            sqlx::query_scalar("SELECT instance || ' since ' || started_at FROM public.switches")
                .fetch_optional(&mut database.admin().await)
                .await
                .unwrap();
        if let Some(found) = found.filter(|found| found != before) {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "only {before:?} reports");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_larger_than_a_notification_is_read() {
    let Some(database) = Database::start("switch: many tenants").await else { return };
    let (store, site) = site(&database).await;
    let mut expected = HashMap::new();
    for number in 0..250 {
        let plan = plans::tenant(&format!("t{number}"));
        store.write_tenant(&plan).await.unwrap();
        expected.insert(plan.tenant.id, 1);
    }
    let mut listening = Listening::start(store.reader().clone());
    let _a = site.start("a");
    let full = |ack: &Ack| matches!(ack, Ack::Appeared(_, state) if state.tenants == expected);
    listening.until("all tenants", full).await;
}

/// A reporter without a switch.
fn reporter(reader: &Reader, name: &str) -> Reporter {
    Reporter::new(reader, SwitchInfo { name: name.to_owned(), hostname: None })
}

fn gateways(trunks: usize, state: &str) -> SwitchReport {
    let gateway = GatewayState { state: state.to_owned(), up: true };
    let gateways = (0..trunks).map(|number| (format!("carriers/trunk-{number}"), vec![gateway.clone()]));
    SwitchReport { connected: Some(true), gateways: gateways.collect(), ..SwitchReport::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_report_of_a_switch_is_not_sent_again() {
    let Some(database) = Database::alone("switch: findings").await else { return };
    let (store, _) = site(&database).await;
    let mut options = database.store_options(&keyring(&[(1, 'a')]));
    options.connect = options.connect.application_name("listener under test");
    let mut listening = Listening::start(Reader::lazy(&options));
    listening.until("a beginning", |_| true).await;
    let mut a = reporter(store.reader(), "a");
    let held = Applied { platform: 1, ..Applied::default() };

    // The findings are part of the first report, and are sent again whenever they change.
    let mut findings = SwitchReport { version: Some("1.11.2-release".to_owned()), ..gateways(2, "TRYING") };
    assert!(a.report(held.clone(), &findings).await.unwrap());
    let Ack::Appeared(_, state) = listening.until("a switch", of("a")).await else { panic!() };
    assert_eq!(state.findings, findings);
    findings = SwitchReport { drift: vec!["a\0b".to_owned()], ..gateways(500, "REGED") };
    findings.problems.insert(Uuid::nil(), "it's \"no\" \u{1F600}".to_owned());
    assert!(a.is_news(&findings));
    assert!(a.report(held.clone(), &findings).await.unwrap());
    let news = listening.until("news", |ack| matches!(ack, Ack::Report { .. })).await;
    let Ack::Report { switch, findings: heard } = news else { panic!() };
    let readable = SwitchReport { drift: vec!["a b".to_owned()], ..findings.clone() };
    assert_eq!((switch.as_str(), &heard), ("a", &readable), "more than a notification holds");

    // An unchanged report is only a heartbeat: no notification, and the findings are not written.
    let mut admin = database.admin().await;
    let mut seen = async || -> (f64, Option<String>) {
        sqlx::query_as("SELECT extract(epoch FROM last_seen)::float8, version FROM public.switches")
            .fetch_one(&mut admin)
            .await
            .unwrap()
    };
    let (before, version) = seen().await;
    assert_eq!(version, None, "an unknown version is NULL");
    listening.heard.clear();
    for calls in 1..4 {
        let mut renewed = gateways(500, "TRYING");
        (renewed.calls, renewed.drift) = (calls, findings.drift.clone());
        renewed.problems.clone_from(&findings.problems);
        assert!(!a.is_news(&renewed));
        assert!(a.report(held.clone(), &renewed).await.unwrap());
    }
    assert!(seen().await.0 > before);
    let moved = Applied { platform: 2, ..Applied::default() };
    assert!(a.report(moved.clone(), &findings).await.unwrap());
    listening.until("a revision", |ack| matches!(ack, Ack::Revisions { .. })).await;
    assert_eq!(listening.heard.len(), 1, "{:?}", listening.heard);

    // A later process reads the stored reports, including those that were missed.
    let mut after = reporter(store.reader(), "a");
    assert!(after.report(moved.clone(), &findings).await.unwrap());
    assert!(!a.report(moved.clone(), &SwitchReport::default()).await.unwrap(), "the younger one reports");
    let Ack::Appeared(_, state) = listening.until("the process", of("a")).await else { panic!() };
    assert_eq!(state.findings, readable);
    assert!(database.cut_connections().await > 1);
    let news = gateways(1, "FAIL_WAIT");
    while after.report(moved.clone(), &news).await.is_err() {}
    loop {
        let ack = listening.until("what was missed", |_| true).await;
        let heard = match ack {
            Ack::Reset { mut reporting, .. } => reporting.pop().unwrap().1.findings,
            Ack::Appeared(_, state) => state.findings,
            Ack::Report { findings, .. } => findings,
            _ => continue,
        };
        if heard == news {
            break;
        }
    }
    after.leave().await.unwrap();
    a.leave().await.unwrap();
}
