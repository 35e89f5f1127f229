//! The folder source over real files and the system's own notices.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use centrex::source::folder::{
    FileProblem, Folder, FolderError, FolderOptions, Place, Reading, Update, Vault,
};
use centrex::source::{Change, Object};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::skip::skip;

/// Seals nothing, but lets nothing be read as it was.
#[derive(Debug)]
struct Reversed;

impl Vault for Reversed {
    fn seal(&self, _: &str, text: &[u8]) -> Vec<u8> {
        text.iter().rev().copied().collect()
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        Some(self.seal(name, sealed))
    }
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test waits for what must not come.
const QUIET: Duration = Duration::from_millis(400);

fn extension(name: &str, number: &str) -> String {
    format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {{name: {name}, namespace: acme}}\n\
         spec:\n  tenantRef: {{name: acme}}\n  number: \"{number}\"\n  credentials: {{secretRef: {{name: s}}}}\n"
    )
}

fn without_credentials(name: &str) -> String {
    extension(name, "1001").replace("  credentials: {secretRef: {name: s}}\n", "")
}

fn number(object: &Object) -> String {
    match object {
        Object::Extension(extension) => extension.spec.number.clone(),
        other => other.kind().to_owned(),
    }
}

fn password(object: &Object) -> String {
    let Object::Secret(secret) = object else { panic!("no Secret") };
    String::from_utf8(secret.data.as_ref().unwrap()["password"].0.clone()).unwrap()
}

/// A folder that is followed, and what its updates added up to.
struct Live {
    directory: TempDir,
    objects: BTreeMap<String, Object>,
    problems: Vec<FileProblem>,
    updates: mpsc::Receiver<Update>,
    folder: Folder,
    stop: CancellationToken,
}

impl Live {
    /// Writes the files, starts, and takes the first update.
    async fn start(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("manifests")).unwrap();
        for (name, text) in files {
            write(&directory.path().join("manifests").join(name), text);
        }
        Self::restart(directory).await
    }

    async fn restart(directory: TempDir) -> Self {
        let options = FolderOptions {
            manifests: directory.path().join("manifests"),
            data_dir: directory.path().join("data"),
            vault: Arc::new(Reversed),
        };
        let (sender, updates) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let folder = Folder::start(options, sender, stop.clone()).await.unwrap();
        let (objects, problems) = Default::default();
        let mut live = Self { directory, objects, problems, updates, folder, stop };
        assert!(live.next(PATIENCE).await, "no first update");
        live
    }

    async fn stop(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.folder.task).await.unwrap().unwrap();
        self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("manifests").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    async fn next(&mut self, patience: Duration) -> bool {
        let Ok(Some(update)) = tokio::time::timeout(patience, self.updates.recv()).await else {
            return false;
        };
        self.problems = update.problems;
        for change in update.changes {
            match change {
                Change::Upsert(object) => self.objects.insert(object.key().to_string(), object),
                Change::Remove(key) => self.objects.remove(&key.to_string()),
            };
        }
        true
    }

    /// Takes updates until something holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            assert!(self.next(left).await, "{what}: never came; problems {:?}", self.problems);
        }
    }

    async fn until_number(&mut self, name: &str, wanted: Option<&str>) {
        let key = format!("Extension acme/{name}");
        let holds = |live: &Self| live.objects.get(&key).map(number).as_deref() == wanted;
        self.until(&format!("{name} = {wanted:?}"), holds).await;
    }

    async fn until_problem(&mut self, part: &str) -> FileProblem {
        self.until(part, |live| live.problems.iter().any(|p| p.to_string().contains(part))).await;
        self.problems.iter().find(|p| p.to_string().contains(part)).unwrap().clone()
    }

    async fn until_no_problems(&mut self) {
        self.until("no problems", |live| live.problems.is_empty()).await;
    }

    async fn stays_as_it_is(&mut self) {
        assert!(!self.next(QUIET).await, "an update came");
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(files: &[(&str, &[u8])]) -> (TempDir, Reading) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let reading = Folder::read_once(&[directory.path().to_owned()]).unwrap();
    (directory, reading)
}

fn names(reading: &Reading) -> Vec<String> {
    let upserted = |change: &Change| match change {
        Change::Upsert(object) => object.key().to_string(),
        Change::Remove(key) => panic!("{key} was removed"),
    };
    reading.changes.iter().map(upserted).collect()
}

