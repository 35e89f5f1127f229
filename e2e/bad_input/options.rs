//! Wrong options and machines that lack a requirement: reported at the start, with the allowed values.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::freeswitch::process::Process;
use crate::postgres::Database;
use crate::program::{Setting, run, succeeded, url};
use crate::skip::skip;

/// Time limit of a start that cannot succeed.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs a command that must exit with a code and report these texts.
pub fn refused(setting: &Setting, command: &mut Command, code: i32, parts: &[&str]) {
    let output = setting.path("refused");
    let mut process = Process::start(command, &output);
    let status = process.wait(LIMIT).unwrap_or_else(|| panic!("{command:?} runs: {}", process.tail(20)));
    let text = std::fs::read_to_string(&output).unwrap();
    assert_eq!(status.code(), Some(code), "{command:?}: {text}");
    let last = text.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
    for part in parts {
        assert!(last.contains(part), "{command:?}: {part:?} is not in {last}");
    }
    let words: Vec<&str> = last.split(": ").collect();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "said twice: {last}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_wrong_option_is_refused_with_the_allowed_values() {
    let setting = Setting::samples();
    let path = |name: &str| setting.path(name).display().to_string();
    let write = |name: &str, text: &str, mode: u32| {
        std::fs::create_dir_all(setting.path(name).parent().unwrap()).unwrap();
        std::fs::write(setting.path(name), text).unwrap();
        std::fs::set_permissions(setting.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        path(name)
    };
    let key = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = write("file", "", 0o600);
    let nowhere = path("nowhere");
    write("templates/directory/auth.xml", "<document>\n{{ user\n</document>\n", 0o644);
    let away = "postgres://centrex@127.0.0.1:1/centrex";
    let start = |options: &[&str], code, parts: &[&str]| {
        refused(&setting, &mut setting.command(options), code, parts);
    };
    start(&["--no-such-option"], 2, &["--no-such-option", "--help"]);
    start(&["--xml-listen", "everywhere"], 2, &["--xml-listen", "everywhere"]);
    start(&["--log", "loud=very=much"], 2, &["--log", "allowed is"]);
    start(&["--xml-listen", &taken], 1, &["--xml-listen", &taken, "taken"]);
    start(&["--xml-listen", "192.0.2.1:8080"], 1, &["--xml-listen", "192.0.2.1:8080"]);
    start(&["--xml-username", "a:b"], 1, &["--xml-username", "colon"]);
    start(&["--xml-username", ""], 1, &["--xml-username", "empty"]);
    start(&["--encryption-key-file", &nowhere], 1, &["--encryption-key-file", &nowhere, "no such file"]);
    start(&["--templates", &nowhere], 1, &["--templates", &nowhere]);
    let allowed = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    start(&["--database-url", "mysql://x"], 1, &["--database-url", allowed]);
    for (text, mode, part) in [
        ("", 0o600, "has no key"),
        ("nothing\n", 0o600, "line 1"),
        ("1:c2hvcnQ=\n", 0o600, "32 bytes"),
        (key, 0o644, "0600"),
    ] {
        let keys = write("keys", text, mode);
        let options = ["--encryption-key-file", &keys];
        refused(&setting, &mut setting.command(&options), 1, &["--encryption-key-file", &keys, part]);
    }
    let templates = path("templates");
    let options = ["--templates", &templates, "--database-url", away];
    refused(&setting, &mut setting.command(&options), 1, &["--templates", "directory/auth.xml:3"]);

    let mut command = setting.command(&["--xml-listen", "0.0.0.0:0"]);
    command.env_remove("CENTREX_XML_USERNAME").env_remove("CENTREX_XML_PASSWORD");
    refused(&setting, &mut command, 1, &["--xml-listen 0.0.0.0", "--xml-username", "127.0.0.1"]);
    let mut command = setting.command(&[]);
    refused(&setting, command.env_remove("CENTREX_XML_PASSWORD"), 1, &["--xml-password"]);

    let centrex = || Command::new(env!("CARGO_BIN_EXE_centrex"));
    refused(&setting, centrex().arg("standalone"), 2, &["--manifests", "--data-dir"]);
    refused(
        &setting,
        centrex().args([
            "standalone",
            "--manifests",
            &nowhere,
            "--data-dir",
            &path("data"),
            "--xml-listen",
            "127.0.0.1:0",
            "--database-url",
            away,
        ]),
        1,
        &["--manifests", &nowhere],
    );
    refused(
        &setting,
        centrex().args(["standalone", "--manifests", &path("manifests"), "--data-dir", &file]),
        1,
        &["--data-dir", &file],
    );
    // All options are checked before anything is created: no key, no Postgres.
    assert!(!setting.data_dir().exists());
    let (code, text) = run(centrex().args(["check", &nowhere]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&nowhere), "{text}");
}

#[tokio::test]
async fn a_key_of_another_database_is_refused_and_no_data_is_lost() {
    let Some(database) =
        Database::alone("bad_input::options::a_key_of_another_database_is_refused_and_no_data_is_lost").await
    else {
        return;
    };
    let setting = Setting::samples();
    let url = url(&database);
    let program = setting.start_ready(&["--database-url", &url]);
    let answer = program.answer("acme-register-1001");
    program.end("-TERM");
    let right = setting.data_dir().join("encryption-keys");
    let kept = setting.path("kept-keys");
    std::fs::rename(&right, &kept).unwrap();
    let parts = ["--encryption-key-file", "sealed with key version 1"];
    refused(&setting, &mut setting.command(&["--database-url", &url]), 1, &parts);
    std::fs::rename(&kept, &right).unwrap();
    let program = setting.start_ready(&["--database-url", &url]);
    assert_eq!(program.answer("acme-register-1001"), answer);
}

#[tokio::test]
async fn a_login_that_postgres_refuses_is_logged_and_retried() {
    let test = "bad_input::options::a_login_that_postgres_refuses_is_logged_and_retried";
    let Some(database) = Database::start(test).await else { return };
    let setting = Setting::samples();
    let elsewhere = url(&database).replace(database.name(), "not_there_yet");
    let mut program = setting.start(&["--database-url", &elsewhere]);
    program.wait_until("the reason", |program| {
        let log = program.log();
        log.contains("Postgres refuses the login (--database-url") && log.contains("not_there_yet")
    });
    assert_eq!(program.get("/readyz").0, 503);
    let mut server = database.server_admin().await;
    sqlx::raw_sql("CREATE DATABASE not_there_yet OWNER centrex").execute(&mut server).await.unwrap();
    program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
    program.end("-TERM");
    sqlx::raw_sql("DROP DATABASE not_there_yet WITH (FORCE)").execute(&mut server).await.unwrap();
}

#[test]
fn an_unreachable_postgres_is_logged_and_retried() {
    let setting = Setting::samples();
    let mut program =
        setting.start(&["--database-url", "postgres://centrex:hidden-word@127.0.0.1:1/centrex"]);
    program.wait_until("the reason", |program| {
        program.log().contains("Postgres cannot be reached at 127.0.0.1:1 (--database-url)")
    });
    assert_eq!(program.get("/healthz").0, 200);
    assert_eq!(program.get("/readyz").0, 503);
    assert_eq!(program.ask("acme-register-1001").0, 503, "not ready is no true miss");
    let start = Instant::now();
    let (status, log) = program.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!log.contains("hidden-word"), "{log}");
}

