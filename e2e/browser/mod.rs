//! Browsers: headless Chromium with JsSIP, through the relay, to a real FreeSWITCH; and what the relay does to hostile
//! clients. The calls are in `cases.mjs`.

mod lab;
mod relay;

use std::path::PathBuf;
use std::process::Command;

use centrex::secrets::web_password;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::freeswitch::process::{Process, free_port};
use crate::freeswitch::switch::installed;
use crate::postgres::Database;
use crate::program::{repository, run};
use crate::skip::skip;
use lab::Lab;

/// The secret that Centrex and the TURN server share.
const TURN_SECRET: &str = "turn-dummy-secret";

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_real_browser() {
    let test = "browser::calls_of_a_real_browser";
    let built = match page() {
        Ok(built) => built,
        Err(missing) => return skip(test, &missing),
    };
    let binary = match installed() {
        Ok(binary) => binary,
        Err(missing) => return skip(test, &missing),
    };
    let Some(database) = Database::start(test).await else { return };
    let lab = Lab::start(&binary, &database);
    let turn = TurnServer::start(&lab);
    let config = config(&lab, &database, turn.as_ref(), &built).await;
    let script = repository("e2e/browser/cases.mjs");
    let program = tokio::task::spawn_blocking(move || {
        run(Command::new("node").arg(script).env("CENTREX_BROWSER", config.to_string()))
    });
    let (code, text) = program.await.unwrap();
    eprintln!("{text}");
    assert_eq!(code, Some(0), "{text}\n{}", lab.logs());
    assert!(text.trim_end().ends_with("16 passed, 0 failed"), "{text}");
    let metrics = lab.metrics();
    let value = |name| crate::program::sample(&metrics, name).unwrap_or_default();
    assert!(value("centrex_sip_websocket_returned_total") >= 3.0, "{metrics}");
    assert_eq!(value("centrex_sip_websocket_browsers"), 0.0, "{metrics}");
    // coturn is a Debian package; make setup installs it beside Chromium.
    if turn.is_none() {
        skip(test, "turnserver is missing (Debian package coturn): one case was left out");
    }
}

/// The page with JsSIP, built once; or what is missing.
fn page() -> Result<PathBuf, String> {
    let output = Command::new(repository("e2e/browser/build.sh")).output().expect("a shell");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(said(&output.stdout).into()),
        Some(3) => Err(said(&output.stderr)),
        code => panic!("e2e/browser/build.sh ended with {code:?}: {}", said(&output.stderr)),
    }
}

/// What the driver needs.
async fn config(lab: &Lab, database: &Database, turn: Option<&TurnServer>, built: &std::path::Path) -> Value {
    let passwords = lab.passwords(database).await;
    let hour = web_password::HOUR_SECONDS;
    // What is tried in the first seconds is to be of one hour.
    let rest = hour - Timestamp::now().as_second() % hour;
    if rest < 60 {
        tokio::time::sleep(std::time::Duration::from_secs(rest.unsigned_abs())).await;
    }
    let with = |password: String| {
        let mut credential = lab.credential(database, "bob", turn.map(|turn| turn.url.as_str()));
        credential["password"] = password.into();
        credential
    };
    let [this_hour, last_hour] = passwords("bob", Timestamp::now());
    let bob = lab.credential(database, "bob", turn.map(|turn| turn.url.as_str()));
    assert_eq!(bob["password"], this_hour.as_str(), "the command prints this hour's");
    let [two_hours_ago, _] = passwords("bob", Timestamp::now() - jiff::SignedDuration::from_secs(2 * hour));
    let [next_hour, _] = passwords("bob", Timestamp::now() + jiff::SignedDuration::from_secs(hour));
    let [of_another, _] = passwords("carol", Timestamp::now());
    json!({
        "built": built,
        "domain": "acme.example.com",
        "pagePort": lab.page_port,
        "relayPort": lab.relay_port,
        "sipPort": lab.phones,
        "webSipPort": lab.web,
        "turn": turn.is_some(),
        "bob": bob,
        "bobLastHour": with(last_hour),
        "carol": lab.credential(database, "1003", None),
        "wrong": {
            "of two hours ago": two_hours_ago,
            "of the next hour": next_hour,
            "of another extension": of_another,
            "of the extension's phone": "bob-dummy-password",
        },
        "passwords": {"1001": "alice-dummy-password", "1002": "bob-dummy-password", "1004": "dave-dummy-password"},
        "only": std::env::var("CENTREX_BROWSER_CASE").ok(),
    })
}

/// A TURN server on loopback.
struct TurnServer {
    url: String,
    _process: Process,
}

impl TurnServer {
    /// Starts it; `None` without Debian's coturn.
    fn start(lab: &Lab) -> Option<Self> {
        Command::new("turnserver").arg("--version").output().ok()?;
        let port = free_port(std::net::Ipv4Addr::LOCALHOST.into());
        let mut command = Command::new("turnserver");
        command.args(["-n", "--no-tls", "--no-dtls", "--no-cli", "--no-stdout-log", "--log-file", "stdout"]);
        command.args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--allow-loopback-peers"]);
        command.args(["--listening-port", &port.to_string(), "--realm", "turn.example.com"]);
        command.args(["--min-port", "46000", "--max-port", "46099"]);
        command.args(["--use-auth-secret", "--static-auth-secret", TURN_SECRET]);
        command.args(["--pidfile", &lab.path("turn.pid"), "--userdb", &lab.path("turn.db")]);
        let process = Process::start(&mut command, lab.path("turn.log").as_ref());
        Some(Self { url: format!("turn:127.0.0.1:{port}?transport=udp"), _process: process })
    }
}