#[test]
fn files_of_all_forms_are_read() {
    let json = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a\u00e9"}}"#;
    let json = json.replace("a\\u00e9", "ns-\\u0061") + "\n" + &json.replace("a\\u00e9", "ns-b");
    let two = format!("# first\n---\n{}---\n\n---\n{}", extension("bob", "1002"), extension("carol", "1003"));
    let list =
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: ns-c}}\n";
    let (_directory, reading) = read(&[
        ("alice.yaml", format!("\u{feff}{}", extension("alice", "1001").replace('\n', "\r\n")).as_bytes()),
        ("more/deep/two.yml", two.as_bytes()),
        ("both.json", json.as_bytes()),
        ("list.yaml", list.as_bytes()),
        ("empty.yaml", b""),
        ("comment.yaml", b"# nothing\n"),
        ("notes.txt", b"not: [a manifest"),
        (".hidden.yaml", b"not: [a manifest"),
        (".git/x.yaml", b"not: [a manifest"),
        ("#alice.yaml#", b"not: [a manifest"),
        ("alice.yaml~", b"not: [a manifest"),
        (".alice.yaml.swp", b"not: [a manifest"),
    ]);
    assert_eq!(reading.problems, []);
    assert_eq!(
        names(&reading),
        [
            "Extension acme/alice",
            "Extension acme/bob",
            "Extension acme/carol",
            "Namespace ns-a",
            "Namespace ns-b",
            "Namespace ns-c"
        ]
    );
}

#[test]
fn a_field_is_named_with_its_line() {
    let broken = extension("bob", "10 02");
    let text = format!("{}---\n{broken}", extension("alice", "1001"));
    let (directory, reading) = read(&[("x.yaml", text.as_bytes())]);
    assert_eq!(names(&reading), [""; 0], "a file is taken whole or not at all");
    let [problem] = reading.problems.as_slice() else { panic!("{:?}", reading.problems) };
    assert_eq!((problem.line, problem.field.as_str()), (Some(14), "spec.number"));
    let file = directory.path().join("x.yaml");
    assert_eq!(
        problem.to_string(),
        format!(
            "{}:14: Extension acme/bob: spec.number: must be an internal number of 1 to 15 digits \
             (pattern ^[0-9]{{1,15}}$); is \"10 02\"",
            file.display()
        )
    );
}

