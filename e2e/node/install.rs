//! The steps of a new user: install, apply, register, call, read the log.

use std::time::Instant;

use super::site::{HOST, PHONES, Site};
use crate::chart::release::NAME;

/// Number of new Namespaces that are applied together with objects that the webhook checks.
const NAMESPACES: usize = 5;

pub fn installed(site: &mut Site) {
    let start = Instant::now();
    site.release(&HOST);
    site.rolled_out();
    eprintln!("operator and switch are ready {:.1} s after helm install", start.elapsed().as_secs_f32());
}

pub fn samples(site: &mut Site) {
    let acme = site.sample("10-acme.yaml");
    let mut refused = Vec::new();
    for number in 0..NAMESPACES {
        // Warnings are expected: the destination of a forwarding may be applied after the extension.
        let output = match number {
            0 => site.cluster.kubectl(&["apply", "-f", "deploy/samples"]),
            _ => {
                let manifests = acme.replace("acme", &format!("branch{number}"));
                site.cluster.kubectl_with(&["apply", "-f", "-"], &manifests)
            }
        };
        refused
            .extend((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    // The later steps need the refused objects.
    site.wait_until("the samples", || {
        site.cluster.kubectl(&["apply", "-f", "deploy/samples"]).status.success()
    });
    assert!(refused.is_empty(), "{refused:#?}");
    let wait =
        ["wait", "--for=condition=Ready", "--timeout=300s", "-n", "acme", "--all", "extensions,tenants"];
    let output = site.cluster.kubectl(&wait);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn phones(site: &mut Site) {
    for phone in [&site.alice, &site.bob, &site.carol] {
        let registered = phone.play("register", PHONES, &[]);
        assert!(registered.completed, "{}\n{}", registered.trace, site.state());
    }
    site.calls_are_answered();
    let nobody = site.alice.play("call", PHONES, &[("dial", "1999")]);
    assert_eq!(nobody.status(), Some(404), "{}", nobody.trace);
}

pub fn logs(site: &mut Site) {
    let log = site.cluster.kubectl_ok(&["logs", "-n", NAME, "centrex-switch-0", "-c", "freeswitch"]);
    assert!(log.lines().count() > 10, "{log}");
}
