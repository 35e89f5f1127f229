//! Centrex starts from a last good state that is damaged in part: what it lacks is not to go.

use super::lab::{Lab, run};

#[test]
fn a_damaged_file_ends_no_call_and_drops_no_phone() {
    run(
        "live::damaged::a_damaged_file_ends_no_call_and_drops_no_phone",
        &[],
        &[("no file of a tenant can be read at a start, and nobody notices", damaged)],
    );
}

fn damaged(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob, &lab.hank]);
    let mut call = lab.call();
    lab.restart_centrex(|data| {
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
    lab.eventually("everything as it should be", || {
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
