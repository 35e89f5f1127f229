//! Users per second that a real FreeSWITCH looks up, compared with the same FreeSWITCH and a constant answer.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Options;
use crate::answers::rates;
use crate::constant::constant;
use crate::facts::{said, unknown};
use crate::load::{PASSWORD, USERNAME};
use crate::manifests;
use crate::peers::free_port;
use crate::peers::switch::Switch;
use crate::report::Row;
use crate::served::{answers, centrex};
use crate::turns::by_turns;

const WHAT: &str = "user_exists through FreeSWITCH";
const TENANTS: usize = 100;
const CONNECTIONS: usize = 4;
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_secs(2);
const LEAST: f64 = 0.9;
/// Answers a second, as a multiple of what the FreeSWITCH beside the sidecar can ask.
const LEAST_ANSWERS: f64 = 3.0;

/// Runs the measurement if FreeSWITCH is installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let Some(binary) = binary() else {
        return vec![Row::skipped(WHAT, "FreeSWITCH is not installed (FREESWITCH_PREFIX names its prefix)")];
    };
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let manifests = tempfile::tempdir().expect("a folder");
    let platform = manifests::platform(free_port(loopback), free_port(loopback));
    manifests::write(manifests.path(), TENANTS, &platform);
    let answers = answers(manifests.path());
    let port = free_port(loopback);
    let folder = memory_folder();
    let url = format!("http://{loopback}:{port}");
    let switch = {
        let _serving = centrex(&answers, port);
        Switch::start(&binary, folder.path(), &url, USERNAME, PASSWORD)
    };
    let turn = TURN / if options.quick { 4 } else { 1 };
    let one = manifests::domain(0);
    let document = format!(
        "<document type=\"freeswitch/xml\"><section name=\"directory\"><domain name=\"{one}\">\
         <user id=\"1000\"><params><param name=\"a1-hash\" value=\"d41d8cd98f00b204e9800998ecf8427e\"/></params>\
         <variables><variable name=\"user_context\" value=\"{one}\"/></variables></user></domain></section></document>"
    );
    let turns = by_turns(
        ROUNDS,
        || {
            let _serving = centrex(&answers, port);
            rate(&switch, turn, |index| {
                (manifests::number(index / TENANTS % 100), manifests::domain(index % TENANTS))
            })
        },
        || {
            let _serving = constant(document.clone().into(), port);
            rate(&switch, turn, |_| ("1000".to_owned(), one.clone()))
        },
    );
    let limit = format!("{:.0}/s, {} bytes", turns.second, document.len());
    let row = Row::new(WHAT, format!("{:.0}/s", turns.first)).against(limit, turns.ratio);
    let ours = rates(&answers, options);
    let against_switch = |what, rate: f64| {
        let ratio = rate / turns.second;
        Row::new(what, format!("{rate:.0}/s"))
            .against(format!("{:.0}/s asked by FreeSWITCH", turns.second), ratio)
            .goal(&format!("≥ {LEAST_ANSWERS:.2}"), ratio >= LEAST_ANSWERS)
    };
    vec![
        row.goal(&format!("≥ {LEAST:.2}"), turns.ratio >= LEAST),
        against_switch("Directory answers", ours[0]),
        against_switch("Dialplan answers", ours[1]),
    ]
}

/// Version of the installed FreeSWITCH.
pub fn version() -> String {
    let said = binary().map_or_else(unknown, |binary| said(&binary.to_string_lossy(), &["-version"]));
    said.trim_start_matches("FreeSWITCH version: ")
        .split([' ', '~', '+'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Path of the program, if installed.
pub fn binary() -> Option<PathBuf> {
    let prefix = std::env::var("FREESWITCH_PREFIX").unwrap_or_else(|_| "/opt/freeswitch".to_owned());
    Some(Path::new(&prefix).join("bin/freeswitch")).filter(|binary| binary.is_file())
}

/// FreeSWITCH writes every answer to a file, and a disk would dominate the result (contract §13).
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Users found per second, with several connections to the event socket.
fn rate(switch: &Switch, time: Duration, user: impl Fn(usize) -> (String, String) + Sync) -> f64 {
    let start = Instant::now();
    let ask = |connection: usize| {
        let mut esl = switch.esl().expect("an event socket");
        let mut done = 0;
        while start.elapsed() < time {
            let (number, domain) = user(connection + done * CONNECTIONS);
            let answer = esl.api(&format!("user_exists id {number} {domain}"));
            assert_eq!(answer.as_deref(), Some("true"), "{number}@{domain}\n{}", switch.log(20));
            done += 1;
        }
        done
    };
    let done: usize = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..CONNECTIONS).map(|connection| scope.spawn(move || ask(connection))).collect();
        asking.into_iter().map(|thread| thread.join().expect("an asking thread")).sum()
    });
    done as f64 / start.elapsed().as_secs_f64()
}
