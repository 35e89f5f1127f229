//! A test that cannot run here is reported and counted; it never passes silently.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;
use std::sync::LazyLock;

/// The tests of this program, by the names that `cargo test NAME` finds.
static TESTS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let program = std::env::current_exe().expect("this program");
    let listed = Command::new(program).arg("--list").output().expect("the list of its tests");
    let listed = String::from_utf8(listed.stdout).expect("text");
    listed.lines().filter_map(|line| line.strip_suffix(": test").map(str::to_owned)).collect()
});

/// True if `cargo test NAME` finds a test of this name.
pub fn is_test(name: &str) -> bool {
    TESTS.contains(name)
}

/// Reports that the running test is skipped, and why: on standard error, and as a line of the file that
/// `CENTREX_SKIPS` names, whose lines `make test` counts at its end. The name of the test is that of its thread;
/// if one thread runs all tests, it is `label`.
pub fn skip(label: &str, why: &str) {
    let thread = std::thread::current();
    let test = match thread.name() {
        None | Some("main") => label,
        Some(name) => {
            assert!(is_test(name), "{label:?} is skipped by thread {name:?}, which is no test's");
            name
        }
    };
    eprintln!("SKIPPED {test}: {why}");
    if let Ok(path) = std::env::var("CENTREX_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // In one write: tests run side by side.
        let _ = file.write_all(format!("{test}: {}\n", why.replace('\n', " ")).as_bytes());
    }
}

mod tests {
    use super::*;
    use crate::program::{repository, run};

    #[test]
    #[ignore = "is run by the other test"]
    fn a_test_that_is_skipped() {
        skip("a label", "something\nis missing");
        skip("another label", "something else is missing");
    }

    #[test]
    fn a_skipped_test_is_counted_once_under_its_name() {
        let name = "skip::tests::a_test_that_is_skipped";
        let directory = tempfile::tempdir().unwrap();
        let skips = directory.path().join("skips");
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--ignored", "--exact", name, "--test-threads=2"]).env("CENTREX_SKIPS", &skips);
        let (code, text) = run(&mut program);
        assert!(code == Some(0) && text.contains("1 passed"), "{text}");
        let (code, text) = run(Command::new(repository("e2e/skipped.sh")).arg(&skips));
        assert_eq!(code, Some(0), "{text}");
        let expected = format!(
            "SKIPPED {name}: something else is missing\nSKIPPED {name}: something is missing\n1 skipped\n"
        );
        assert_eq!(text, expected);
        // With a list, as CI has it: a test that is not on the list may not be skipped.
        let list = directory.path().join("list");
        for (listed, wanted) in [("# a reason\nskip::tests::another\n", 1), (name, 0)] {
            std::fs::write(&list, listed).unwrap();
            let (code, text) = run(Command::new(repository("e2e/skipped.sh")).args([&skips, &list]));
            assert_eq!(code, Some(wanted), "{text}");
            assert!(text.starts_with(&expected), "{text}");
        }
    }

    #[test]
    fn every_test_that_ci_may_skip_exists_and_has_a_reason() {
        let list = std::fs::read_to_string(repository("e2e/skips.txt")).unwrap();
        let mut before = "";
        for line in list.lines() {
            if !line.is_empty() && !line.starts_with('#') {
                assert!(is_test(line), "there is no test {line}");
                assert!(before.starts_with('#'), "{line} has no reason");
            }
            before = line;
        }
    }

    #[test]
    fn a_skip_on_a_thread_without_a_tests_name_fails() {
        let thread = std::thread::Builder::new().name("worker".to_owned());
        let skipped = thread.spawn(|| skip("a label", "nothing is missing")).unwrap().join();
        assert!(skipped.is_err(), "a name that is no test's was counted");
    }
}
