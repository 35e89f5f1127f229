//! Files read once: which objects are accepted, and which line has which problem.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn yaml_and_json_files_are_read() {
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
    assert_eq!(names(&reading), ["Extension acme/alice"], "a bad object silences itself, and not its file");
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
fn objects_and_fields_are_located_in_their_files() {
    let json = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n {\"apiVersion\": \"v1\",\n  \"kind\": \"Namespace\",\n  \"metadata\": {\n   \"name\": \"x\"}}]}";
    let text = format!("{}---\n{}", extension("alice", "1001"), extension("bob", "1002"));
    let (directory, reading) = read(&[("x.yaml", text.as_bytes()), ("y.json", json.as_bytes())]);
    let key = |index: usize| {
        let Change::Upsert(object) = &reading.changes[index] else { panic!() };
        object.key()
    };
    let (bob, x) = (key(1), key(2));
    let nobody = ObjectKey { name: "nobody".into(), ..bob.clone() };
    let at = |file: &str, line| Some(FileLocation { file: directory.path().join(file), line });
    let fields = [
        (&x, "metadata.name"),
        (&bob, "spec.tenantRef.name"),
        (&nobody, "spec.number"),
        (&bob, "spec.members[3].nothing"),
    ];
    let places = [at("y.json", 5), at("x.yaml", 13), None, at("x.yaml", 12)];
    assert_eq!(reading.locate(&fields), places);

    // A document that changed since keeps its last line.
    write(&directory.path().join("x.yaml"), &extension("carol", "1003"));
    assert_eq!(reading.locate(&fields), [at("y.json", 5), at("x.yaml", 9), None, at("x.yaml", 9)]);
}

#[test]
fn a_parse_error_is_reported_with_its_line() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let deep = format!("a: {}{}", "[".repeat(3000), "]".repeat(3000));
    let too_deep = format!("a: {}{}", "[".repeat(33), "]".repeat(33));
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
        ("too_deep.yaml", too_deep.as_bytes(), 1, "nested too deeply"),
        ("null.yaml", b"a: 1\nnull: 2\n", 2, "null is not allowed here"),
        ("second.yaml", b"a: 1\n...\nb: 1\n", 3, "another document begins here"),
        ("itself.yaml", b"a: &a [*a]\n", 1, "cannot contain itself"),
        ("anchor.yaml", b"# none\n---\n---\na: *97\n", 4, "if *97 is text, put it in quotes: \"*97\""),
        ("colon.yaml", b"spec:\n  displayName: Sales: UK\n", 2, "a colon and a blank belongs in quotes"),
        ("text.yaml", b"just text", 1, "must be a manifest"),
        ("half.yaml", b"apiVersion: centrex.dev/v1alpha1\nkind: Exten", 2, "is not a kind"),
    ];
    for (name, bytes, line, part) in cases {
        let (_directory, reading) = read(&[(name, bytes)]);
        assert_eq!(names(&reading), [""; 0], "{name}");
        let problem = reading.problems.first().unwrap_or_else(|| panic!("{name}: no problem"));
        assert!(problem.to_string().contains(part), "{name}: {problem}");
        if *line > 0 {
            assert_eq!(problem.line, Some(*line), "{name}: {problem}");
        }
        // The parser's own message counts lines from the start of a document and advises programmers.
        let foreign = [" line ", "column", "Option", "Policy", "_"];
        assert!(!foreign.iter().any(|word| problem.message.contains(word)), "{name}: {problem}");
    }
}

#[test]
fn an_unreadable_file_is_reported_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let huge = fs::File::create(directory.path().join("huge.yaml")).unwrap();
    huge.set_len((64 << 20) + 1).unwrap();
    symlink("circle.yaml", directory.path().join("circle.yaml")).unwrap();
    symlink("nowhere", directory.path().join("dangling.yaml")).unwrap();
    let reading = Folder::read_once(&[directory.path().to_owned()]).unwrap();
    let found: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("circle.yaml: cannot be read"), "{found:?}");
    assert!(found[1].contains("dangling.yaml: cannot be read"), "{found:?}");
    assert!(found[2].contains("huge.yaml: is larger than 64 MiB"), "{found:?}");
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
fn two_definitions_of_one_object_are_both_refused() {
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
