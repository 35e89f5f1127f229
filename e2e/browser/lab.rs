//! Centrex with its relay, and a FreeSWITCH that it controls.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use centrex::secrets::web_password;
use centrex::store::Reader;
use jiff::Timestamp;
use serde_json::Value;

use super::TURN_SECRET;
use crate::freeswitch::process::free_port;
use crate::freeswitch::standalone::{PASSWORD, Standalone, USERNAME};
use crate::freeswitch::switch::{ESL_PASSWORD, Switch};
use crate::postgres::{Database, keyring};
use crate::program::{repository, run, sample, url};
use crate::wait::{DEADLINE, until};

/// The setting. Fields are dropped in order: the switch before Centrex.
pub struct Lab {
    /// The switch.
    pub switch: Switch,
    /// Centrex.
    pub centrex: Standalone,
    /// SIP port of desk phones.
    pub phones: u16,
    /// SIP port of the profile of browsers.
    pub web: u16,
    /// Port of the relay.
    pub relay_port: u16,
    /// Port of the page, which is the allowed origin.
    pub page_port: u16,
    dir: tempfile::TempDir,
}

impl Lab {
    /// Starts Centrex on a database, then the switch.
    pub fn start(binary: &Path, database: &Database) -> Self {
        let dir = tempfile::Builder::new().prefix("centrex-browser-").tempdir().expect("a folder");
        // The switch runs as another user and needs access to a folder in it.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (phones, web, ws, esl, relay_port, page_port) = (port(), port(), port(), port(), port(), port());
        let mut text = std::fs::read_to_string(repository("e2e/browser/manifests.yaml")).expect("manifests");
        for (name, port) in [("@PHONES@", phones), ("@WEB@", web), ("@WS@", ws)] {
            text = text.replace(name, &port.to_string());
        }
        let manifests = dir.path().join("manifests");
        std::fs::create_dir_all(&manifests).expect("folder of the manifests");
        std::fs::write(manifests.join("all.yaml"), text).expect("manifests");
        std::fs::write(dir.path().join("keys"), crate::postgres::key_line(1, 'k')).expect("the keys");
        std::fs::set_permissions(dir.path().join("keys"), std::fs::Permissions::from_mode(0o600))
            .expect("mode");
        std::fs::write(dir.path().join("turn-secret"), TURN_SECRET).expect("the secret");
        let keys = dir.path().join("keys");
        let options = [
            "--esl-address",
            &format!("127.0.0.1:{esl}"),
            "--esl-password",
            ESL_PASSWORD,
            "--database-url",
            &url(database),
            "--encryption-key-file",
            keys.to_str().expect("a path"),
            "--sip-websocket-listen",
            &format!("127.0.0.1:{relay_port}"),
            "--sip-websocket-origin",
            &format!("http://127.0.0.1:{page_port}"),
            "--sip-websocket-trusted-proxy",
            "127.0.0.0/8",
        ];
        let centrex = Standalone::start_with(&manifests, dir.path(), &options);
        let folder = dir.path().join("switch");
        let switch = Switch::start_at(binary, &folder, &centrex.url(), (USERNAME, PASSWORD), esl);
        let lab = Self { switch, centrex, phones, web, relay_port, page_port, dir };
        let ready = || {
            let metrics = lab.metrics();
            (sample(&metrics, "centrex_switch_comparisons_total") >= Some(1.0)
                && sample(&metrics, "centrex_switch_drift") == Some(0.0))
            .then_some(())
        };
        assert!(until(DEADLINE, ready).is_some(), "no comparison without a difference\n{}", lab.logs());
        let profile = lab.switch.api("sofia status profile browsers");
        assert!(profile.contains(&format!("127.0.0.1:{ws};transport=ws")), "{profile}");
        // The domain is an alias of the profile that is not for browsers, though that comes second by name.
        let status = lab.switch.api("sofia status");
        let alias = status.lines().find(|line| line.contains("acme.example.com")).expect("the domain");
        assert!(alias.contains("internal"), "{status}");
        lab
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a path").to_owned()
    }

    /// What `centrex phone web-credential` prints.
    pub fn credential(&self, database: &Database, extension: &str, ice_server: Option<&str>) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.args(["phone", "web-credential", "--tenant", "acme/acme", "--extension", extension]);
        command.args(["--database-url", &url(database), "--encryption-key-file", &self.path("keys")]);
        if let Some(server) = ice_server {
            command.args(["--ice-server", server, "--turn-secret-file", &self.path("turn-secret")]);
        }
        let (code, text) = run(&mut command);
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The passwords of extensions: that of a time's hour, and that of the hour before.
    pub async fn passwords(&self, database: &Database) -> impl Fn(&str, Timestamp) -> [String; 2] + use<> {
        let reader = Reader::lazy(&database.store_options(&keyring(&[(1, 'k')])));
        let key = reader.signing_key().await.expect("the signing key");
        let tenant = reader.tenant_named("acme", "acme").await.expect("the tenant").expect("the tenant").id;
        move |extension: &str, at| web_password::accepted(&key, tenant, extension, at)
    }

    /// Metrics of Centrex.
    pub fn metrics(&self) -> String {
        self.centrex.metrics()
    }

    /// Panics unless the switch answers an OPTIONS on both profiles within a second, and has not restarted.
    pub fn switch_answers(&self) {
        for port in [self.phones, self.web] {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let own = socket.local_addr().expect("its address");
            socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
            let request = format!(
                "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:probe@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\n\
                 Call-ID: {}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
                own.port(),
                own.port()
            );
            let start = Instant::now();
            socket.send_to(request.as_bytes(), ("127.0.0.1", port)).expect("sent");
            let mut answer = [0; 4096];
            let received = socket.recv(&mut answer);
            assert!(received.is_ok(), "no answer at port {port} in {:?}\n{}", start.elapsed(), self.logs());
            assert!(answer.starts_with(b"SIP/2.0 "));
        }
    }

    /// The last lines of both logs.
    pub fn logs(&self) -> String {
        format!("== Centrex\n{}\n== FreeSWITCH\n{}", self.centrex.log(), self.switch.log(60))
    }
}
