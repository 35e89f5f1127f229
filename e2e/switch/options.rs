//! Options of `centrex switch`, and its listeners.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Site, write_key};
use crate::plans;
use crate::postgres::{Database, keyring, reachable_dir};
use crate::program::{exchange, recorded, repository, run};

/// A site without a Postgres.
fn away() -> Site {
    let directory = reachable_dir();
    let key_file = directory.path().join("keys");
    write_key(&key_file, 'a');
    let media = directory.path().join("media");
    Site {
        database_url: "postgres://centrex:hidden-word@127.0.0.1:1/centrex".to_owned(),
        key_file,
        media,
        directory,
    }
}

fn refused(command: &mut Command, code: i32, parts: &[&str]) {
    let (status, text) = run(Command::new("timeout")
        .arg("20")
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))));
    assert_eq!(status, Some(code), "{command:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{command:?} does not say {part}: {text}");
    }
    assert!(!text.contains("panicked") && !text.contains("hidden-word"), "{text}");
}

#[test]
fn a_wrong_option_is_named() {
    let site = away();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = site.key_file.display().to_string();
    let nowhere = site.directory.path().join("nowhere").display().to_string();
    let start = |option: &str, value: &str, code, parts: &[&str]| {
        // An option may be given once, so the valid one is removed.
        let command = site.command("a");
        let mut args: Vec<_> = command.get_args().map(|arg| arg.to_owned()).collect();
        if let Some(at) = args.iter().position(|arg| arg == option) {
            args.drain(at..at + 2);
        }
        let mut changed = Command::new(command.get_program());
        changed.args(args).arg(option).arg(value);
        changed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        refused(&mut changed, code, parts);
    };
    start("--no-such-option", "x", 2, &["--no-such-option", "--help"]);
    start(
        "--database-url",
        "mysql://x",
        1,
        &["--database-url", "postgres://USER:PASSWORD@HOST:PORT/DATABASE"],
    );
    start("--encryption-key-file", &nowhere, 1, &["--encryption-key-file", &nowhere, "no such file"]);
    start("--data-dir", &file, 1, &["--data-dir", &file]);
    start("--media-dir", &file, 1, &["--media-dir", &file]);
    start("--templates", &nowhere, 1, &["--templates", &nowhere]);
    start("--name", "No_Name", 1, &["--name", "No_Name", "lower-case"]);
    start("--name", "", 1, &["--name", "lower-case"]);
    start("--xml-listen", &taken, 1, &["--xml-listen", &taken, "taken"]);
    start("--health-listen", &taken, 1, &["--health-listen", &taken, "taken"]);
    start("--health-listen", "everywhere", 2, &["--health-listen", "everywhere"]);
    start("--xml-username", "a:b", 1, &["--xml-username", "colon"]);

    let bare = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.arg("switch");
        command
    };
    refused(&mut bare(), 2, &["--database-url", "--encryption-key-file", "--data-dir"]);
    let mut exposed = bare();
    exposed.args(["--database-url", &site.database_url, "--encryption-key-file", &file]);
    exposed.arg("--data-dir").arg(site.directory.path().join("a")).args(["--xml-listen", "0.0.0.0:0"]);
    refused(&mut exposed, 1, &["--xml-listen 0.0.0.0", "--xml-username"]);
}

#[test]
fn every_option_is_documented() {
    let (code, help) = run(Command::new(env!("CARGO_BIN_EXE_centrex")).args(["switch", "--help"]));
    assert_eq!(code, Some(0), "{help}");
    let text = std::fs::read_to_string(repository("docs/switch.md")).unwrap();
    let options = |text: &str, by: char| -> BTreeSet<String> {
        let words = text.split(by).map(|part| part.split_whitespace().next().unwrap_or_default());
        words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
    };
    let mut known: BTreeSet<String> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches([',', ';']).to_owned())
        .collect();
    known.remove("--help");
    assert!(known.len() > 9, "{known:?}");
    assert_eq!(options(&text, '`'), known);
}

#[tokio::test]
async fn the_probe_listener_answers_probes_and_no_lookups() {
    let Some(database) = Database::start("switch: health listener").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    store.write_platform(&plans::platform()).await.unwrap();
    let site = Site::on(&database);
    let switch = site.start_ready("a");
    let health = switch.listens("answering probes").unwrap();
    let get =
        |path: &str| exchange(health, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    assert_eq!(get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz").0, 200);
    let (status, metrics) = get("/metrics");
    assert!(status == 200 && metrics.contains("centrex_replica_platform_revision 1"), "{metrics}");
    for request in ["acme-register-1001", "acme-dial-1002", "configuration-sofia"] {
        assert_eq!(exchange(health, &recorded(request)).0, 404, "{request}");
        assert_eq!(switch.ask(request).0, 200, "{request}");
    }

    // A client that never finishes its request does not delay the end.
    let mut stuck = TcpStream::connect(health).unwrap();
    stuck.write_all(b"GET /healthz HTT").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    let (status, log) = switch.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
