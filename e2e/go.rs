//! Tests in Go, because they run Go code: Argo CD's Lua, kstatus, the types of Kubernetes.

use std::path::Path;
use std::process::Command;

use crate::cluster::Programs;
use crate::program::repository;
use crate::skip::skip;

/// Runs the Go tests of a folder, with `helm`, `kubeconform` and `kubectl` in `PATH`. The test counts as
/// skipped if Go, its modules or these programs are missing.
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
    // Downloads all modules of the tests, and compiles nothing.
    match go(&["list", "-deps", "-test", "./..."]) {
        Err(_) => return skip(test, "Go is missing"),
        Ok(output) if !output.status.success() => {
            let errors = String::from_utf8_lossy(&output.stderr);
            return skip(test, &format!("its Go modules are not to be had: {}", errors.trim()));
        }
        Ok(_) => {}
    }
    // Without Go's test cache, which does not notice changed files outside the folder.
    let output = go(&["test", "-count=1", "./..."]).expect("go test");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    if let Some(line) = said.lines().find(|line| line.contains("[no test")) {
        panic!("{}: {line}", Path::new(folder).display());
    }
}
