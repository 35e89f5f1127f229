//! A Helm release on the test's own cluster.

use std::process::{Command, Output};

use crate::cluster::{Cluster, Programs};
use crate::program::repository;
use crate::skip::skip;

/// The namespace of the release, and its name.
pub const NAME: &str = "centrex";
/// Values of a release with a switch.
const SWITCH: [&str; 3] = [
    "postgres.existingSecret.name=centrex-postgres",
    "switch.enabled=true",
    "switch.freeswitch.image.repository=registry.example.com/freeswitch",
];

/// Helm for a cluster.
pub struct Helm<'a> {
    pub cluster: &'a Cluster,
    programs: Programs,
}

impl<'a> Helm<'a> {
    /// `None`, and the test counts as skipped, if helm is missing.
    pub fn on(cluster: &'a Cluster, test: &str) -> Option<Self> {
        let programs = Programs::find().inspect_err(|why| skip(test, why)).ok()?;
        if !programs.path("helm").exists() {
            skip(test, "no helm where kube-apiserver is (KUBEBUILDER_ASSETS)");
            return None;
        }
        Some(Self { cluster, programs })
    }

    /// Runs helm in the release's namespace.
    pub fn helm(&self, arguments: &[&str]) -> Output {
        Command::new(self.programs.path("helm"))
            .args(arguments)
            .args(["--namespace", NAME])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            // Helm reads its settings and caches there.
            .env("HOME", self.cluster.kubeconfig().parent().unwrap())
            .current_dir(repository(""))
            .output()
            .expect("helm")
    }

    /// Runs helm, and returns its output; panics if it fails.
    pub fn helm_ok(&self, arguments: &[&str]) -> String {
        let output = self.helm(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "helm {}: {errors}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `helm VERB centrex` with a switch and more values.
    pub fn release(&self, verb: &[&str], values: &[&str]) -> String {
        let mut arguments = verb.to_vec();
        arguments.extend([NAME, "charts/centrex"]);
        for value in SWITCH.iter().chain(values) {
            arguments.extend(["--set", value]);
        }
        self.helm_ok(&arguments)
    }

    /// The words that `kubectl get` prints for a path.
    pub fn get(&self, what: &[&str], path: &str) -> Vec<String> {
        let path = format!("-o=jsonpath={path}");
        let printed = self.cluster.kubectl_ok(&[&["get"], what, &[&path]].concat());
        printed.split_whitespace().map(str::to_owned).collect()
    }

    /// Whether an account may make a request.
    pub fn may(&self, who: &[&str], what: &[&str]) -> bool {
        let output = self.cluster.kubectl(&[&["auth", "can-i", "--quiet"], who, what].concat());
        output.status.success()
    }
}
