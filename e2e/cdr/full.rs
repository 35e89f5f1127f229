//! A disk without space for the spool.

use std::path::{Path, PathBuf};
use std::process::Command;

use uuid::Uuid;

use super::{Scene, metric, post, request};
use crate::program::succeeded;
use crate::skip::skip;

/// A small file system, unmounted at the end of the test.
struct Small(PathBuf);

impl Small {
    /// Mounts the file system; returns the message of `mount` if that is not allowed.
    fn mount(at: &Path, bytes: u32) -> Result<Self, String> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        succeeded(mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at))?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_logged_and_loses_no_acknowledged_record() {
    let test = "cdr::full::a_full_disk_is_logged_and_loses_no_acknowledged_record";
    let Some(mut scene) = Scene::start(test).await else { return };
    let small = match Small::mount(&scene.site.data_dir("one").join("cdrs"), 96 << 10) {
        Ok(small) => small,
        Err(why) => return skip(test, &format!("a small tmpfs cannot be mounted: {why}")),
    };
    let a = scene.a;
    let switch = scene.switch("one", &[]);
    scene.postgres_is(false).await;
    let mut acknowledged = 0;
    for leg in 1..=10 {
        let document = scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg));
        match switch.send(&request(document.as_bytes())) {
            (200, _) => acknowledged += 1,
            (503, answer) => assert!(answer.contains("neither in Postgres nor in the spool"), "{answer}"),
            other => panic!("{other:?}"),
        }
    }
    assert!((2..=5).contains(&acknowledged), "{acknowledged}");
    assert!(switch.log().contains("disk_full"), "{}", switch.log());
    assert_eq!(metric(&switch, "centrex_cdr_spool_records"), f64::from(acknowledged));
    switch.end("-KILL");
    let switch = scene.site.start_command(&mut scene.site.command("one"), "one");
    scene.postgres_is(true).await;
    scene.counts(a, acknowledged.into()).await;
    for leg in 1..=10 {
        post(&switch, &scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg)));
    }
    scene.counts(a, 10).await;
    drop((switch, small));
}
