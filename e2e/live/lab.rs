//! Centrex, a FreeSWITCH that it controls, and a call.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::freeswitch::phone::{Listener, Peer, Talk};
use crate::freeswitch::process::free_port;
use crate::freeswitch::standalone::{PASSWORD, Standalone, USERNAME};
use crate::freeswitch::switch::{ESL_PASSWORD, Switch, installed};
use crate::program::sample;
use crate::skip::skip;
use crate::wait::{DEADLINE, until};

const ACME: &str = "acme.example.com";
const GLOBEX: &str = "globex.example.com";

/// The setting. Fields are dropped in order: the switch before Centrex.
pub struct Lab {
    /// The switch.
    pub switch: Switch,
    /// Centrex.
    pub centrex: Standalone,
    /// SIP port of the phones' profile.
    pub phones: u16,
    /// Acme, 1001.
    pub alice: Peer,
    /// Acme, 1002.
    pub bob: Peer,
    /// Acme, 1003.
    pub carol: Peer,
    /// Globex, 1001.
    pub hank: Peer,
    /// Globex, 1002.
    pub ivy: Peer,
    binary: PathBuf,
    /// Port of the event socket.
    pub esl_port: u16,
    pub dir: tempfile::TempDir,
}

/// A call between Alice and Bob.
pub struct Call {
    talk: Talk,
    listens: Listener,
    legs: Vec<String>,
}

/// A step: the expected behaviour, and its test.
pub type Step = (&'static str, fn(&mut Lab));

/// Runs the steps of a test on their own lab.
pub fn run(name: &str, options: &[&str], steps: &[Step]) {
    let binary = match installed() {
        Ok(binary) => binary,
        Err(missing) => return skip(name, &missing),
    };
    let mut lab = Lab::start(&binary, options);
    for (what, step) in steps {
        let start = Instant::now();
        let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(&mut lab)));
        if let Err(panic) = stepped {
            eprintln!("FAILED: {what}\n{}", lab.logs());
            std::panic::resume_unwind(panic);
        }
        eprintln!("ok: {what} ({} ms)", start.elapsed().as_millis());
    }
}

impl Lab {
    /// Starts Centrex, then the switch, and registers all phones.
    pub fn start(binary: &Path, options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("centrex-live-").tempdir().expect("a folder");
        // The switch runs as another user and needs access to a folder in it.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let traces = dir.path().join("traces");
        let peer = |user, domain, password, host| Peer::new(user, domain, password, host, &traces);
        let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (phones, trunks, esl_port) = (port(), port(), port());
        let manifests = dir.path().join("manifests");
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/freeswitch/manifests.yaml");
        let mut text = std::fs::read_to_string(template).expect("manifests of the test");
        for (name, port) in
            [("@PHONES@", phones), ("@TRUNKS@", trunks), ("@DEAD@", 15998), ("@CARRIER@", 15999)]
        {
            text = text.replace(name, &port.to_string());
        }
        std::fs::create_dir_all(&manifests).expect("folder of the manifests");
        std::fs::write(manifests.join("all.yaml"), text).expect("manifests of the test");
        let address = format!("127.0.0.1:{esl_port}");
        let mut all = vec!["--esl-address", &address, "--esl-password", ESL_PASSWORD];
        all.extend(options);
        let centrex = Standalone::start_with(&manifests, dir.path(), &all);
        let switch = Switch::start_at(
            binary,
            &dir.path().join("switch"),
            &centrex.url(),
            (USERNAME, PASSWORD),
            esl_port,
        );
        let lab = Self {
            switch,
            centrex,
            phones,
            alice: peer("1001", ACME, "alice-dummy-password", 71),
            bob: peer("1002", ACME, "bob-dummy-password", 72),
            carol: peer("1003", ACME, "carol-dummy-password", 73),
            hank: peer("1001", GLOBEX, "hank-dummy-password", 74),
            ivy: peer("1002", GLOBEX, "ivy-dummy-password", 75),
            binary: binary.to_owned(),
            esl_port,
            dir,
        };
        lab.eventually("Centrex is connected and finds no difference", || {
            lab.metric("centrex_esl_connected") == Some(1.0)
                && lab.metric("centrex_switch_comparisons_total") >= Some(1.0)
                && lab.metric("centrex_switch_drift") == Some(0.0)
        });
        lab
    }

