//! A node with the chart's release, its Postgres, and phones on the network outside the node.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;

use super::machine::Node;
use crate::chart::release::{Helm, NAME};
use crate::cluster::Cluster;
use crate::freeswitch::phone::{Listener, Outcome, Peer, Talk};
use crate::operator::gate::Gate;
use crate::program::repository;
use crate::wait::{DEADLINE, until};

/// Address of phones and Postgres.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 210, 0, 1);
/// The node.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 210, 0, 2);
/// Address where the samples' phones register.
pub const PHONES: u16 = 5060;
/// Grace period of a pod that waits for its calls.
pub const DRAIN: Duration = Duration::from_secs(12);
/// Password of FreeSWITCH at its sidecar.
pub const XML_PASSWORD: &str = "of-the-tests";
const POSTGRES_PORT: u16 = 5432;
const ACME: &str = "acme.example.com";

/// Values of all releases.
const VALUES: [&str; 13] = [
    "switch.freeswitch.image.repository=freeswitch",
    "switch.freeswitch.image.tag=tests",
    "switch.freeswitch.phrases=tones",
    "switch.freeswitch.resources.requests.cpu=100m",
    "switch.drainSeconds=12",
    "switch.terminationGracePeriodSeconds=40",
    "operator.leaseSeconds=6",
    "media.persistent=false",
    "api.enabled=true",
    "api.replicas=1",
    "api.provisioning.url=https://phones.example.com/provision",
    "api.provisioning.tls.existingSecret.name=phones-tls",
    "api.provisioning.service.type=NodePort",
];
/// Values of a switch on the node's network.
pub const HOST: [&str; 2] = ["switch.hostNetwork=true", "switch.replicas=1"];
/// Values of two switches in pods.
pub const PODS: [&str; 2] = ["switch.hostNetwork=false", "switch.replicas=2"];

/// The setting of all steps.
pub struct Site {
    pub node: Node,
    pub cluster: Cluster,
    /// The connection to Postgres.
    pub gate: Gate,
    /// Acme, 1001.
    pub alice: Peer,
    /// Acme, 1002, which answers.
    pub bob: Peer,
    /// Acme, 1003.
    pub carol: Peer,
    bob_answers: Listener,
    /// The certificate that phones see.
    pub certificate: CertificateDer<'static>,
    /// Number of releases so far: each changes the switch's pods.
    releases: u32,
    /// Where phones' traces are.
    pub directory: TempDir,
}

impl Site {
    /// A running node, with only the Secrets and volumes of Centrex. Must be called on the thread outside the
    /// node.
    pub fn start(mut node: Node, database: &str, socket: PathBuf) -> Self {
        eprintln!("the node is ready after {:?}", node.boot());
        let cluster = node.cluster();
        let gate = Gate::open_at(SocketAddr::from((OUTSIDE, POSTGRES_PORT)), socket);
        let directory = TempDir::new().expect("a folder");
        let certificate =
            rcgen::generate_simple_self_signed(["phones.example.com".to_owned()]).expect("a certificate");
        let peer = |user, password| Peer::from(OUTSIDE, user, ACME, password, directory.path()).at(NODE);
        let bob = peer("1002", "bob-dummy-password");
        let site = Self {
            bob_answers: bob.listen("answer", PHONES),
            alice: peer("1001", "alice-dummy-password"),
            carol: peer("1003", "carol-dummy-password"),
            bob,
            node,
            cluster,
            gate,
            certificate: certificate.cert.der().clone(),
            releases: 0,
            directory,
        };
        site.secrets(database, &certificate);
        site.volumes();
        site
    }

