//! Centrex starts from a partly damaged last good state: resources that are missing in it must not be
//! removed.

use std::path::Path;
use std::process::Command;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use super::lab::{Lab, run};
use crate::wait::{DEADLINE, until};

#[test]
fn a_damaged_cache_file_ends_no_call_and_no_registration() {
    run(
        "live::damaged::a_damaged_cache_file_ends_no_call_and_no_registration",
        &[],
        &[("a start with damaged files of all tenants affects no call", damaged)],
    );
}

/// Stops the Postgres that starts next, for longer than two comparisons with the switch take. A fixed pause,
/// because the program under test is not ready before Postgres answers.
fn hold_postgres(data: &Path) -> JoinHandle<()> {
    let file = data.join("postgres/postmaster.pid");
    assert!(!file.exists(), "Postgres runs");
    spawn(move || {
        let pid = || {
            let text = std::fs::read_to_string(&file).ok()?;
            text.lines().next().filter(|pid| !pid.is_empty()).map(str::to_owned)
        };
        let pid = until(DEADLINE, pid).expect("a Postgres");
        let signal = |signal: &str| {
            assert!(Command::new("kill").args([signal, pid.as_str()]).status().unwrap().success());
        };
        signal("-STOP");
        sleep(Duration::from_secs(6));
        signal("-CONT");
    })
}

fn damaged(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob, &lab.hank]);
    let mut call = lab.call();
    let mut held = None;
    lab.restart_centrex(|data| {
        held = Some(hold_postgres(data));
        let files: Vec<_> =
            std::fs::read_dir(data.join("replica")).unwrap().map(|file| file.unwrap().path()).collect();
        let of_tenants = |path: &&std::path::PathBuf| path.to_string_lossy().contains("/tenant-");
        assert_eq!(files.iter().filter(of_tenants).count(), 2, "{files:?}");
        for path in files.iter().filter(of_tenants) {
            let mut bytes = std::fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    });
    assert_eq!(
        lab.centrex.log().matches("a file of the cache was skipped").count(),
        2,
        "{}",
        lab.centrex.log()
    );
    held.unwrap().join().unwrap();
    lab.eventually("the wanted state", || {
        lab.metric("centrex_esl_connected") == Some(1.0)
            && lab.metric("centrex_switch_comparisons_total") >= Some(1.0)
            && lab.metric("centrex_switch_drift") == Some(0.0)
    });
    call.is_up(lab);
    for phone in [&lab.alice, &lab.bob, &lab.hank] {
        assert!(lab.is_registered(phone.user, phone.domain), "{}@{}", phone.user, phone.domain);
    }
    call.end(lab);
}