#[test]
fn an_object_is_found_again() {
    let json = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n {\"apiVersion\": \"v1\",\n  \"kind\": \"Namespace\",\n  \"metadata\": {\n   \"name\": \"x\"}}]}";
    let text = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let (directory, reading) = read(&[("x.yaml", text.as_bytes()), ("y.json", json.as_bytes())]);
    let place = |index: usize, field: &str| {
        let Change::Upsert(object) = &reading.changes[index] else { panic!() };
        reading.locate(&object.key(), field).unwrap()
    };
    let at = |file: &str, line| Place { file: directory.path().join(file), line };
    assert_eq!(place(1, "spec.tenantRef.name"), at("x.yaml", 13));
    assert_eq!(place(1, "spec.members[3].nothing"), at("x.yaml", 12));
    assert_eq!(place(2, "metadata.name"), at("y.json", 5));
}

#[test]
fn what_cannot_be_parsed_is_refused_with_its_line() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let deep = format!("a: {}{}", "[".repeat(3000), "]".repeat(3000));
    let cases: &[(&str, &[u8], usize, &str)] = &[
        ("syntax.yaml", b"# none\n---\n---\na: [1\nb: }\n", 5, "is not YAML"),
        ("twice.yaml", b"a: 1\na: 2\n", 2, "duplicate"),
        ("tab.yaml", b"a:\n\tb: 1\n", 2, "is not YAML"),
        ("syntax.json", b"\n{\"a\": 1,\n}", 3, "is not JSON"),
        ("twice.json", b"{\"a\": 1,\n\"a\": 2}", 2, "duplicate"),
        ("latin1.yaml", b"a: 1\nname: M\xfcller\n", 2, "UTF-8"),
        ("utf16.yaml", b"\xff\xfea\0:\0", 1, "UTF-8"),
        ("bomb.yaml", bomb.as_bytes(), 0, "alias"),
        ("deep.yaml", deep.as_bytes(), 1, "is not YAML"),
        ("text.yaml", b"just text", 1, "must be a manifest"),
        ("half.yaml", b"apiVersion: centrex.dev/v1alpha1\nkind: Exten", 2, "is no kind"),
    ];
    for (name, bytes, line, part) in cases {
        let (_directory, reading) = read(&[(name, bytes)]);
        assert_eq!(names(&reading), [""; 0], "{name}");
        let problem = reading.problems.first().unwrap_or_else(|| panic!("{name}: no problem"));
        assert!(problem.to_string().contains(part), "{name}: {problem}");
        if *line > 0 {
            assert_eq!(problem.line, Some(*line), "{name}: {problem}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let huge = fs::File::create(directory.path().join("huge.yaml")).unwrap();
    huge.set_len((64 << 20) + 1).unwrap();
    symlink("circle.yaml", directory.path().join("circle.yaml")).unwrap();
    symlink("nowhere", directory.path().join("dangling.yaml")).unwrap();
    let reading = Folder::read_once(&[directory.path().to_owned()]).unwrap();
    let found: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("circle.yaml: cannot be read"), "{found:?}");
    assert!(found[1].contains("huge.yaml: is larger than 64 MiB"), "{found:?}");
    let error = Folder::read_once(&[directory.path().join("none")]).unwrap_err();
    assert!(matches!(error, FolderError::Manifests { .. }) && error.to_string().contains("none"), "{error}");
}

#[test]
fn a_file_without_permission_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("locked.yaml");
    write(&path, &extension("alice", "1001"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        return skip("a_file_without_permission_is_named", "root reads every file");
    }
    let reading = Folder::read_once(&[directory.path().to_owned()]).unwrap();
    assert!(reading.problems[0].to_string().contains("locked.yaml: cannot be read"));
}

#[test]
fn of_two_objects_of_one_name_neither_is_taken() {
    let (directory, reading) = read(&[
        ("a.yaml", format!("{}---\n{}", extension("bob", "1"), extension("alice", "2")).as_bytes()),
        ("b.yaml", format!("{}---\n{}", extension("carol", "3"), extension("alice", "4")).as_bytes()),
    ]);
    assert_eq!(names(&reading), ["Extension acme/bob", "Extension acme/carol"]);
    let found: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
    let (a, b) = (directory.path().join("a.yaml"), directory.path().join("b.yaml"));
    let is = |here: &Path, there: &Path| {
        format!(
            "{}:9: Extension acme/alice: metadata.name: is in {}:9 too; a name can be used once",
            here.display(),
            there.display()
        )
    };
    assert_eq!(found, [is(&a, &b), is(&b, &a)]);

    let twice = format!("{}---\n{}", extension("bob", "1"), extension("bob", "1"));
    let (_directory, reading) = read(&[("a.yaml", twice.as_bytes())]);
    assert_eq!(names(&reading), [""; 0]);
    assert!(reading.problems[0].to_string().contains("a.yaml:1 already"), "{:?}", reading.problems);
    assert_eq!(reading.problems[0].line, Some(9));
}

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

#[tokio::test]
async fn only_what_changed_is_told() {
    let text = |last: &str| {
        format!("{}---\n{}---\n{}", extension("a", "1"), extension("b", "2"), extension("c", last))
    };
    let mut live = Live::start(&[("x.yaml", &text("3")), ("y.yaml", &extension("d", "4"))]).await;
    live.write("x.yaml", &format!("# moved down a line\n{}", text("33")));
    let update = tokio::time::timeout(PATIENCE, live.updates.recv()).await.unwrap().unwrap();
    let told: Vec<String> = update
        .changes
        .iter()
        .map(|change| match change {
            Change::Upsert(object) => format!("{} {}", object.key(), number(object)),
            Change::Remove(key) => format!("- {key}"),
        })
        .collect();
    // The comment belongs to the first document, which is read again for it.
    assert_eq!(told, ["Extension acme/a 1", "Extension acme/c 33"]);
    fs::write(live.path("x.yaml"), format!("# moved down a line\n{}", text("33"))).unwrap();
    live.stays_as_it_is().await;
}

#[tokio::test]
async fn a_broken_file_keeps_what_it_held() {
    let two = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let mut live = Live::start(&[("a.yaml", &two), ("b.yaml", &extension("carol", "1003"))]).await;
    assert_eq!(live.objects.len(), 3);
    live.write("a.yaml", &two.replace("\"1001\"", "\"1009\"").replace("\"1002\"", "\"ten\""));
    let problem = live.until_problem("a.yaml").await;
    assert_eq!((problem.line, problem.field.as_str()), (Some(14), "spec.number"));
    assert_eq!(problem.resource.as_ref().unwrap().to_string(), "Extension acme/bob");
    live.until_number("alice", Some("1001")).await;
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
async fn the_latecomer_of_one_name_is_refused() {
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
async fn folders_come_and_go() {
    let mut live = Live::start(&[]).await;
    live.write("acme/deep/a.yaml", &extension("alice", "1001"));
    live.until_number("alice", Some("1001")).await;
    live.write("acme/deep/b.yaml", &extension("bob", "1002"));
    live.until_number("bob", Some("1002")).await;

    // A folder that comes with its files inside.
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
async fn a_renamed_file_is_no_loss() {
    let mut live = Live::start(&[("a.yaml", &extension("alice", "1001"))]).await;
    fs::rename(live.path("a.yaml"), live.path("b.yaml")).unwrap();
    let update = tokio::time::timeout(PATIENCE, live.updates.recv()).await.unwrap().unwrap();
    assert!(
        matches!(update.changes.as_slice(), [Change::Upsert(object)] if number(object) == "1001"),
        "{:?}",
        update.changes
    );
    assert_eq!(update.problems, []);
    // As editors and `kubectl` save: a new file put in the old one's place.
    write(&live.directory.path().join("manifests/.b.yaml.tmp"), &extension("alice", "1002"));
    fs::rename(live.path(".b.yaml.tmp"), live.path("b.yaml")).unwrap();
    live.until_number("alice", Some("1002")).await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_read_in_halves() {
    use std::io::Write;
    let two = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let mut live = Live::start(&[("a.yaml", &two)]).await;
    let mut file = fs::File::create(live.path("a.yaml")).unwrap();
    for part in two.replace("1002", "1003").as_bytes().chunks(60) {
        file.write_all(part).unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    drop(file);
    assert!(live.next(PATIENCE).await);
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
    // What the kubelet does: a new folder, then the link turned in one step.
    live.write("..2027_2/a.yaml", &extension("alice", "1002"));
    symlink("..2027_2", live.path("..data_tmp")).unwrap();
    fs::rename(live.path("..data_tmp"), live.path("..data")).unwrap();
    fs::remove_dir_all(live.path("..2027_1")).unwrap();
    live.until_number("alice", Some("1002")).await;
    assert_eq!(live.problems, []);
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

    // The user's own Secret stands before the generated one, without a word of complaint.
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
async fn a_restart_while_a_file_is_broken_loses_nothing_of_it() {
    let two = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let mut live = Live::start(&[("a.yaml", &two), ("b.yaml", &extension("carol", "1003"))]).await;
    live.write("a.yaml", &two.replace("\"1002\"", "\"ten\""));
    live.until_problem("a.yaml").await;

    let mut live = Live::restart(live.stop().await).await;
    assert_eq!(live.objects.len(), 3, "{:?}", live.objects.keys());
    live.until_number("bob", Some("1002")).await;
    assert_eq!(live.until_problem("a.yaml").await.field, "spec.number");

    // Deleted while nobody looks, and broken when it comes again: it does not come back from the copy.
    let directory = live.stop().await;
    fs::remove_file(directory.path().join("manifests/a.yaml")).unwrap();
    let mut live = Live::restart(Live::restart(directory).await.stop().await).await;
    live.write("a.yaml", "a: [");
    live.until_problem("a.yaml").await;
    assert_eq!(live.objects.len(), 1, "{:?}", live.objects.keys());

    // The copies hold what manifests hold, Secrets too: sealed, and nobody else may read them.
    let copies = live.directory.path().join("data/last-good");
    assert_eq!(fs::metadata(&copies).unwrap().permissions().mode() & 0o777, 0o700);
    for copy in fs::read_dir(copies).unwrap() {
        let copy = copy.unwrap();
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(copy.path()).unwrap().contains("apiVersion"));
    }
}

#[tokio::test]
async fn the_oldest_stays_the_oldest() {
    let age = |live: &Live, name: &str| live.objects[&format!("Extension acme/{name}")].created();
    let mut live =
        Live::start(&[("a.yaml", &extension("alice", "1")), ("b.yaml", &extension("bob", "2"))]).await;
    let first = age(&live, "alice");
    assert_eq!(first, age(&live, "bob"), "found in one scan, so of one age");
    tokio::time::sleep(Duration::from_millis(1100)).await;
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
    assert!(age(&live, "alice") > first, "one that comes again is another");

    let live = Live::restart(live.stop().await).await;
    let kept = fs::read_to_string(live.directory.path().join("data/first-seen")).unwrap();
    assert_eq!(kept.lines().count(), 3, "not compacted: {kept}");
}

#[tokio::test]
async fn a_crash_while_ages_are_written_loses_no_other() {
    let live = Live::start(&[("a.yaml", &extension("alice", "1"))]).await;
    let first = live.objects["Extension acme/alice"].created();
    let directory = live.stop().await;
    let file = directory.path().join("data/first-seen");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\u{0}\u{0}\n2027-01-01T00:0")).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let live = Live::restart(directory).await;
    assert_eq!(live.objects["Extension acme/alice"].created(), first);
    assert_eq!(live.problems, []);
}

#[tokio::test]
async fn manifests_that_are_away_are_no_order_to_delete() {
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
    let update = tokio::time::timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
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