    fn secrets(&self, database: &str, certificate: &CertifiedKey<KeyPair>) {
        let secret = |name: &str, data: &str| {
            format!(
                "---\n{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {NAME}}}, stringData: {{{data}}}}}\n"
            )
        };
        let key = "A".repeat(43);
        let (chain, private) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
        let url = format!("postgres://centrex@{OUTSIDE}:{POSTGRES_PORT}/{database}");
        self.cluster.apply(
            &[
                format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAME}}}}}\n"),
                secret("centrex-encryption-keys", &format!("encryption-keys: \"1:{key}=\"")),
                secret("centrex-postgres", &format!("uri: \"{url}\"")),
                secret("phones-tls", &format!("tls.crt: {chain:?}, tls.key: {private:?}")),
                secret(
                    "centrex-switch-credentials",
                    &format!("xml-password: {XML_PASSWORD}, event-socket-password: of-the-tests-too"),
                ),
            ]
            .concat(),
        );
    }

    /// Local volumes: a switch's data survive the node's reboot.
    fn volumes(&self) {
        for number in 0..2 {
            let path = self.node.directory().join(format!("volumes/{number}"));
            std::fs::create_dir_all(&path).expect("folder of a volume");
            self.cluster.apply(&format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: switch-{number}}}\n\
                 spec:\n  capacity: {{storage: 10Gi}}\n  accessModes: [ReadWriteOnce]\n  \
                 claimRef: {{namespace: {NAME}, name: data-centrex-switch-{number}}}\n  \
                 local: {{path: {}}}\n  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: \
                 [{{key: kubernetes.io/hostname, operator: In, values: [node1]}}]}}]}}}}\n",
                path.display()
            ));
        }
    }

    /// Installs the chart, or upgrades it so that the switches' pods are replaced.
    pub fn release(&mut self, values: &[&str]) {
        self.releases += 1;
        let annotation = format!("switch.podAnnotations.release=r{}", self.releases);
        let values = [&VALUES, values, &[&annotation]].concat();
        let helm = Helm::on(&self.cluster, "node").expect("helm");
        helm.release(&["upgrade", "--install"], &values);
    }

    /// Waits until all pods of the release exist and are ready.
    pub fn rolled_out(&self) {
        for object in ["deployment/centrex-operator", "statefulset/centrex-switch", "deployment/centrex-api"]
        {
            let arguments = ["rollout", "status", "-n", NAME, object, "--timeout=300s"];
            let output = self.cluster.kubectl(&arguments);
            assert!(output.status.success(), "{object} is not rolled out\n{}", self.state());
        }
    }

    /// Waits until the switches' pods are ready: after the node's reboot the API server reports the old state
    /// for a while.
    pub fn pods_ready(&self, component: &str) -> bool {
        let pods = self.pods(component);
        let ready = |pod: &Value| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && pod["status"]["conditions"].as_array().is_some_and(|conditions| {
                    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
                })
        };
        !pods.is_empty() && pods.iter().all(ready)
    }

    /// Pods of the operator or of the switches, from the API server.
    pub fn pods(&self, component: &str) -> Vec<Value> {
        let label = format!("app.kubernetes.io/component={component}");
        let output = self.cluster.kubectl(&["get", "pods", "-n", NAME, "-l", &label, "-o", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The switch's pod, by its identity.
    pub fn switch_uid(&self) -> Option<String> {
        Some(self.pods("switch").first()?["metadata"]["uid"].as_str()?.to_owned())
    }

    /// Waits for a condition, and returns how long that took.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
        let start = Instant::now();
        let found = until(DEADLINE, || holds().then_some(()));
        assert!(found.is_some(), "never came: {what}\n{}", self.state());
        start.elapsed()
    }

    /// Events about failed hooks.
    pub fn failed_hooks(&self) -> Vec<String> {
        let selector = "--field-selector=reason=FailedPreStopHook";
        let list = self.cluster.kubectl_ok(&["get", "events", "-n", NAME, selector, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let note = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
        list["items"].as_array().expect("a list").iter().map(note).collect()
    }

    /// Deletes the events so far.
    pub fn forget_events(&self) {
        self.cluster.kubectl_ok(&["delete", "events", "-n", NAME, "--all"]);
    }

    /// Registers Bob's phone, and calls him from Alice's.
    pub fn call(&self) -> Outcome {
        let registered = self.bob.play("register", PHONES, &[]);
        if !registered.completed {
            return registered;
        }
        self.alice.play("call", PHONES, &[("dial", "1002")])
    }

    /// The same; panics if the call fails.
    pub fn calls_are_answered(&self) {
        let call = self.call();
        assert!(call.completed, "no call: {:?}\n{}\n{}", call.status(), call.trace, self.state());
    }

    /// Time until a call succeeds.
    pub fn until_calls_are_answered(&self) -> Duration {
        self.wait_until("that a call is answered", || self.call().completed)
    }

    /// A call from Alice to Bob that is up, with a duration.
    pub fn call_that_is_up(&self, talk: Duration) -> Talk {
        let before = self.answered();
        let registered = self.bob.play("register", PHONES, &[]);
        assert!(registered.completed, "{}", registered.trace);
        let talk = self.alice.begin("call", PHONES, &[("dial", "1002")], talk);
        self.wait_until("that Bob answers", || self.answered() > before);
        talk
    }

    fn answered(&self) -> usize {
        self.bob_answers.seen().received("ACK").len()
    }

    /// The state of the cluster, for the message of a failure.
    pub fn state(&self) -> String {
        let ask = |arguments: &[&str]| {
            String::from_utf8_lossy(&self.cluster.kubectl(arguments).stdout).into_owned()
        };
        let pods = ask(&["get", "pods", "-A", "-o", "wide"]);
        let events = ask(&["get", "events", "-n", NAME, "--sort-by=.lastTimestamp"]);
        let events: Vec<&str> = events.lines().rev().take(12).collect();
        format!("{pods}\n{}\n{}", events.join("\n"), self.node.logs())
    }

    /// The text of a sample.
    pub fn sample(&self, file: &str) -> String {
        std::fs::read_to_string(repository("deploy/samples").join(file)).expect("a sample")
    }
}
