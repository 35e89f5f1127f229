//! The operator, and the switches of a fleet.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::freeswitch::phone::Peer;
use crate::freeswitch::process::free_port;
use crate::freeswitch::standalone::{PASSWORD, USERNAME};
use crate::freeswitch::switch::{ESL_PASSWORD, Switch, installed, templates};
use crate::live::lab::Call;
use crate::operator::Site;
use crate::program::{Program, repository, sample};
use crate::skip::skip;
use crate::wait::{DEADLINE, until};

const ACME: &str = "acme.example.com";
const GLOBEX: &str = "globex.example.com";
/// Names of the switches, and the last numbers of their addresses.
const NAMES: [(&str, u8); 3] = [("a", 101), ("b", 102), ("c", 103)];

/// The setting. Fields are dropped in order: switches before the processes that serve them.
pub struct Fleet {
    /// The switches, in the order of their names.
    pub switches: Vec<Member>,
    /// SIP port of the phones' profile, on every switch.
    pub phones: u16,
    /// SIP port of the trunks' profile, on every switch.
    pub trunks: u16,
    _operator: Program,
    /// The API server and the database.
    pub site: Site,
    /// Folder of the switches; in memory if the system has such a file system.
    pub dir: tempfile::TempDir,
}

/// A switch of the fleet. Fields are dropped in the order in which the processes must end.
pub struct Member {
    /// Name.
    pub name: &'static str,
    /// FreeSWITCH.
    pub switch: Switch,
    /// The sidecar; `None` while it is stopped.
    pub sidecar: Option<Program>,
    /// Acme, 1001, registered there.
    pub alice: Peer,
    /// Acme, 1002, registered there.
    pub bob: Peer,
    /// Globex, 1001.
    pub hank: Peer,
    /// Globex, 1002.
    pub ivy: Peer,
    binary: PathBuf,
    dir: PathBuf,
    esl_port: u16,
    xml_port: u16,
}

impl AsRef<Switch> for Member {
    fn as_ref(&self) -> &Switch {
        &self.switch
    }
}

impl Fleet {
    /// Starts a number of switches, with the tenants of the test; `None`, and the test counts as skipped, if
    /// something is missing.
    pub async fn start(test: &str, count: usize) -> Option<Self> {
        let binary = installed().map_err(|missing| skip(test, &missing)).ok()?;
        let site = Site::start(test).await?;
        let operator = site.operator(&[]);
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("centrex-fleet-").tempdir_in(place).expect("a folder");
        // The switches run as another user and need access to the folder.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
        let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (phones, trunks) = (port(), port());
        site.cluster.apply(&manifests(phones, trunks));
        let mut fleet = Self { switches: Vec::new(), phones, trunks, _operator: operator, site, dir };
        for (name, host) in NAMES.into_iter().take(count) {
            let member = Member::start(&fleet, &binary, name, host);
            fleet.switches.push(member);
        }
        for (name, _) in NAMES.into_iter().take(count) {
            fleet.site.wait_for("default", &format!("switch/{name}"), "Ready=True Reporting");
            fleet.site.wait_for("default", &format!("switch/{name}"), "Drifted=False AsPlanned");
        }
        for object in ["tenant/acme", "extension/bob"] {
            fleet.site.wait_for("acme", object, "Ready=True Ready");
        }
        fleet.site.wait_for("carriers", "trunk/carrier", "Ready=True Ready");
        Some(fleet)
    }

    /// The message of a condition.
    pub fn message(&self, namespace: &str, object: &str, type_: &str) -> String {
        let object = self.site.get(namespace, object).unwrap_or_default();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == type_);
        found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits until the message of a condition has a text.
    pub fn says(&self, namespace: &str, object: &str, type_: &str, text: &str) {
        self.eventually(&format!("{object} {type_}: {text}"), || {
            self.message(namespace, object, type_).contains(text)
        });
    }

    /// Waits until something holds.
    pub fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        assert!(until(DEADLINE, || holds().then_some(())).is_some(), "never came: {what}\n{}", self.logs());
    }

    /// Starts a call on every switch, with both phones registered there. The phones send no media, so each
    /// call ends after two minutes.
    pub fn calls(&self) -> Vec<Call> {
        self.switches.iter().map(|member| member.call(self.phones)).collect()
    }

    /// Ends calls.
    pub fn hang_up(&self, calls: Vec<Call>) {
        for (call, member) in calls.into_iter().zip(&self.switches) {
            call.end(member);
        }
    }

    /// Panics unless every call is still up.
    pub fn are_up(&self, calls: &mut [Call]) {
        for (call, member) in calls.iter_mut().zip(&self.switches) {
            call.is_up(member);
        }
    }

    /// The last log lines of the switches.
    pub fn logs(&self) -> String {
        let log = |member: &Member| {
            let sidecar = member.sidecar.as_ref().map(Program::log).unwrap_or_default();
            let last: Vec<&str> = sidecar.lines().rev().take(20).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            format!("== {}\n{}\n{}\n", member.name, last.join("\n"), member.switch.log(20))
        };
        self.switches.iter().map(log).collect()
    }
}