    /// Registers phones.
    pub fn register(&self, phones: &[&Peer]) {
        for phone in phones {
            let outcome = phone.play("register", self.phones, &[]);
            assert!(outcome.completed, "{}", outcome.trace);
        }
        for phone in phones {
            self.eventually("a phone is registered", || self.is_registered(phone.user, phone.domain));
        }
    }

    /// Whether a user is registered, as mod_sofia reports it.
    pub fn is_registered(&self, user: &str, domain: &str) -> bool {
        self.switch.api(&format!("sofia_contact */{user}@{domain}")).starts_with("sofia/")
    }

    /// Replaces a text of the manifests; panics if it is missing.
    pub fn edit(&self, from: &str, to: &str) {
        let file = self.manifest();
        let text = std::fs::read_to_string(&file).expect("the manifests");
        assert!(text.contains(from), "the manifests have no {from}");
        replace(&file, &text.replace(from, to));
    }

    /// Adds a manifest.
    pub fn add(&self, text: &str) {
        let file = self.manifest();
        let all = std::fs::read_to_string(&file).expect("the manifests");
        replace(&file, &format!("{all}\n---\n{text}"));
    }

    /// Removes the manifest that contains a text.
    pub fn remove(&self, text: &str) {
        let file = self.manifest();
        let all = std::fs::read_to_string(&file).expect("the manifests");
        let kept: Vec<&str> = all.split("\n---\n").filter(|document| !document.contains(text)).collect();
        assert!(kept.len() < all.split("\n---\n").count(), "no manifest has {text}");
        replace(&file, &kept.join("\n---\n"));
    }

    /// Waits until something holds.
    pub fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let held = until(DEADLINE, || holds().then_some(()));
        assert!(held.is_some(), "never came: {what}\n{}", self.logs());
    }

    /// Waits until the switch's answer to a command satisfies a condition.
    pub fn answers(&self, command: &str, holds: impl Fn(&str) -> bool) -> String {
        let answer = until(DEADLINE, || self.switch.ask(command).filter(|answer| holds(answer)));
        answer.unwrap_or_else(|| {
            panic!("{command}: {}\n{}", self.switch.ask(command).unwrap_or_default(), self.logs())
        })
    }

    /// Value of a metric without labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sample(&self.centrex.metrics(), name)
    }

    /// Alice calls Bob, and both talk until the call is ended.
    pub fn call(&self) -> Call {
        Call::begin(&self.switch, &self.alice, &self.bob, self.phones)
    }

    /// Identities of the legs that are up, in order.
    pub fn legs(&self) -> Vec<String> {
        self.switch.legs()
    }

    /// Kills the switch, and starts it again at the same address.
    pub fn restart_switch(&mut self) {
        self.switch.kill();
        let folder = self.dir.path().join("switch");
        let url = self.centrex.url();
        self.switch = Switch::start_at(&self.binary, &folder, &url, (USERNAME, PASSWORD), self.esl_port);
    }

    /// Stops Centrex, and starts it again at the address that the switch asks.
    pub fn restart_sidecar(&mut self) {
        self.centrex.end();
        let address = format!("127.0.0.1:{}", self.esl_port);
        let options = ["--esl-address", &address, "--esl-password", ESL_PASSWORD];
        let manifests = self.dir.path().join("manifests");
        self.centrex = Standalone::start_at(self.centrex.port(), &manifests, self.dir.path(), &options);
        self.eventually("Centrex is connected again", || self.metric("centrex_esl_connected") == Some(1.0));
    }

    /// Stops Centrex, changes its data directory, and starts it again with another address for lookups. The
    /// switch does not know that address, and keeps its state.
    pub fn restart_centrex(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.centrex.end();
        meanwhile(&self.data_dir());
        let address = format!("127.0.0.1:{}", self.esl_port);
        let options = ["--esl-address", &address, "--esl-password", ESL_PASSWORD];
        self.centrex = Standalone::start_with(&self.dir.path().join("manifests"), self.dir.path(), &options);
    }

    /// Writes a second of silence as Acme's hold music, readable for the switch's user.
    pub fn upload_music(&self) {
        let queues = self.switch.api("callcenter_config queue list");
        let acme = queues.split("support@").nth(1).and_then(|rest| rest.split('|').next()).expect("Acme");
        let tenant = self.dir.path().join("media/tenants").join(acme);
        let folder = tenant.join("music_on_hold");
        std::fs::create_dir_all(&folder).expect("folder of the music");
        // RIFF, PCM, one channel, 8000 samples of 16 bits.
        let mut wav = b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0".to_vec();
        wav.extend(b"\x02\0\x10\0data\x80\x3e\0\0");
        wav.resize(wav.len() + 16_000, 0);
        std::fs::write(folder.join("hold.wav"), wav).expect("the music");
        for path in [self.dir.path().join("media"), self.dir.path().join("media/tenants"), tenant, folder] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        }
    }

    /// The data directory of Centrex.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The last lines of both logs.
    pub fn logs(&self) -> String {
        format!("== Centrex\n{}\n== FreeSWITCH\n{}", self.centrex.log(), self.switch.log(60))
    }

    fn manifest(&self) -> PathBuf {
        self.dir.path().join("manifests/all.yaml")
    }
}

