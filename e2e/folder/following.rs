//! Changes that are followed while the source runs.

use super::*;
use crate::wait::DEADLINE;

#[tokio::test]
async fn a_change_is_followed() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1001"))]).await;
    live.until_number("alice", Some("1001")).await;
    live.write("a.yaml", &extension("alice", "1002"));
    live.until_number("alice", Some("1002")).await;
    live.write("a.yaml", &format!("{}---\n{}", extension("alice", "1002"), extension("bob", "1003")));
    live.until_number("bob", Some("1003")).await;
    live.write("a.yaml", &extension("bob", "1003"));
    live.until_number("alice", None).await;
    assert_eq!(live.objects.len(), 1);
    fs::remove_file(live.path("a.yaml")).unwrap();
    live.until_number("bob", None).await;
    live.stays_as_it_is().await;
}

// The README starts standalone with such a path.
#[tokio::test]
async fn a_relative_path_of_a_folder_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("manifests")).unwrap();
    write(&directory.path().join("manifests/a.yaml"), &extension("alice", "1001"));
    let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let from_here = |path: &str| up.join(directory.path().join(path).strip_prefix("/").unwrap());
    let options = FolderOptions {
        manifests: from_here("manifests"),
        data_dir: from_here("data"),
        vault: Arc::new(Reversed),
    };
    let mut live = Live::with(options, directory).await;
    live.write("a.yaml", &extension("alice", "1002"));
    // Long before the next rescan.
    let update = tokio::time::timeout(std::time::Duration::from_secs(15), live.updates.recv()).await;
    assert_eq!(update.expect("no update").unwrap().changes.len(), 1);
}

#[tokio::test]
async fn an_emptied_file_deletes_nothing() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1001"))]).await;
    live.write("a.yaml", "\n");
    let update = tokio::time::timeout(DEADLINE, live.updates.recv()).await.unwrap().unwrap();
    assert!(update.changes.is_empty(), "{:?}", update.changes);
    assert!(update.problems[0].message.contains("delete it"), "{:?}", update.problems);
    live.write("a.yaml", &extension("alice", "1002"));
    live.until_number("alice", Some("1002")).await;
}

#[tokio::test]
async fn only_changed_objects_are_reported() {
    let text = |last: &str| {
        format!("{}---\n{}---\n{}", extension("a", "1"), extension("b", "2"), extension("c", last))
    };
    let mut live = Live::start(&[("x.yaml", &text("3")), ("y.yaml", &extension("d", "4"))]).await;
    live.write("x.yaml", &format!("# moved down a line\n{}", text("33")));
    let update = tokio::time::timeout(DEADLINE, live.updates.recv()).await.unwrap().unwrap();
    let told: Vec<String> = update
        .changes
        .iter()
        .map(|change| match change {
            Change::Upsert(object) => format!("{} {}", object.key(), number(object)),
            Change::Remove(key) => format!("- {key}"),
            Change::Unreadable(object) => panic!("{object:?}"),
        })
        .collect();
    // The comment belongs to the first document, so that one is read again.
    assert_eq!(told, ["Extension acme/a 1", "Extension acme/c 33"]);
    fs::write(live.path("x.yaml"), format!("# moved down a line\n{}", text("33"))).unwrap();
    live.stays_as_it_is().await;
}

