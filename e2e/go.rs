//! Tests that are written in Go, because what they run is: Argo CD's Lua, kstatus, Kubernetes' types.

use std::path::Path;
use std::process::Command;

use crate::cluster::Programs;
use crate::program::repository;
use crate::skip::skip;

/// Runs the Go tests of a folder, with `helm`, `kubeconform` and `kubectl` in `PATH`. Counted as
/// skipped where Go, its modules or these programs are not to be had.
pub fn run(test: &str, folder: &str) {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(why) => return skip(test, &why),
    };
    for name in ["helm", "kubeconform"] {
        if !programs.path(name).exists() {
            return skip(test, &format!("no {name} where kube-apiserver is (KUBEBUILDER_ASSETS)"));
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", programs.path("").display());
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(repository(folder));
        command.env("PATH", &path).env("GOTOOLCHAIN", "local").env("GOWORK", "off").output()
    };
    // Reads every module that the tests need, and compiles nothing.
    match go(&["list", "-deps", "-test", "./..."]) {
        Err(_) => return skip(test, "Go is missing"),
        Ok(output) if !output.status.success() => {
            let errors = String::from_utf8_lossy(&output.stderr);
            return skip(test, &format!("its Go modules are not to be had: {}", errors.trim()));
        }
        Ok(_) => {}
    }
    // Not from Go's cache, which does not see the files outside the folder change.
    let output = go(&["test", "-count=1", "./..."]).expect("go test");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    if let Some(line) = said.lines().find(|line| line.contains("[no test")) {
        panic!("{}: {line}", Path::new(folder).display());
    }
}
