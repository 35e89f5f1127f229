//! A restore as docs/restore.md describes it: no switch returns to the state of the backup.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::Site;
use crate::freeswitch::process::Process;
use crate::postgres::reachable_dir;
use crate::program::{Program, repository, sample};
use crate::wait::{DEADLINE, until};

/// The commands of the document that begin with these words.
pub fn documented(first: &str) -> String {
    let text = std::fs::read_to_string(repository("docs/restore.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let mut found = blocks.filter(|block| block.starts_with(&format!("# {first}")));
    found.next().unwrap_or_else(|| panic!("no commands {first:?} in docs/restore.md")).to_owned()
}

/// The samples in an older state, which is backed up, and in a newer state, which the switches have.
struct Past {
    site: Site,
    backup: TempDir,
    /// The answer to the registration of a phone, in the older state and in the newer.
    registers: [String; 2],
}

/// Makes tenants slow to write for all writers but the first, so that a status that is published only until
/// everything is written can be observed.
const SLOW_AFTERWARDS: &str = r#"psql --quiet --set=ON_ERROR_STOP=1 "$DATABASE" <<'SQL'
CREATE FUNCTION public.be_slow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_sleep(2) FROM public.writer WHERE term > 1;
    RETURN NULL;
END $$;
CREATE TRIGGER slow AFTER UPDATE ON public.tenants FOR EACH STATEMENT EXECUTE FUNCTION public.be_slow();
SQL"#;

const QUEUES: &str = "configuration-callcenter";
const REGISTERED: &str = "acme-register-1001";

impl Past {
    async fn make(test: &str, operator: impl FnOnce(&Site) -> Program) -> Option<(Self, Program, Program)> {
        let site = Site::alone(test).await?;
        let (operator, switch) = (operator(&site), site.switch("switch-1"));
        site.apply_samples();
        site.samples_ready();
        site.wait_for("acme", "queue/support", "Ready=True Ready");
        let old = switch.answer(REGISTERED);
        assert!(
            switch.answer(QUEUES).contains("\"max-wait-time\" value=\"600\""),
            "{}",
            switch.answer(QUEUES)
        );
        let backup = reachable_dir();
        let past = Self { site, backup, registers: [old.clone(), old] };
        past.shell(SLOW_AFTERWARDS);
        past.shell(&documented("back up"));

        past.site.cluster.patch("acme", "queue/support", r#"{"spec":{"maxWaitSeconds":601}}"#);
        past.site.cluster.apply(
            "{apiVersion: v1, kind: Secret, metadata: {name: alice-sip, namespace: acme}, \
             stringData: {password: changed-since-the-backup}}",
        );
        past.site.tenant("late", "");
        past.site.cluster.apply(&past.site.extension("late", 100));
        past.site.wait_for("late", "extension/e100", "Ready=True Ready");
        let new = until(DEADLINE, || {
            let register = switch.answer(REGISTERED);
            let new = register != past.registers[0]
                && switch.answer(QUEUES).contains("\"max-wait-time\" value=\"601\"");
            new.then_some(register)
        });
        past.site.wait_for("acme", "queue/support", "Ready=True Ready");
        let registers = [past.registers[0].clone(), new.expect("the newer state")];
        Some((Self { registers, ..past }, operator, switch))
    }

    fn shell(&self, script: &str) {
        self.shell_with(script, &[]);
    }

    fn shell_with(&self, script: &str, variables: &[(&str, &str)]) {
        let backup = self.backup.path().display().to_string();
        self.site.database.shell(script, &[&[("BACKUP", backup.as_str())], variables].concat());
    }

    fn is_new(&self, switch: &Program) -> bool {
        switch.answer(QUEUES).contains("\"max-wait-time\" value=\"601\"")
            && switch.answer(REGISTERED) == self.registers[1]
    }

    fn is_old(&self, switch: &Program) -> bool {
        switch.answer(QUEUES).contains("\"max-wait-time\" value=\"600\"")
            && switch.answer(REGISTERED) == self.registers[0]
    }

    /// Asks a switch repeatedly while an action runs; panics unless every answer is of the newer state.
    fn while_asked(&self, switch: &Program, done: impl FnOnce()) {
        let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert!(self.is_new(switch), "old after {asked:?} answers: {}", switch.log());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(done));
            over.store(true, Ordering::Relaxed);
            asking.join().unwrap();
            done.unwrap();
        });
        let asked = asked.into_inner();
        assert!(asked > 50, "asked only {asked} times");
        println!("{asked} answers, none of them old");
    }

    /// Waits until Postgres has the newer state.
    fn stored(&self, operator: &Program) {
        let sql = "SELECT count(*) FROM public.tenants WHERE name = 'late'";
        let stored = || {
            let count = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(self.site.count(sql))
            });
            (count == 1).then_some(())
        };
        until(DEADLINE, stored).unwrap_or_else(|| panic!("never written: {}", operator.log()));
        self.site.wait_for("acme", "queue/support", "Ready=True Ready");
        self.site.wait_for("late", "extension/e100", "Ready=True Ready");
    }
}

