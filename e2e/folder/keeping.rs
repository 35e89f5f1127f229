//! The data directory: generated Secrets, creation times, last good versions.

use super::*;
use crate::wait::DEADLINE;

/// With its ending, the Secret's name is longer than those of our own kinds may be.
#[tokio::test]
async fn a_password_of_an_extension_with_the_longest_name_is_read() {
    let name = "a".repeat(63);
    let live = Live::start(&[("a.yaml", &without_credentials(&name))]).await;
    assert_eq!(live.problems, []);
    assert_eq!(password(&live.objects[&format!("Secret acme/{name}-sip")]).len(), 24);
    let live = Live::restart(live.stop().await).await;
    assert_eq!((live.problems.len(), live.objects.len()), (0, 2));
}

/// The user's own Secret has a mistake: no other password takes its place.
#[tokio::test]
async fn no_password_is_generated_in_place_of_a_broken_secret() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: alice-sip, namespace: acme}\nstringData: {password: 1234}\n";
    let file = format!("{}---\n{secret}", without_credentials("alice"));
    let mut live = Live::start(&[("a.yaml", &file)]).await;
    assert_eq!(live.until_problem("put it in quotes").await.field, "stringData.password");
    assert_eq!(live.objects.keys().collect::<Vec<_>>(), ["Extension acme/alice"]);
}

#[tokio::test]
async fn a_password_is_generated_once() {
    let mut live = Live::start(&[("a.yaml", &without_credentials("alice"))]).await;
    let file = live.directory.path().join("data/generated-secrets/acme/alice-sip.yaml");
    let first = password(&live.objects["Secret acme/alice-sip"]);
    assert!(first.len() == 24 && first.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", first.len());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(live.directory.path().join("data/generated-secrets")).unwrap().mode() & 0o777,
        0o700
    );
    live.stays_as_it_is().await;

    let mut live = Live::restart(live.stop().await).await;
    assert_eq!(password(&live.objects["Secret acme/alice-sip"]), first);

    fs::remove_file(&file).unwrap();
    let renewed =
        |live: &Live| live.objects.get("Secret acme/alice-sip").is_some_and(|s| password(s) != first);
    live.until("a new password", renewed).await;
    assert!(file.exists());

    // The user's Secret replaces the generated one, without a problem.
    live.write("own.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: alice-sip, namespace: acme}\nstringData: {password: mine-is-better}\n");
    let own = |live: &Live| password(&live.objects["Secret acme/alice-sip"]) == "mine-is-better";
    live.until("the user's password", own).await;
    assert_eq!(live.problems, []);
    fs::remove_file(live.path("own.yaml")).unwrap();
    live.until("the generated password", |live| !own(live)).await;

    live.write("b.yaml", &without_credentials("bob").replace("1001", "1002"));
    live.until("bob's password", |live| live.objects.contains_key("Secret acme/bob-sip")).await;
    assert_ne!(
        password(&live.objects["Secret acme/bob-sip"]),
        password(&live.objects["Secret acme/alice-sip"])
    );
    live.write("c.yaml", &extension("carol", "1003"));
    live.until_number("carol", Some("1003")).await;
    assert!(!live.objects.contains_key("Secret acme/carol-sip"), "carol names her own");
}

#[tokio::test]
async fn a_device_has_two_passwords() {
    let device = "apiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {name: desk, namespace: acme}\n\
        spec: {tenantRef: {name: acme}, mac: \"80:5e:c0:12:34:56\", vendor: Snom}\n";
    let live = Live::start(&[("a.yaml", device)]).await;
    let secret = &live.objects["Secret acme/desk-device"];
    let (sip, provisioning) = (value(secret, "password"), value(secret, "provisioningPassword"));
    assert_ne!(sip, provisioning);
    assert_eq!((sip.len(), provisioning.len()), (24, 24));
}

#[tokio::test]
async fn a_password_that_cannot_be_written_is_a_problem() {
    let live = Live::start(&[]).await;
    let directory = live.stop().await;
    let folder = directory.path().join("data/generated-secrets");
    write(&folder.join("acme"), "a file where the namespace's folder would be");
    write(&directory.path().join("manifests/a.yaml"), &without_credentials("alice"));
    let live = Live::restart(directory).await;
    assert_eq!(live.problems.len(), 1);
    let problem = live.problems[0].to_string();
    assert!(problem.contains("Secret acme/alice-sip cannot be written"), "{problem}");
    assert!(problem.contains("Extension acme/alice has no password"), "{problem}");
    assert!(live.objects.contains_key("Extension acme/alice"));
}

#[tokio::test]
async fn a_restart_keeps_the_objects_of_a_broken_file() {
    let two = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let mut live = Live::start(&[("a.yaml", &two), ("b.yaml", &extension("carol", "1003"))]).await;
    live.write("a.yaml", &two.replace("\"1002\"", "\"ten\""));
    live.until_problem("a.yaml").await;

    let mut live = Live::restart(live.stop().await).await;
    assert_eq!(live.objects.len(), 3, "{:?}", live.objects.keys());
    live.until_number("bob", Some("1002")).await;
    assert_eq!(live.until_problem("a.yaml").await.field, "spec.number");

    // The file is deleted while the source is stopped, and broken when it is created again: the copy is not
    // used.
    let directory = live.stop().await;
    fs::remove_file(directory.path().join("manifests/a.yaml")).unwrap();
    let mut live = Live::restart(Live::restart(directory).await.stop().await).await;
    live.write("a.yaml", "a: [");
    live.until_problem("a.yaml").await;
    assert_eq!(live.objects.len(), 1, "{:?}", live.objects.keys());

    // The copies contain Secrets: they are encrypted, and only their owner may read them.
    let copies = live.directory.path().join("data/last-good");
    assert_eq!(fs::metadata(&copies).unwrap().permissions().mode() & 0o777, 0o700);
    for copy in fs::read_dir(copies).unwrap() {
        let copy = copy.unwrap();
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(copy.path()).unwrap().contains("apiVersion"));
    }
}

