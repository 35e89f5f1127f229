//! A machine within this one, for commands with fixed ports and paths: its network is its own loopback, its
//! processes end with it, and its writes below the repository and /var/lib are discarded.

use std::process::Command;

use crate::program::{repository, run, succeeded};
use crate::skip::skip;

/// Seconds after which remaining processes are ended.
const LIMIT: &str = "400";

/// Makes the machine out of namespaces and runs the script, `$1`, in the repository, `$0`.
const MACHINE: &str = r#"
    ip link set lo up
    scratch=$(mktemp -d)
    mount -t tmpfs none "$scratch"
    mkdir "$scratch/upper" "$scratch/work"
    mount -t overlay overlay -o "lowerdir=$0,upperdir=$scratch/upper,workdir=$scratch/work" "$0"
    mount -t tmpfs -o mode=755 none /var/lib
    cd "$0"
    exec bash -euo pipefail -c "$1"
"#;

/// A shell in a sandbox.
pub struct Sandbox;

impl Sandbox {
    /// `None`, and the test counts as skipped, if namespaces or mounts are not allowed.
    pub fn open(test: &str) -> Option<Self> {
        match succeeded(&mut command("true")) {
            Ok(()) => Some(Self),
            Err(why) => {
                skip(test, &format!("a machine of its own cannot be made: {why}"));
                None
            }
        }
    }

    /// Runs a script, and returns its output; panics if the script fails.
    pub fn run(&self, script: &str, environment: impl FnOnce(&mut Command)) -> String {
        let mut command = command(script);
        environment(&mut command);
        let (code, text) = run(&mut command);
        assert_eq!(code, Some(0), "{script}\n{text}");
        text
    }
}

fn command(script: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "bash", "-euc", MACHINE]).arg(repository("")).arg(script);
    // Variables that the tests set are no part of a reader's shell.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CENTREX_")) {
        command.env_remove(name);
    }
    command
}
