//! The setting of all steps: Centrex, a switch that asks Centrex, and phones.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::phone::{Listener, Peer};
use super::process::free_port;
use super::standalone::{PASSWORD, Standalone, USERNAME};
use super::switch::{Switch, give};
use super::tee::Tee;
use super::wait::{DEADLINE, until};

const ACME: &str = "acme.example.com";
const GLOBEX: &str = "globex.example.com";

/// The setting. Fields are dropped in order: the switch before Centrex.
pub struct Lab {
    /// The switch.
    pub switch: Switch,
    /// The proxy between the switch and Centrex.
    pub tee: Tee,
    /// Centrex.
    pub centrex: Standalone,
    /// SIP port of the phones' profile.
    pub phones: u16,
    /// SIP port of the trunks' profile.
    pub trunks: u16,
    /// Acme, 1001.
    pub alice: Peer,
    /// Acme, 1002.
    pub bob: Peer,
    /// Acme, 1003.
    pub carol: Peer,
    /// Acme, 1004, with other spellings of the domain.
    pub pats: [Peer; 2],
    /// Globex, 1001.
    pub hank: Peer,
    /// Globex, 1002.
    pub ivy: Peer,
    /// Acme, 1002, with a wrong password.
    pub liar: Peer,
    /// A phone whose extension does not exist in Acme.
    pub nobody: Peer,
    /// The carrier's second gateway, which also sends calls.
    pub carrier: Peer,
    /// Answers calls and the switch's OPTIONS until the end.
    pub carrier_listens: Listener,
    /// A host that is no phone and no carrier.
    pub stranger: Peer,
    dir: tempfile::TempDir,
}

impl Lab {
    /// Starts Centrex on the manifests and the switch after it.
    pub fn start(binary: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("centrex-fs-").tempdir().expect("a folder");
        // The switch runs as another user and needs access to a folder in it.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let traces = dir.path().join("traces");
        let peer = |user, domain, password, host| Peer::new(user, domain, password, host, &traces);
        let carrier = peer("+33123456789", "127.0.0.1", "none", 42);
        let phones = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let trunks = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let dead = free_port(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 41)));
        let ports =
            [("@PHONES@", phones), ("@TRUNKS@", trunks), ("@DEAD@", dead), ("@CARRIER@", carrier.port)];
        let carrier_listens = carrier.listen("answer", trunks);
        let manifests = manifests_dir(dir.path());
        write_manifests(&manifests, &ports);
        let centrex = Standalone::start(&manifests, dir.path());
        // Centrex creates the tenants' directories; in an installation both users share a group.
        give(&media_dir(dir.path()));
        let tee = Tee::open(centrex.url().replace("http://", ""));
        let switch = Switch::start(binary, &switch_dir(dir.path()), &tee.url, USERNAME, PASSWORD);
        let lab = Self {
            switch,
            tee,
            centrex,
            phones,
            trunks,
            alice: peer("1001", ACME, "alice-dummy-password", 11),
            bob: peer("1002", ACME, "bob-dummy-password", 12),
            carol: peer("1003", ACME, "carol-dummy-password", 13),
            pats: [("Acme.Example.COM", 14), ("acme.example.com.", 15)]
                .map(|(domain, host)| peer("1004", domain, "pat-dummy-password", host)),
            hank: peer("1001", GLOBEX, "hank-dummy-password", 21),
            ivy: peer("1002", GLOBEX, "ivy-dummy-password", 22),
            liar: peer("1002", ACME, "alice-dummy-password", 31),
            nobody: peer("1999", ACME, "alice-dummy-password", 32),
            carrier,
            carrier_listens,
            stranger: peer("+33123456789", "127.0.0.1", "none", 66),
            dir,
        };
        lab.wait_for_profiles();
        lab
    }

    /// Starts Centrex on its data, with further options, at the address that the switch asks.
    pub fn start_again(&mut self, options: &[&str]) {
        self.centrex = Standalone::start_with(&manifests_dir(self.dir.path()), self.dir.path(), options);
    }

    /// Folder of the switch.
    pub fn switch_dir(&self) -> PathBuf {
        switch_dir(self.dir.path())
    }

    /// Data directory of Centrex.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Directory of the tenants' media.
    pub fn media_dir(&self) -> PathBuf {
        media_dir(self.dir.path())
    }

    /// Registrations, once there are as many as expected: the switch records them asynchronously.
    pub fn registrations(&self, count: usize) -> Vec<serde_json::Value> {
        let rows = || {
            let answer: serde_json::Value =
                serde_json::from_str(&self.switch.api("show registrations as json")).expect("JSON");
            answer["rows"].as_array().cloned().unwrap_or_default()
        };
        until(DEADLINE, || Some(rows()).filter(|rows| rows.len() == count))
            .unwrap_or_else(|| panic!("{count} phones should be registered: {:#?}", rows()))
    }

    /// The last lines of both logs.
    pub fn logs(&self) -> String {
        format!(
            "== Centrex\n{}\n== FreeSWITCH, {}\n{}",
            self.centrex.log(),
            self.switch.api("version").trim(),
            self.switch.log(60)
        )
    }

    /// Panics unless both profiles run with the configuration from Centrex, both domains and both gateways.
    fn wait_for_profiles(&self) {
        let complete = |status: &String| {
            ["internal", "external"].iter().all(|profile| {
                status.lines().any(|line| line.contains(&format!(" {profile}\t")) && line.contains("RUNNING"))
            }) && [ACME, GLOBEX].iter().all(|domain| status.contains(domain))
                && status.matches("gateway\t").count() == 2
        };
        let running = until(DEADLINE, || self.switch.ask("sofia status").filter(complete));
        if running.is_none() {
            panic!("profiles do not run:\n{}\n{}", self.switch.api("sofia status"), self.logs());
        }
    }
}

fn manifests_dir(dir: &Path) -> PathBuf {
    dir.join("manifests")
}

fn media_dir(dir: &Path) -> PathBuf {
    dir.join("media")
}

fn switch_dir(dir: &Path) -> PathBuf {
    dir.join("switch")
}

fn write_manifests(folder: &Path, ports: &[(&str, u16)]) {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/freeswitch/manifests.yaml");
    let mut text = std::fs::read_to_string(template).expect("manifests of the test");
    for (name, port) in ports {
        text = text.replace(name, &port.to_string());
    }
    std::fs::create_dir_all(folder).expect("folder of the manifests");
    std::fs::write(folder.join("all.yaml"), text).expect("manifests of the test");
}
