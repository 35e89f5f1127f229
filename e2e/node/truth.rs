//! Whether statuses are true while programs are killed.
//!
//! The test changes Alice's name repeatedly. Each time it reads her status, it asks the switch right
//! afterwards for a call of hers: a status that says `Live` for a name which the switch does not have yet is
//! wrong. After a power cut the switch answers from its last good state until it has read Postgres, and the
//! status is still the previous one: that may last for a moment, which is measured.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::machine::outside;
use super::site::{Site, XML_PASSWORD};
use crate::cluster::Cluster;
use crate::program::recorded;
use crate::wait::DEADLINE;

/// Prefix of her name; the number of the change follows.
const NAME: &str = "Alice the ";
/// The domain of the samples' tenant in the recorded request.
const RECORDED_TENANT: &str = "a759cfa5-43e1-52fd-b127-20cc0fb653e5";
/// How long the test watches one change before it makes the next.
const TURN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// Changes and compares until stopped.
pub struct Truth {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Comparisons>,
}

/// Counts of the comparisons.
#[derive(Default)]
struct Comparisons {
    changes: u64,
    statuses: usize,
    lies: Vec<String>,
    /// Since when the switch answers with an older name than the status says.
    older_since: Option<Instant>,
    /// The longest such time.
    older: Duration,
}

impl Truth {
    /// Starts, from the network outside the node. The switch may answer with an older name than the status
    /// says for at most `grace`.
    pub fn begin(site: &Site, grace: Duration) -> Self {
        let id = "jsonpath={.status.tenantId}";
        let tenant = site.cluster.kubectl_ok(&["get", "tenant", "acme", "-n", "acme", "-o", id]);
        let credentials = |password| BASE64_STANDARD.encode(format!("freeswitch:{password}"));
        let call = String::from_utf8(recorded("acme-dial-1002")).expect("text");
        let call = call.replace(&credentials("demo-only"), &credentials(XML_PASSWORD));
        let mut watch = Watch {
            cluster: site.node.cluster(),
            network: site.node.own_network(),
            call: call.replace(RECORDED_TENANT, &tenant),
            names: BTreeMap::new(),
            grace,
            told: Comparisons::default(),
        };
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                watch.change();
                watch.compare_until_live(TURN);
            }
            // No change is lost: the last one reaches the switch, and the status says so.
            while !watch.change() {
                std::thread::sleep(PAUSE);
            }
            assert!(
                watch.compare_until_live(DEADLINE),
                "the last change is never Live: {:?}",
                watch.answered()
            );
            watch.told
        });
        Self { ended, thread }
    }

    /// Stops; panics if a status was wrong.
    pub fn end(self, meanwhile: &str) {
        self.ended.store(true, Ordering::Relaxed);
        let Comparisons { changes, statuses, lies, older, .. } = self.thread.join().expect("a watch");
        eprintln!(
            "{meanwhile}: {changes} changes, {statuses} statuses compared, {} lies, answers older than the status for \
             {:.1} s",
            lies.len(),
            older.as_secs_f32()
        );
        assert!(statuses > 0, "no status was compared");
        assert!(lies.is_empty(), "{lies:#?}");
    }
}

struct Watch {
    cluster: Cluster,
    /// Network of the node.
    network: PathBuf,
    /// The request of FreeSWITCH when she calls.
    call: String,
    /// Number of the change, by the generation of the spec.
    names: BTreeMap<i64, u64>,
    /// How long the switch may answer with an older name than the status says.
    grace: Duration,
    told: Comparisons,
}

impl Watch {
    /// Gives her the next name; false if the API server does not answer.
    fn change(&mut self) -> bool {
        let number = self.told.changes + 1;
        let patch = format!("{{\"spec\": {{\"displayName\": \"{NAME}{number}\"}}}}");
        let arguments = ["patch", "-n", "acme", "extension/alice", "--type=merge", "-p", &patch];
        let changed = self.kubectl(&arguments).is_some();
        self.told.changes = number;
        changed
    }

    /// Compares until the status says `Live` for the last change, or the time is over.
    fn compare_until_live(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(said) = self.said()
                && let Some(answered) = self.answered()
            {
                self.told.statuses += 1;
                self.compare(said, answered);
                if said == self.told.changes {
                    return true;
                }
            }
            std::thread::sleep(PAUSE);
        }
        false
    }

    fn compare(&mut self, said: u64, answered: u64) {
        if answered >= said {
            self.told.older_since = None;
            return;
        }
        let since = self.told.older_since.get_or_insert_with(Instant::now).elapsed();
        self.told.older = self.told.older.max(since);
        if since >= self.grace {
            self.told.lies.push(format!("Live is said of change {said}, and {answered} is answered"));
        }
    }

    /// The last change that her status calls `Live`.
    fn said(&mut self) -> Option<u64> {
        let output = self.kubectl(&["get", "-n", "acme", "extension/alice", "-o", "json"])?;
        let alice: Value = serde_json::from_str(&output).ok()?;
        let name = alice["spec"]["displayName"].as_str()?;
        if let Some(number) = name.strip_prefix(NAME) {
            self.names.insert(alice["metadata"]["generation"].as_i64()?, number.parse().ok()?);
        }
        let conditions = alice["status"]["conditions"].as_array()?;
        let live = conditions.iter().find(|condition| condition["type"] == "Live")?;
        let generation = live["observedGeneration"].as_i64().filter(|_| live["status"] == "True")?;
        self.names.range(..=generation).next_back().map(|(_, number)| *number)
    }

    /// The change in the switch's answer to a call of hers; `None` without an answer.
    fn answered(&self) -> Option<u64> {
        self.network.exists().then_some(())?;
        let answer = outside(&self.network, || ask(self.call.as_bytes()))?;
        let (_, rest) = answer.split_once("effective_caller_id_name=")?;
        let number = rest.strip_prefix(NAME)?.split(|c: char| !c.is_ascii_digit()).next()?;
        number.parse().ok()
    }

    fn kubectl(&self, arguments: &[&str]) -> Option<String> {
        let output = self.cluster.kubectl(&[&["--request-timeout=2s"], arguments].concat());
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn ask(request: &[u8]) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut part = [0; 16384];
    // The connection stays open, so the answer ends with the document.
    while !answer.ends_with(b"</document>\n") && !answer.ends_with(b"</document>") {
        match stream.read(&mut part).ok()? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    String::from_utf8(answer).ok()
}
