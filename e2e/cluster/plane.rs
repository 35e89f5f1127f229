//! A control plane for one test: etcd, kube-apiserver and kube-controller-manager on loopback. They end with
//! the test, even if the test panics or its process is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lasting::lasting;
use crate::freeswitch::process::{Process, tail};
use crate::program::repository;

/// Exit status of `build.sh` if something is missing.
const MISSING: i32 = 3;

/// The programs of a control plane.
#[derive(Clone)]
pub struct Programs(PathBuf);

impl Programs {
    /// Finds the programs, or builds them if Go is installed; otherwise returns what is missing.
    pub fn find() -> Result<Self, String> {
        let assets = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS").unwrap_or_default());
        if assets.join("kube-controller-manager").exists() {
            return Ok(Self(assets));
        }
        let output = Command::new(repository("e2e/kube/build.sh")).output().expect("build.sh");
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(MISSING) {
            return Err(errors.lines().last().unwrap_or_default().to_owned());
        }
        assert!(output.status.success(), "build.sh: {errors}");
        Ok(Self(String::from_utf8(output.stdout).unwrap().trim_end().into()))
    }

    /// Path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A running control plane.
pub struct Plane {
    programs: Programs,
    directory: PathBuf,
    // The order of the fields is the order in which the processes end.
    controllers: Option<Process>,
    api_server: Option<Process>,
    etcd: Option<Process>,
}

impl Plane {
    /// Starts a control plane, and waits until its controllers work.
    pub fn start(programs: Programs) -> Self {
        let directory = directory();
        let mut plane = Self { programs, directory, controllers: None, api_server: None, etcd: None };
        plane.script("prepare");
        plane.etcd = Some(plane.spawn("etcd"));
        plane.start_api_server();
        plane.controllers = Some(plane.spawn("kube-controller-manager"));
        plane.script("settle");
        plane
    }

    /// Path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Stops the API server. The controllers wait, and stored objects remain.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server at its previous address, and waits until it is ready.
    pub fn start_api_server(&mut self) {
        self.api_server = Some(self.spawn("kube-apiserver"));
        self.script("wait");
    }

    /// The script that starts the programs.
    fn command(&self, action: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(repository("e2e/kube/plane.sh"));
        command.arg(&self.directory).arg(action).env("KUBEBUILDER_ASSETS", &self.programs.0);
        command
    }

    fn spawn(&self, name: &str) -> Process {
        let (mut command, log) = (self.command(name), self.log(name));
        lasting(move || Process::start(&mut command, &log))
    }

    /// Runs a step of the script that ends by itself.
    fn script(&self, action: &str) {
        let output = self.command(action).output().expect("plane.sh");
        let logs = ["etcd", "kube-apiserver", "kube-controller-manager"].map(|name| tail(&self.log(name), 5));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "plane.sh {action}: {errors}\n{}", logs.join("\n"));
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop((self.controllers.take(), self.api_server.take(), self.etcd.take()));
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A new directory, named by this process; first removes directories of processes that were killed.
fn directory() -> PathBuf {
    static SWEPT: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters");
    std::fs::create_dir_all(&root).unwrap();
    SWEPT.call_once(|| {
        for entry in std::fs::read_dir(&root).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let owner = name.split('-').next().unwrap_or_default();
            if !Path::new("/proc").join(owner).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    root.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}