#[tokio::test]
async fn a_broken_object_keeps_its_version_and_no_other_out() {
    let two = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let mut live = Live::start(&[("a.yaml", &two), ("b.yaml", &extension("carol", "1003"))]).await;
    assert_eq!(live.objects.len(), 3);
    live.write("a.yaml", &two.replace("\"1001\"", "\"1009\"").replace("\"1002\"", "\"ten\""));
    let problem = live.until_problem("a.yaml").await;
    assert_eq!((problem.line, problem.field.as_str()), (Some(14), "spec.number"));
    assert_eq!(problem.resource.as_ref().unwrap().to_string(), "Extension acme/bob");
    live.until_number("alice", Some("1009")).await;
    live.until_number("bob", Some("1002")).await;
    assert_eq!(live.objects.len(), 3);
    let key = live.objects["Extension acme/carol"].key();
    assert_eq!(live.folder.locate(&key, "spec.number").unwrap().line, 6);

    live.write("a.yaml", "a: [");
    let problem = live.until_problem("is not YAML").await;
    assert_eq!(problem.file, live.path("a.yaml"));
    live.write("b.yaml", &extension("carol", "1004"));
    live.until_number("carol", Some("1004")).await;
    assert_eq!(live.problems.len(), 1);

    live.write("a.yaml", &extension("alice", "1009"));
    live.until_no_problems().await;
    live.until_number("alice", Some("1009")).await;
    live.until_number("bob", None).await;
}

#[tokio::test]
async fn what_a_broken_part_may_be_is_not_deleted() {
    let file = |parts: &[String]| parts.join("---\n");
    let [alice, bob, carol] = [("alice", "1"), ("bob", "2"), ("carol", "3")].map(|(n, i)| extension(n, i));
    let mut live = Live::start(&[("a.yaml", &file(&[alice.clone(), bob.clone(), carol]))]).await;
    // A syntax error, or a kind that is none: it may be bob or carol. What is around it is in force.
    for broken in ["a: [\n", "kind: Extention\n", "metadata: {name: bob\n"] {
        live.write("a.yaml", &file(&[extension("alice", "11"), broken.to_owned(), extension("dave", "4")]));
        live.until_number("alice", Some("11")).await;
        live.until_number("dave", Some("4")).await;
        assert_eq!(live.objects.len(), 4, "{broken}: {:?}", live.objects.keys());
        live.write("a.yaml", &file(&[alice.clone(), broken.to_owned()]));
        live.until_number("alice", Some("1")).await;
        assert_eq!(live.objects.len(), 4, "{broken}: {:?}", live.objects.keys());
    }
    let mut live = Live::restart(live.stop().await).await;
    assert_eq!(live.objects.len(), 4, "{:?}", live.objects.keys());
    // Of a broken object that is named, only that one is kept.
    let broken = bob.replace("\"2\"", "\"two\"");
    live.write("a.yaml", &file(&[alice.clone(), broken]));
    live.until_number("carol", None).await;
    live.until_number("dave", None).await;
    live.until_number("bob", Some("2")).await;
    live.write("a.yaml", &alice);
    live.until_number("bob", None).await;
    live.until_no_problems().await;
    assert_eq!(live.objects.len(), 1);
}

#[tokio::test]
async fn a_name_used_twice_keeps_its_version() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1"))]).await;
    let twice = format!("{}---\n{}", extension("alice", "1"), extension("alice", "2"));
    live.write("a.yaml", &format!("{twice}---\n{}", extension("bob", "3")));
    live.until_problem("already").await;
    live.until_number("bob", Some("3")).await;
    live.until_number("alice", Some("1")).await;
    live.write("a.yaml", &format!("{}---\n{}", extension("alice", "2"), extension("bob", "3")));
    live.until_no_problems().await;
    live.until_number("alice", Some("2")).await;
}

#[tokio::test]
async fn a_tenant_reference_cannot_change() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1001"))]).await;
    live.write(
        "a.yaml",
        &extension("alice", "1002").replace("tenantRef: {name: acme}", "tenantRef: {name: other}"),
    );
    let problem = live.until_problem("tenantRef cannot change").await;
    assert_eq!(problem.field, "spec.tenantRef");
    live.until_number("alice", Some("1001")).await;
}