fn held_back(switch: &Program) -> f64 {
    sample(&switch.get("/metrics").1, "centrex_replica_held_back").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restore_under_a_running_operator_sets_no_switch_back() {
    let test = "operator::a_restore_under_a_running_operator";
    let Some((past, operator, mut switch)) = Past::make(test, |site| site.operator(&[])).await else {
        return;
    };
    // The watch starts before the restore, so that it sees statuses that last only a moment.
    let reason = "jsonpath={.status.conditions[?(@.type==\"Programmed\")].reason}{\"\\n\"}";
    let mut watch = Command::new(past.site.cluster.program());
    watch.args(["get", "queue", "support", "-n", "acme", "--watch", "-o", reason]);
    watch.env("KUBECONFIG", past.site.cluster.kubeconfig());
    let reasons = past.backup.path().join("reasons");
    let _watch = Process::start(&mut watch, &reasons);
    let said = || std::fs::read_to_string(&reasons).unwrap();
    let hears = |reason: &str| {
        let told = until(DEADLINE, || said().lines().any(|line| line == reason).then_some(()));
        told.unwrap_or_else(|| panic!("no status had the reason {reason}: {}\n{}", said(), operator.log()));
    };
    hears("Programmed");
    past.while_asked(&switch, || {
        past.shell(&documented("roles of tenants"));
        let noticed = || operator.log().contains("was set back").then_some(());
        until(DEADLINE, noticed).unwrap_or_else(|| panic!("not noticed: {}", operator.log()));
    });
    hears("SetBack");
    past.while_asked(&switch, || {
        past.stored(&operator);
        std::thread::sleep(Duration::from_secs(2));
    });
    switch.wait_until("the end of it", |switch| held_back(switch) == 0.0);
    // A later change is applied.
    past.site.cluster.patch("acme", "queue/support", r#"{"spec":{"maxWaitSeconds":602}}"#);
    switch.wait_until("a change after it", |switch| {
        switch.answer(QUEUES).contains("\"max-wait-time\" value=\"602\"")
    });
    past.site.wait_for("acme", "queue/support", "Ready=True Ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restore_while_no_operator_runs_waits_for_one() {
    let test = "operator::a_restore_while_no_operator_runs";
    let Some((past, operator, mut switch)) = Past::make(test, |site| site.operator(&[])).await else {
        return;
    };
    operator.end("-TERM");
    past.while_asked(&switch, || {
        past.shell(&documented("roles of tenants"));
        let held = || switch.log().contains("Postgres was set back").then_some(());
        until(DEADLINE, held).unwrap_or_else(|| panic!("not held back: {}", switch.log()));
    });
    assert!(held_back(&switch) >= 2.0, "acme and late: {}", switch.log());
    // The last good state of this switch is newer than Postgres, too.
    switch.end("-KILL");
    switch = past.site.switch("switch-1");
    switch.wait_until("a comparison", |switch| held_back(switch) >= 2.0);
    assert!(past.is_new(&switch));
    // A switch that never had the newer state serves the older one.
    let mut fresh = past.site.switch("fresh");
    fresh.wait_until("what there is", |fresh| fresh.ask(QUEUES).0 == 200 && past.is_old(fresh));
    // A tenant that was created after the backup is deleted before an operator writes it again.
    past.site.cluster.kubectl_ok(&["delete", "tenant", "late", "-n", "late", "--wait=false"]);

    let operator = past.site.operator(&[]);
    past.while_asked(&switch, || {
        fresh.wait_until("the newer state", |fresh| past.is_new(fresh));
        switch.get("/metrics");
    });
    for switch in [&mut switch, &mut fresh] {
        switch.wait_until("two tenants, as they should be", |switch| {
            let metrics = switch.get("/metrics").1;
            sample(&metrics, "centrex_replica_tenants") == Some(2.0) && held_back(switch) == 0.0
        });
    }
    past.site.wait_for("acme", "queue/support", "Ready=True Ready");
    let told = operator.log();
    assert!(told.contains("a switch holds a later revision than Postgres"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_tenant_is_restored_while_no_operator_runs() {
    let test = "operator::one_tenant_is_restored";
    let Some((past, operator, switch)) = Past::make(test, |site| site.operator(&[])).await else {
        return;
    };
    operator.end("-TERM");
    let tenant = past.site.get("acme", "tenant/acme").unwrap();
    let schema = tenant["status"]["schema"].as_str().unwrap();
    past.while_asked(&switch, || {
        past.shell_with(&documented("one tenant"), &[("SCHEMA", schema)]);
        let _operator = past.site.operator(&[]);
        let seconds = format!("SELECT count(*) FROM {schema}.queues WHERE body::text LIKE '%601%'");
        let compared = || {
            let count = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(past.site.count(&seconds))
            });
            (count == 1).then_some(())
        };
        until(DEADLINE, compared).expect("the restored rows were compared with the resources");
        past.site.wait_for("acme", "queue/support", "Ready=True Ready");
        // A later change is applied.
        past.site.cluster.patch("acme", "queue/support", r#"{"spec":{"strategy":"RingAll"}}"#);
        let all = || switch.answer(QUEUES).contains("\"strategy\" value=\"ring-all\"").then_some(());
        until(DEADLINE, all).unwrap_or_else(|| panic!("{}", switch.answer(QUEUES)));
        past.site.wait_for("acme", "queue/support", "Ready=True Ready");
    });
}
