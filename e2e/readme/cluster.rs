//! The steps on a cluster, from `helm install` to the answer for a phone. The API server has no nodes, so the
//! pods of the release do not start: the test starts an operator and a switch in their place.

use std::process::Command;

use super::blocks::block;
use crate::cluster::{Cluster, Programs};
use crate::postgres::{Database, key_line, reachable_dir};
use crate::program::{Program, repository, run, url};
use crate::skip::skip;

#[tokio::test(flavor = "multi_thread")]
async fn from_helm_install_to_a_phone() {
    let test = "readme::cluster::from_helm_install_to_a_phone";
    let programs = match Programs::find() {
        Ok(programs) if programs.path("helm").exists() => programs,
        Ok(_) => return skip(test, "no helm where kube-apiserver is (KUBEBUILDER_ASSETS)"),
        Err(why) => return skip(test, &why),
    };
    let Some(database) = Database::start(test).await else { return };
    let Some(cluster) = Cluster::own(test) else { return };
    let folder = reachable_dir();
    let own = [
        ("REGISTRY", "registry.example.com"),
        ("POSTGRES_URL", "postgres://centrex:secret@postgres.example.com:5432/centrex"),
    ];
    let shell = |first_line: &str| {
        let script = block(first_line, &own);
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script]).current_dir(repository(""));
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", programs.path("").display()));
        // Folder of Helm's settings and caches.
        shell.env("KUBECONFIG", cluster.kubeconfig()).env("HOME", folder.path());
        let (code, text) = run(&mut shell);
        assert_eq!(code, Some(0), "{script}\n{text}");
        text
    };
    shell("kubectl create namespace centrex");

    let keys = folder.path().join("keys");
    std::fs::write(&keys, key_line(1, 'k')).unwrap();
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let start = |role: &str, options: &[&str], said: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.arg(role).args(options).env("KUBECONFIG", cluster.kubeconfig());
        command.env("CENTREX_DATABASE_URL", url(&database)).env("CENTREX_ENCRYPTION_KEY_FILE", &keys);
        Program::start(&mut command, folder.path().join(role), said)
    };
    let _operator = start("operator", &["--listen", "127.0.0.1:0"], "the operator watches");
    let data_dir = folder.path().join("switch-data").display().to_string();
    let options = ["--xml-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--data-dir", &data_dir];
    let switch = start("switch", &options, "answering mod_xml_curl");

    let text = shell("kubectl apply -f deploy/samples");
    for line in ["extension.centrex.dev/alice condition met", "tenant.centrex.dev/globex condition met"] {
        assert!(text.contains(line), "{text}");
    }
    // The settings of the page's phone: FreeSWITCH checks this password.
    let first_line = "kubectl get secret -n acme alice-sip -o jsonpath='{.data.password}' | base64 -d";
    let told = shell(first_line);
    assert!(told.starts_with("alice-dummy-password"), "{told}");
    let answer = switch.answer("acme-register-1001");
    use md5::{Digest, Md5};
    let hash = hex::encode(Md5::digest("1001:acme.example.com:alice-dummy-password"));
    assert!(answer.contains(&hash), "{answer}");
    // The label by which the page finds the switch, and the address of the node because of hostNetwork.
    let pods = ["get", "pods", "-n", "centrex", "-l", "app.kubernetes.io/component=switch"];
    let pods = cluster.kubectl_ok(&[&pods[..], &["-o=jsonpath={.items[*].spec.hostNetwork}"]].concat());
    assert_eq!(pods, "true");
}