impl Member {
    fn start(fleet: &Fleet, binary: &Path, name: &'static str, host: u8) -> Self {
        let address = Ipv4Addr::new(127, 0, 0, host);
        let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (esl_port, xml_port) = (port(), port());
        let dir = fleet.dir.path().join(name);
        templates(&dir.join("templates"), address);
        let mut sidecar = sidecar(&fleet.site, name, &dir, xml_port, esl_port);
        // FreeSWITCH may exit at once if no lookups are answered when it starts.
        sidecar.wait_until("readiness", |sidecar| sidecar.get("/readyz").0 == 200);
        let traces = dir.join("traces");
        let peer = |user, domain, password, more| {
            Peer::new(user, domain, password, host + more, &traces).at(address)
        };
        Self {
            name,
            switch: freeswitch(binary, &dir, xml_port, esl_port),
            sidecar: Some(sidecar),
            alice: peer("1001", ACME, "alice-dummy-password", 10),
            bob: peer("1002", ACME, "bob-dummy-password", 20),
            hank: peer("1001", GLOBEX, "hank-dummy-password", 30),
            ivy: peer("1002", GLOBEX, "ivy-dummy-password", 40),
            binary: binary.to_owned(),
            dir,
            esl_port,
            xml_port,
        }
    }

    /// Ends the sidecar as a power cut does.
    pub fn kill_sidecar(&mut self) {
        self.sidecar.take().expect("a sidecar").end("-KILL");
    }

    /// Deletes the sidecar's state, as with a deleted pod.
    pub fn forget(&self) {
        std::fs::remove_dir_all(self.dir.join("data")).expect("its data");
    }

    /// Starts the sidecar again, with its stored state.
    pub fn start_sidecar(&mut self, site: &Site) {
        self.sidecar = Some(sidecar(site, self.name, &self.dir, self.xml_port, self.esl_port));
    }

    /// Starts FreeSWITCH again, at the same address.
    pub fn start_switch(&mut self) {
        self.switch = freeswitch(&self.binary, &self.dir, self.xml_port, self.esl_port);
    }

    /// Alice calls Bob.
    pub fn call(&self, phones: u16) -> Call {
        self.call_of(&self.alice, &self.bob, phones)
    }

    /// A call to 1002.
    pub fn call_of(&self, caller: &Peer, called: &Peer, phones: u16) -> Call {
        self.register(caller, phones);
        self.register(called, phones);
        Call::begin(&self.switch, caller, called, phones)
    }

    /// Registers a phone.
    pub fn register(&self, phone: &Peer, phones: u16) {
        let outcome = phone.play("register", phones, &[]);
        assert!(outcome.completed, "{}", outcome.trace);
        let registered = until(DEADLINE, || self.is_registered(phone).then_some(()));
        assert!(registered.is_some(), "{}@{} is not registered at {}", phone.user, phone.domain, self.name);
    }

    /// Whether a user is registered, as mod_sofia reports it.
    pub fn is_registered(&self, phone: &Peer) -> bool {
        self.switch.api(&format!("sofia_contact */{}@{}", phone.user, phone.domain)).starts_with("sofia/")
    }

    /// Whether the switch has a gateway to a proxy.
    pub fn has_gateway(&self, proxy: &str) -> bool {
        self.switch.api("sofia xmlstatus gateway").contains(&format!("<proxy>{proxy}</proxy>"))
    }

    /// Value of a metric without labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sample(&self.sidecar.as_ref()?.get("/metrics").1, name)
    }
}

fn sidecar(site: &Site, name: &str, dir: &Path, xml_port: u16, esl_port: u16) -> Program {
    let (mut command, output) = site.command("switch");
    command.args(["--health-listen", "127.0.0.1:0", "--name", name, "--compare-seconds", "5"]);
    command.args(["--xml-listen", &format!("127.0.0.1:{xml_port}")]);
    command.args(["--xml-username", USERNAME, "--xml-password", PASSWORD]);
    command.args(["--esl-address", &format!("127.0.0.1:{esl_port}"), "--esl-password", ESL_PASSWORD]);
    command.arg("--templates").arg(dir.join("templates")).arg("--data-dir").arg(dir.join("data"));
    Program::start(&mut command, output, "answering mod_xml_curl")
}

fn freeswitch(binary: &Path, dir: &Path, xml_port: u16, esl_port: u16) -> Switch {
    let url = format!("http://127.0.0.1:{xml_port}");
    Switch::start_at(binary, &dir.join("switch"), &url, (USERNAME, PASSWORD), esl_port)
}

fn manifests(phones: u16, trunks: u16) -> String {
    let text = std::fs::read_to_string(repository("e2e/freeswitch/manifests.yaml")).expect("manifests");
    let ports = [("@PHONES@", phones), ("@TRUNKS@", trunks), ("@DEAD@", 15998), ("@CARRIER@", 15999)];
    let text = ports.iter().fold(text, |text, (name, port)| text.replace(name, &port.to_string()));
    let text = text.replace("bindAddress: 127.0.0.1, ", "");
    // The operator would generate a missing password.
    let mut all: Vec<&str> = text.split("\n---\n").collect();
    all.sort_by_key(|one| (!one.contains("kind: Namespace"), !one.contains("kind: Secret")));
    all.join("\n---\n")
}

/// The names of the gateways that a Trunk's status lists, and their states.
pub fn gateways(trunk: &Value) -> Vec<String> {
    let listed = trunk["status"]["gateways"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    listed.iter().map(|row| format!("{} {}", text(row, "switch"), text(row, "state"))).collect()
}
