//! A Kubernetes cluster for tests: an existing one, or a control plane of the test's own.
//!
//! `CENTREX_E2E_KUBECONFIG` names an existing cluster (kind, k3d, any other); the tests install the CRDs
//! there and create their own namespaces. Without the variable, a control plane starts on loopback, from
//! programs that `e2e/kube/build.sh` builds once. Without either, the test is skipped.

mod crds;
mod lasting;
mod own;
mod plane;
mod verdicts;
mod writes;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};

pub use lasting::lasting;
use plane::Plane;
pub use plane::Programs;
pub use writes::Writes;

use crate::program::repository;
use crate::skip::skip;

/// A cluster that tests may change.
pub struct Cluster {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    plane: Option<Mutex<Plane>>,
}

impl Cluster {
    /// The cluster that all tests of this process share; each test uses its own namespaces. `None`, and the
    /// test counts as skipped, if no cluster is available.
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match std::env::var_os("CENTREX_E2E_KUBECONFIG") {
            Some(path) if !path.is_empty() => {
                Ok(Self { kubeconfig: path.into(), kubectl: "kubectl".into(), plane: None })
            }
            _ => Self::start(),
        });
        shared.as_ref().inspect_err(|why| skip(test, why)).ok()
    }

    /// A control plane for one test, which may break it. `None`, and the test counts as skipped, if no
    /// control plane can start.
    pub fn own(test: &str) -> Option<Self> {
        Self::start().inspect_err(|why| skip(test, why)).ok()
    }

    fn start() -> Result<Self, String> {
        let programs = Programs::find()?;
        let kubectl = programs.path("kubectl");
        let plane = Plane::start(programs);
        Ok(Self { kubeconfig: plane.kubeconfig(), kubectl, plane: Some(Mutex::new(plane)) })
    }

    /// An existing cluster, by its kubeconfig; the tests do not start or stop it.
    pub fn reached(kubeconfig: PathBuf, kubectl: PathBuf) -> Self {
        Self { kubeconfig, kubectl, plane: None }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `kubectl` as a command, for a process that keeps running.
    pub fn program(&self) -> &Path {
        &self.kubectl
    }

    /// A client with the administrator's rights, for the runtime of this test.
    pub async fn client(&self) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// Runs `kubectl`.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_with(arguments, "")
    }

    /// Runs `kubectl` with a text on standard input, as for `-f -`.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.kubectl)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(repository(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} does not start: {error}", self.kubectl));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // kubectl may print before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        output
    }

    /// Runs `kubectl`, panics if it fails or warns, and returns its output.
    pub fn kubectl_ok(&self, arguments: &[&str]) -> String {
        said(arguments, &self.kubectl(arguments))
    }

    /// Applies manifests; panics on an error or a warning.
    pub fn apply(&self, manifests: &str) -> String {
        let arguments = ["apply", "-f", "-"];
        said(&arguments, &self.kubectl_with(&arguments, manifests))
    }

    /// Merges a patch into an object, `kind/name`, of a namespace.
    pub fn patch(&self, namespace: &str, object: &str, patch: &str) {
        self.kubectl_ok(&["patch", "-n", namespace, object, "--type=merge", "-p", patch]);
    }

    /// Installs the CRDs of this clone, and waits until the API server serves them.
    pub fn install_crds(&self) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        self.kubectl_ok(&["apply", "--server-side", "--force-conflicts", "-f", "crds"]);
        self.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=300s", "-f", "crds"]);
    }

    /// Writes through the API server so far, by kind.
    pub fn writes(&self) -> Writes {
        Writes::parse(&self.kubectl_ok(&["get", "--raw", "/metrics"]))
    }

    /// Stops the API server of the test's own cluster; stored objects remain.
    pub fn stop_api_server(&self) {
        self.plane().lock().unwrap().stop_api_server();
    }

    /// Starts the API server again at the same address, and waits until it is ready.
    pub fn start_api_server(&self) {
        self.plane().lock().unwrap().start_api_server();
    }

    fn plane(&self) -> &Mutex<Plane> {
        self.plane.as_ref().expect("only a cluster of the test's own can be stopped")
    }
}

/// The output of a program; panics if it failed or wrote to standard error.
fn said(arguments: &[&str], output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "kubectl {}: {errors}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
