//! The node: `node.sh`, which ends with the test, even if the test's process is killed.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cluster::{Cluster, Programs, lasting};
use crate::freeswitch::process::{Process, tail};
use crate::program::repository;
use crate::wait::{DEADLINE, until};

/// Exit status of `node.sh` if this machine cannot run a node.
const MISSING: i32 = 3;
/// Programs of a node, besides its pods.
const PROGRAMS: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "images",
    "kubelet",
    "kube-proxy",
];

/// A node of Kubernetes, and the network outside it.
pub struct Node {
    directory: PathBuf,
    programs: Programs,
    /// Waits for the node's first process.
    process: Option<Process>,
}

impl Node {
    /// A node that is not started; or why this machine cannot run one.
    pub fn prepare() -> Result<Self, String> {
        let programs = Programs::find()?;
        if !programs.path("kubelet").exists() {
            return Err("no kubelet where kube-apiserver is (KUBEBUILDER_ASSETS)".to_owned());
        }
        let node = Self { directory: directory(), programs, process: None };
        let output = node.script("prepare", &[]).output().expect("node.sh");
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(MISSING) {
            return Err(errors.lines().last().unwrap_or_default().to_owned());
        }
        assert!(output.status.success(), "node.sh prepare: {errors}");
        Ok(node)
    }

    /// Directory of the node.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The node's cluster, as reached from outside (see `outside`).
    pub fn cluster(&self) -> Cluster {
        Cluster::reached(self.directory.join("kubeconfig"), self.programs.path("kubectl"))
    }

    /// Starts the node, and returns the time until it is ready.
    pub fn boot(&mut self) -> Duration {
        let start = Instant::now();
        let log = self.directory.join("node.log");
        let mut command = self.script("run", &[]);
        let output = log.clone();
        self.process = Some(lasting(move || Process::start(&mut command, &output)));
        let output = self.script("wait", &[]).output().expect("node.sh");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "node.sh wait: {errors}\n{}\n{}", tail(&log, 5), self.logs());
        start.elapsed()
    }

    /// Ends the node as a power cut does.
    pub fn cut(&mut self) {
        let output = self.script("cut", &[]).output().expect("node.sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.process = None;
    }

    /// Runs a command on the node.
    pub fn run(&self, command: &[&str]) -> Output {
        self.script("enter", command).output().expect("node.sh")
    }

    /// The network outside the node (see `outside`).
    pub fn network(&self) -> PathBuf {
        Path::new("/run/netns").join(format!("{}-lan", self.name()))
    }

    /// The node's own network; missing while the node is off.
    pub fn own_network(&self) -> PathBuf {
        Path::new("/run/netns").join(self.name())
    }

    /// Process ids of the node's processes with a program's name and a word in their arguments.
    pub fn processes(&self, program: &str, word: &str) -> Vec<u32> {
        let mut found = Vec::new();
        collect(&Path::new("/sys/fs/cgroup/pids").join(self.name()), &mut found);
        let command = |pid: u32| {
            let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = arguments.split('\0');
            let name = arguments.next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
            (name, arguments.map(str::to_owned).collect::<Vec<_>>())
        };
        found.retain(|pid| {
            let (name, arguments) = command(*pid);
            name == program && (word.is_empty() || arguments.iter().any(|argument| argument == word))
        });
        found
    }

    /// Kills processes as the kernel does when memory is short, runs an action, and waits until as many
    /// processes have been started again.
    pub fn kill(&self, program: &str, word: &str, meanwhile: impl FnOnce()) {
        let killed = self.processes(program, word);
        assert!(!killed.is_empty(), "no {program} {word} runs on the node");
        let numbers = killed.iter().map(u32::to_string);
        assert!(Command::new("kill").arg("-KILL").args(numbers).status().expect("kill").success());
        meanwhile();
        let again = || {
            let running = self.processes(program, word);
            let new = running.iter().filter(|pid| !killed.contains(pid)).count();
            (new >= killed.len()).then_some(())
        };
        let started = until(DEADLINE, again);
        assert!(started.is_some(), "{program} {word} is not started again\n{}", self.logs());
    }

    /// The last log lines of the node's programs.
    pub fn logs(&self) -> String {
        let log = |name: &&str| {
            let lines = tail(&self.directory.join("log").join(format!("{name}.log")), 8);
            format!("== {name}\n{lines}\n")
        };
        PROGRAMS.iter().map(log).collect()
    }

    fn name(&self) -> String {
        let directory = self.directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
        format!("centrex-{directory}")
    }

    fn script(&self, action: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(repository("e2e/node/node.sh"));
        command.arg(&self.directory).arg(action).args(arguments);
        command.env("KUBEBUILDER_ASSETS", self.programs.path(""));
        command.env("CENTREX", env!("CARGO_BIN_EXE_centrex"));
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        stop(&self.directory);
    }
}

/// Runs a function on a thread in a network; programs that it starts are in the network, too.
pub fn outside<T: Send>(network: &Path, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let network = File::open(network).expect("a network");
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn stop(directory: &Path) {
    let _ = Command::new(repository("e2e/node/node.sh")).arg(directory).arg("stop").output();
}

/// Process ids in a cgroup and those below it.
fn collect(cgroup: &Path, into: &mut Vec<u32>) {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    into.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), into);
        }
    }
}

/// A new directory, named by this process; first removes nodes of processes that were killed.
fn directory() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nodes");
    std::fs::create_dir_all(&root).expect("directory of nodes");
    for entry in std::fs::read_dir(&root).expect("directory of nodes").flatten() {
        let owner = entry.file_name().into_string().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            stop(&entry.path());
        }
    }
    root.join(std::process::id().to_string())
}