#[tokio::test]
async fn creation_times_survive_a_restart() {
    let age = |live: &Live, name: &str| live.objects[&format!("Extension acme/{name}")].created();
    let mut live =
        Live::start(&[("a.yaml", &extension("alice", "1")), ("b.yaml", &extension("bob", "2"))]).await;
    let first = age(&live, "alice");
    assert_eq!(first, age(&live, "bob"), "found in one scan, so of one age");
    tokio::time::sleep(Duration::from_millis(1100)).await; // creation times are in whole seconds
    live.write("c.yaml", &extension("carol", "3"));
    live.until_number("carol", Some("3")).await;
    let third = age(&live, "carol");
    assert!(third > first);
    let given = extension("dave", "4")
        .replace("name: dave,", "name: dave, creationTimestamp: \"2020-01-01T00:00:00Z\",");
    live.write("d.yaml", &given);
    live.until_number("dave", Some("4")).await;
    assert_eq!(age(&live, "dave").to_string(), "2020-01-01T00:00:00Z");
    let uid = live.objects["Extension acme/alice"].metadata().uid.clone().unwrap();

    live.write("b.yaml", "broken: [");
    live.until_problem("b.yaml").await;
    let mut live = Live::restart(live.stop().await).await;
    assert_eq!((age(&live, "alice"), age(&live, "carol")), (first, third));
    assert_eq!(live.objects["Extension acme/alice"].metadata().uid.as_ref(), Some(&uid));
    live.write("b.yaml", &extension("bob", "2"));
    live.until_number("bob", Some("2")).await;
    assert_eq!(age(&live, "bob"), first, "a broken file at start does not make its objects young");

    fs::remove_file(live.path("a.yaml")).unwrap();
    live.until_number("alice", None).await;
    live.write("a.yaml", &extension("alice", "1"));
    live.until_number("alice", Some("1")).await;
    assert!(age(&live, "alice") > first, "a recreated object is another one");

    let live = Live::restart(live.stop().await).await;
    let kept = fs::read_to_string(live.directory.path().join("data/first-seen")).unwrap();
    assert_eq!(kept.lines().count(), 3, "not compacted: {kept}");
}

#[tokio::test]
async fn a_crash_while_creation_times_are_written_loses_no_other_time() {
    let live = Live::start(&[("a.yaml", &extension("alice", "1"))]).await;
    let first = live.objects["Extension acme/alice"].created();
    let directory = live.stop().await;
    let file = directory.path().join("data/first-seen");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\u{0}\u{0}\n2027-01-01T00:0")).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await; // creation times are in whole seconds
    let live = Live::restart(directory).await;
    assert_eq!(live.objects["Extension acme/alice"].created(), first);
    assert_eq!(live.problems, []);
}

#[tokio::test]
async fn missing_folders_of_manifests_delete_nothing() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1"))]).await;
    fs::rename(live.path(""), live.directory.path().join("away")).unwrap();
    fs::write(live.directory.path().join("data/generated-secrets/x.yaml"), "# wakes the watcher\n").unwrap();
    fs::create_dir(live.directory.path().join("data/generated-secrets/y")).unwrap();
    live.until_problem("cannot be read").await;
    assert!(live.objects.contains_key("Extension acme/alice"));
}

#[tokio::test]
async fn a_data_directory_among_the_manifests_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("a.yaml"), &without_credentials("alice"));
    write(&directory.path().join("data/postgres/pg.json"), "not a manifest");
    let options = FolderOptions {
        manifests: directory.path().to_owned(),
        data_dir: directory.path().join("data"),
        vault: Arc::new(Reversed),
    };
    let (sender, mut updates) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let _folder = Folder::start(options, sender, stop.clone()).await.unwrap();
    let update = tokio::time::timeout(DEADLINE, updates.recv()).await.unwrap().unwrap();
    assert_eq!((update.changes.len(), update.problems), (2, vec![]));
    stop.cancel();
}

#[tokio::test]
async fn a_wrong_option_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let start = |manifests: PathBuf, data_dir: PathBuf| async {
        let (sender, _updates) = mpsc::channel(1);
        let options = FolderOptions { manifests, data_dir, vault: Arc::new(Reversed) };
        Folder::start(options, sender, CancellationToken::new()).await.unwrap_err()
    };
    let error = start(directory.path().join("none"), directory.path().join("data")).await;
    assert_eq!(error.category(), "manifests");
    write(&directory.path().join("file"), "");
    let error = start(directory.path().to_owned(), directory.path().join("file")).await;
    assert_eq!(error.category(), "data-directory");
    assert!(error.to_string().contains("file"), "{error}");
}