#[test]
fn without_postgres_programs_standalone_says_what_to_install() {
    let test = "bad_input::options::without_postgres_programs_standalone_says_what_to_install";
    let setting = Setting::samples();
    let Some(mut command) = in_namespace(test, &setting, "mount -t tmpfs none /usr/lib/postgresql") else {
        return;
    };
    if !Path::new("/usr/lib/postgresql").exists() {
        return skip(test, "no /usr/lib/postgresql to hide");
    }
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    refused(&setting, &mut command, 1, &["apt-get install postgresql", "--database-url"]);
}

#[test]
fn a_disk_that_is_too_small_is_reported_at_the_start() {
    let setting = Setting::samples();
    let Some(mut command) =
        on_small_disk("bad_input::options::a_disk_that_is_too_small_is_reported_at_the_start", &setting, 8)
    else {
        return;
    };
    refused(&setting, &mut command, 1, &["--data-dir", "No space left on device"]);
}

#[test]
fn a_full_disk_interrupts_no_answer_and_loses_no_data() {
    let setting = Setting::samples();
    let Some(mut command) = on_small_disk(
        "bad_input::options::a_full_disk_interrupts_no_answer_and_loses_no_data",
        &setting,
        120,
    ) else {
        return;
    };
    let mut program = setting.start_command(&mut command);
    program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
    let before = program.answer("acme-dial-2000");
    let filler = format!("/proc/{}/root{}", program.id(), setting.data_dir().join("filler").display());
    fill(&filler);
    let names = |number: usize| {
        (0..number).map(|at| format!("---\napiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {{name: e{at}, namespace: acme}}\nspec: {{tenantRef: {{name: acme}}, number: \"7{at:03}\", credentials: {{secretRef: {{name: alice-sip}}}}}}\n")).collect::<String>()
    };
    setting.edit("20-acme-groups.yaml", "  ringSeconds: 25\n", "  ringSeconds: 26\n");
    setting.write("30-acme-many.yaml", &names(150));
    program.wait_until("trouble", |program| program.log().contains("No space left"));
    assert!(program.answer("acme-register-1001").contains("a1-hash"));
    assert!(program.answer("acme-dial-2000").contains("user/1001"));
    std::fs::remove_file(&filler).unwrap();
    program.wait_until("the change", |program| program.ask("acme-dial-2000").1.contains("leg_timeout=26"));
    assert_ne!(program.answer("acme-dial-2000"), before);
    let (status, log) = program.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

/// Writes until the disk is full.
fn fill(path: &str) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let mut block = vec![0u8; 1 << 16];
    while !block.is_empty() {
        if file.write_all(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
}

/// Standalone with its data directory on a disk of so many megabytes; `None`, and the test counts as skipped,
/// if a disk cannot be mounted.
fn on_small_disk(test: &str, setting: &Setting, megabytes: u32) -> Option<Command> {
    if crate::standalone::without_postgres(test) {
        return None;
    }
    std::fs::create_dir_all(setting.data_dir()).unwrap();
    let mount = format!("mount -t tmpfs -o mode=711,size={megabytes}m none {}", setting.data_dir().display());
    in_namespace(test, setting, &mount)
}

/// Standalone in its own mount namespace.
fn in_namespace(test: &str, setting: &Setting, mount: &str) -> Option<Command> {
    if let Err(why) = succeeded(Command::new("unshare").args(["-m", "sh", "-c", mount])) {
        skip(test, &format!("not permitted: {mount}: {why}"));
        return None;
    }
    let standalone = setting.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]);
    command.arg(standalone.get_program()).args(standalone.get_args());
    for (name, value) in standalone.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}
