//! Records that FreeSWITCH could not post and left in its `err-log-dir`.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use uuid::Uuid;

use super::{Scene, encoded, of_leg, with};

/// Writes a file with a modification time of a minute ago.
fn leave(directory: &Path, name: &str, body: &[u8]) {
    let path = directory.join(name);
    std::fs::write(&path, body).unwrap();
    let ago = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(path).unwrap().set_modified(ago).unwrap();
}

#[tokio::test]
async fn undelivered_records_are_imported_and_their_files_removed() {
    let Some(mut scene) = Scene::start("cdr: leftovers").await else { return };
    let a = scene.a;
    let directory = scene.site.data_dir("err-log-dir");
    let switch = scene.switch("one", &["--cdr-leftovers", directory.to_str().unwrap()]);
    scene.postgres_is(false).await;
    std::fs::create_dir(&directory).unwrap(); // FreeSWITCH creates the directory when it needs it
    let document = |leg| scene.document("bridged-a-leg.xml", a, Uuid::from_u128(leg));
    leave(&directory, "a_1.cdr.xml", document(1).as_bytes());
    leave(&directory, "2.cdr.xml", encoded(&document(2)).as_bytes());
    let base64 = base64::engine::general_purpose::STANDARD.encode(document(3));
    leave(&directory, "a_3.cdr.xml", base64.as_bytes());
    // A file of a real FreeSWITCH, with our signature.
    let left = String::from_utf8(super::recorded("err-log-file-urlencoded.txt")).unwrap();
    let left = percent_encoding::percent_decode_str(left.trim()).decode_utf8().unwrap();
    let left = of_leg(&with(&left, "centrex_call", &scene.token(a)), Uuid::from_u128(4));
    leave(&directory, "a_4.cdr.xml", encoded(&left).as_bytes());
    leave(&directory, "torn.cdr.xml", &document(5).as_bytes()[..5000]);
    leave(&directory, "huge.cdr.xml", &vec![b'x'; 4 << 20]);
    leave(&directory, "notes.txt", b"not a record");
    std::fs::write(scene.site.data_dir("secret"), "a secret of the sidecar").unwrap();
    std::os::unix::fs::symlink(scene.site.data_dir("secret"), directory.join("link.cdr.xml")).unwrap();

    // The spool has the records while Postgres is unreachable, so the files are removed.
    let names = || {
        let mut names: Vec<String> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    for _ in 0..600 {
        if names().len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(names(), ["huge.cdr.xml", "link.cdr.xml", "notes.txt"]);
    assert!(switch.log().contains("the most is"), "{}", switch.log());
    switch.end("-KILL");
    let _switch = scene.site.start_command(&mut scene.site.command("one"), "one");
    scene.postgres_is(true).await;
    scene.counts(a, 4).await;
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine WHERE reason = 'unreadable'", 1).await;
    // The time of the file counts as the time of arrival.
    let received = format!(
        "SELECT count(*) FROM {}.cdrs WHERE received_at < now() - interval '50 seconds'",
        centrex::store::tenant_schema(a)
    );
    assert_eq!(scene.scalar(&received).await, 4);
}