#[tokio::test]
async fn the_second_definition_of_an_object_is_refused() {
    let mut live = Live::start(&[("b.yaml", &extension("alice", "1001"))]).await;
    live.write("a.yaml", &extension("alice", "1002"));
    let problem = live.until_problem("too").await;
    assert_eq!(problem.file, live.path("a.yaml"));
    assert!(problem.message.contains("b.yaml:1"), "{problem}");
    assert_eq!(live.problems.len(), 1);
    live.until_number("alice", Some("1001")).await;
    live.write("b.yaml", &extension("alice", "1003"));
    live.until_number("alice", Some("1003")).await;
    fs::remove_file(live.path("b.yaml")).unwrap();
    live.until_no_problems().await;
    live.until_number("alice", Some("1002")).await;
}

#[tokio::test]
async fn added_and_removed_folders_are_followed() {
    let mut live = Live::start(&[]).await;
    live.write("acme/deep/a.yaml", &extension("alice", "1001"));
    live.until_number("alice", Some("1001")).await;
    live.write("acme/deep/b.yaml", &extension("bob", "1002"));
    live.until_number("bob", Some("1002")).await;

    // A new folder together with its files.
    let outside = live.directory.path().join("outside");
    write(&outside.join("sub/c.yaml"), &extension("carol", "1003"));
    fs::rename(&outside, live.path("moved-in")).unwrap();
    live.until_number("carol", Some("1003")).await;

    fs::rename(live.path("acme"), live.path("renamed")).unwrap();
    live.write("renamed/deep/a.yaml", &extension("alice", "1004"));
    live.until_number("alice", Some("1004")).await;
    fs::rename(live.path("moved-in"), live.directory.path().join("gone")).unwrap();
    live.until_number("carol", None).await;
    fs::remove_dir_all(live.path("renamed")).unwrap();
    live.until_number("alice", None).await;
    live.until_number("bob", None).await;
}

#[tokio::test]
async fn a_renamed_file_deletes_no_object() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1001"))]).await;
    fs::rename(live.path("a.yaml"), live.path("b.yaml")).unwrap();
    let update = tokio::time::timeout(DEADLINE, live.updates.recv()).await.unwrap().unwrap();
    assert!(
        matches!(update.changes.as_slice(), [Change::Upsert(object)] if number(object) == "1001"),
        "{:?}",
        update.changes
    );
    assert_eq!(update.problems, []);
    // Editors save like this: they rename a new file over the old one.
    write(&live.directory.path().join("manifests/.b.yaml.tmp"), &extension("alice", "1002"));
    fs::rename(live.path(".b.yaml.tmp"), live.path("b.yaml")).unwrap();
    live.until_number("alice", Some("1002")).await;
}

#[tokio::test]
async fn a_file_is_read_only_after_it_is_completely_written() {
    use std::io::Write;
    let two = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let mut live = Live::start(&[("a.yaml", &two)]).await;
    let mut file = fs::File::create(live.path("a.yaml")).unwrap();
    for part in two.replace("1002", "1003").as_bytes().chunks(60) {
        file.write_all(part).unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    drop(file);
    assert!(live.next(DEADLINE).await);
    assert_eq!(live.problems, []);
    assert_eq!(live.objects.len(), 2, "bob went while the file was written");
    live.until_number("bob", Some("1003")).await;
}

#[tokio::test]
async fn a_mounted_config_map_is_followed() {
    let mut live = Live::start(&[("..2027_1/a.yaml", &extension("alice", "1001"))]).await;
    assert!(live.objects.is_empty(), "the hidden folder was read");
    symlink("..2027_1", live.path("..data")).unwrap();
    symlink("..data/a.yaml", live.path("a.yaml")).unwrap();
    live.until_number("alice", Some("1001")).await;
    // As the kubelet does: a new folder, then the link is replaced in one step.
    live.write("..2027_2/a.yaml", &extension("alice", "1002"));
    symlink("..2027_2", live.path("..data_tmp")).unwrap();
    fs::rename(live.path("..data_tmp"), live.path("..data")).unwrap();
    fs::remove_dir_all(live.path("..2027_1")).unwrap();
    live.until_number("alice", Some("1002")).await;
    assert_eq!(live.problems, []);
}
