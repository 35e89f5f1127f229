//! Blocks that need no running cluster.

use std::path::Path;
use std::process::Command;

use super::blocks::{block, demo_prints};
use super::sandbox::Sandbox;
use crate::cluster::Programs;
use crate::program::{repository, run, succeeded};
use crate::skip::skip;
use crate::standalone::without_postgres;

/// Gives a shell the tested program, so that make compiles none: for a reader it is in `target/debug`.
fn with_program(shell: &mut Command) {
    let program = Path::new(env!("CARGO_BIN_EXE_centrex"));
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}", program.parent().unwrap().display())).env("CENTREX", program);
}

/// Whether programs of a block are missing; then the test counts as skipped.
fn missing(test: &str, programs: &[&str]) -> bool {
    let absent = programs.iter().find(|name| succeeded(Command::new(name).arg("--version")).is_err());
    absent.is_some_and(|name| {
        skip(test, &format!("no {name}"));
        true
    })
}

#[test]
fn the_documented_clone_works() {
    let test = "readme::machine::the_documented_clone_works";
    if missing(test, &["git"]) {
        return;
    }
    if !repository(".git").exists() {
        return skip(test, "this is no clone, but an archive");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = block("git clone REPOSITORY centrex", &[("REPOSITORY", env!("CARGO_MANIFEST_DIR"))]);
    let mut shell = Command::new("bash");
    shell.args(["-euc", &format!("{script}test -x e2e/demo.sh && make help")]).current_dir(folder.path());
    // Git refuses a repository of another user unless this is set.
    shell
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*");
    let (code, text) = run(&mut shell);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("make demo") && text.contains("make run"), "{text}");
}

#[test]
fn the_demo_prints_what_the_page_says() {
    let test = "readme::machine::the_demo_prints_what_the_page_says";
    if missing(test, &["make", "curl", "psql"]) || without_postgres(test) {
        return;
    }
    // With a umask that keeps everything private: root's Postgres runs as another user, which must read its
    // data nevertheless.
    let mut shell = Command::new("bash");
    shell.args(["-euc", &format!("umask 077\n{}", block("make demo", &[]))]).current_dir(repository(""));
    with_program(&mut shell);
    let (code, text) = run(&mut shell);
    assert_eq!(code, Some(0), "{text}");
    let printed: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut rest = printed.iter();
    let page = demo_prints();
    for line in page.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
        assert!(rest.any(|printed| *printed == line), "{line:?} does not follow in:\n{text}");
    }
    assert!(page.lines().count() > 8, "{page}");
    assert!(printed.len() < 130, "{text}");
}

#[test]
fn the_image_is_built() {
    let test = "readme::machine::the_image_is_built";
    if let Err(why) = succeeded(Command::new("docker").arg("info")) {
        return skip(test, &format!("Docker does not work here: {why}"));
    }
    let script = block("docker build -t REGISTRY/centrex:0.1.0 .", &[("REGISTRY", "registry.example.com")]);
    let (code, text) = run(Command::new("bash").args(["-euc", &script]).current_dir(repository("")));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_local_control_plane_starts() {
    let test = "readme::machine::a_local_control_plane_starts";
    if let Err(why) = Programs::find() {
        return skip(test, &why);
    }
    if missing(test, &["make", "psql"]) || without_postgres(test) {
        return;
    }
    let Some(sandbox) = Sandbox::open(test) else { return };
    let text = sandbox.run(&block("make cluster", &[]), |shell| {
        with_program(shell);
        // The data are in `target`, as the page says.
        shell.env_remove("CARGO_TARGET_DIR");
    });
    for line in ["tenant.centrex.dev/acme condition met", "extension.centrex.dev/alice condition met"] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn standalone_runs_without_a_cluster() {
    let test = "readme::machine::standalone_runs_without_a_cluster";
    if missing(test, &["make", "curl"]) || without_postgres(test) {
        return;
    }
    let Some(sandbox) = Sandbox::open(test) else { return };
    let script = block("make build", &[("DATA_DIR", "/var/lib/centrex"), ("PASSWORD", "a-password")]);
    let text = sandbox.run(&format!("{script}kill %1; wait %1"), with_program);
    assert!(text.contains("0 errors, 0 notes") && text.contains("ends: RingGroup sales"), "{text}");
}

/// With every umask, in the directory of a clone, as `make run`.
#[test]
fn make_run_starts_with_every_umask() {
    let test = "readme::machine::make_run_starts_with_every_umask";
    if missing(test, &["make", "curl"]) || without_postgres(test) {
        return;
    }
    let Some(sandbox) = Sandbox::open(test) else { return };
    for umask in ["022", "027", "077"] {
        // Ctrl-C reaches the program through make.
        let script = format!(
            "umask {umask}\nmake run &\n\
             curl --retry 60 --retry-all-errors --retry-delay 1 -fsS http://127.0.0.1:8080/readyz\n\
             kill -INT $(pgrep -x centrex)\nwait %1"
        );
        let text = sandbox.run(&script, with_program);
        assert!(text.contains("Data are kept in /var/lib/centrex-run"), "{text}");
    }
}