impl AsRef<Switch> for Lab {
    fn as_ref(&self) -> &Switch {
        &self.switch
    }
}

impl Call {
    /// Starts a call to 1002 at a port of a switch that gets no other call meanwhile.
    pub fn begin(switch: &Switch, caller: &Peer, called: &Peer, port: u16) -> Self {
        let before = switch.legs();
        let listens = called.listen("answer", port);
        let talk = caller.begin("call", port, &[("dial", "1002")], Duration::from_secs(600));
        // The call is up once both legs are answered.
        let up = || {
            let mut legs = switch.legs();
            legs.retain(|leg| !before.contains(leg));
            let calls = format!("{} total", before.len() / 2 + 1);
            (legs.len() == 2 && switch.api("show calls count").contains(&calls)).then_some(legs)
        };
        let legs = until(DEADLINE, up);
        let legs = legs.unwrap_or_else(|| panic!("the call is not set up\n{}", switch.log(60)));
        Self { talk, listens, legs }
    }

    /// Panics unless the same two legs are still up.
    pub fn is_up(&mut self, on: &impl AsRef<Switch>) {
        let legs = on.as_ref().legs();
        let both = self.legs.iter().all(|leg| legs.contains(leg));
        assert!(!self.talk.has_ended() && both, "the call ended: {legs:?}\n{}", on.as_ref().log(60));
    }

    /// Waits until the call ends by itself.
    pub fn ends(mut self, on: &impl AsRef<Switch>) {
        let mut has_ended = || {
            let legs = on.as_ref().legs();
            self.talk.has_ended() && !self.legs.iter().any(|leg| legs.contains(leg))
        };
        assert!(
            until(DEADLINE, || has_ended().then_some(())).is_some(),
            "it goes on: {:?}",
            on.as_ref().legs()
        );
        self.listens.end();
    }

    /// Ends the call on the switch, as its caller would.
    pub fn end(self, on: &impl AsRef<Switch>) {
        let switch = on.as_ref();
        switch.api(&format!("uuid_kill {}", self.legs[0]));
        drop(self.talk);
        self.listens.end();
        let gone = || !self.legs.iter().any(|leg| switch.legs().contains(leg));
        assert!(until(DEADLINE, || gone().then_some(())).is_some(), "legs are left: {:?}", switch.legs());
    }
}

/// Replaces a file atomically: a truncated file would be another state for a moment.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("the manifests");
    std::fs::rename(&new, file).expect("the manifests");
}
