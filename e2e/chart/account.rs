//! The operator as the chart runs it: with the chart's arguments, and with the rights of the chart's account
//! only.

use std::path::Path;

use serde_json::{Value, json};

use super::release::{Helm, NAME};
use super::rights::Account;
use crate::operator::Site;
use crate::program::Program;
use crate::wait::{DEADLINE, until};

/// A site with the chart installed; `None` if something is missing.
async fn site(test: &str) -> Option<Site> {
    let site = Site::start(test).await?;
    site.cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAME}}}}}"));
    Some(site)
}

/// The containers of the chart, as the API server stored them.
fn container(site: &Site, object: &str, list: &str) -> Value {
    site.get(NAME, object).unwrap()["spec"]["template"]["spec"][list][0].clone()
}

/// Starts the operator with the chart's arguments, with paths that exist in the test. A folder replaces the
/// volumes of the pod.
fn operator(site: &Site, folder: &Path) -> Program {
    let (mut command, output) = site.command("operator");
    let account = Account::new(&site.cluster, NAME, "centrex-operator");
    let kubeconfig = folder.join("kubeconfig");
    std::fs::copy(account.kubeconfig(), &kubeconfig).unwrap();
    command.env("KUBECONFIG", kubeconfig);
    let container = container(site, "deployment/centrex-operator", "containers");
    for argument in container["args"].as_array().unwrap().iter().skip(1) {
        let argument = argument.as_str().unwrap();
        let place = match argument.split_once('=').unwrap_or((argument, "")) {
            ("--encryption-key-file" | "--database-url-file", _) => continue, // the site gives one
            (option @ ("--listen" | "--webhook-listen"), _) => format!("{option}=127.0.0.1:0"),
            (option, path) if path.starts_with("/etc/centrex") => {
                format!("{option}={}{path}", folder.display())
            }
            _ => argument.to_owned(),
        };
        command.arg(place);
    }
    let mut operator = Program::start(&mut command, output, "the operator watches");
    operator.wait_until("readiness", |operator| operator.get("/readyz").0 == 200);
    operator
}

/// Checks that no request was forbidden.
fn had_its_rights(operator: &Program) {
    let log = operator.log();
    let refused = log.lines().find(|line| line.contains("orbidden"));
    assert_eq!(refused, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_works_with_the_charts_rights() {
    let test = "chart: the operator's own account";
    let Some(site) = site(test).await else { return };
    let Some(helm) = Helm::on(&site.cluster, test) else { return };
    helm.release(&["install"], &["crds.install=false"]);
    let folder = tempfile::tempdir().unwrap();
    let operator = operator(&site, folder.path());
    let switch = site.switch("switch-1");

    // The operator created its certificate, and the API server knows the signer.
    let secret = site.get(NAME, "secret/centrex-webhook-tls").unwrap();
    let webhook = site.get(NAME, "validatingwebhookconfiguration/centrex").unwrap();
    assert_eq!(webhook["webhooks"][0]["clientConfig"]["caBundle"], secret["data"]["ca.crt"]);

    site.tenant("north", "");
    site.cluster.apply(&site.extension("north", 100));
    site.cluster.apply(
        "apiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {name: desk, namespace: north}\n\
         spec: {tenantRef: {name: north}, mac: \"80:5e:c0:12:34:56\", vendor: Snom, lines: [{extensionRef: {name: e100}}]}\n",
    );
    site.wait_for("north", "extension/e100", "Ready=True Ready");
    site.wait_for("north", "device/desk", "Ready=True Ready");
    let made = site.get("north", "secret/desk-device").unwrap();
    let keys: Vec<&String> = made["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["password", "provisioningPassword"]);
    let id =
        site.get("north", "tenant/north").unwrap()["status"]["tenantId"].as_str().unwrap().parse().unwrap();
    let device = site.get("north", "device/desk").unwrap();
    assert_eq!(device["status"]["provisioningUser"], centrex::compile::provisioning_user(id, "desk"));
    site.wait_for("north", "tenant/north", "Ready=True Ready");
    assert!(site.get("north", "secret/e100-sip").is_some(), "no password was made");
    // An API server answers 429 for a moment to requests for a kind that was just added.
    let found = until(DEADLINE, || site.get("default", "switch/switch-1"));
    assert!(found.is_some(), "no Switch\n{}", operator.log());
    site.cluster.kubectl_ok(&["delete", "tenant", "north", "-n", "north", "--timeout=300s"]);
    had_its_rights(&operator);
    drop((switch, operator));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_works_with_rights_in_one_namespace() {
    let test = "chart: the operator's own account, in one namespace";
    let Some(site) = site(test).await else { return };
    let Some(helm) = Helm::on(&site.cluster, test) else { return };
    site.tenant("north", "");
    site.tenant("south", "");
    let platform = "apiVersion: centrex.dev/v1alpha1\nkind: SipProfile\nmetadata: {name: internal}\nspec: {role: Phones, sipPort: 5060}\n";
    let values = format!("namespaces: [north]\nplatformManifests:\n  profiles.yaml: {}\n", json!(platform));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let file = format!("--values={}", file.display());
    helm.release(&["install", &file], &["crds.install=false", "webhook.enabled=false"]);

    // As the kubelet mounts a ConfigMap: a link to a folder, which is replaced as a whole.
    let mount = folder.path().join("etc/centrex/platform");
    let data = site.get(NAME, "configmap/centrex-operator-platform").unwrap()["data"].clone();
    std::fs::create_dir_all(mount.join("..2026_11_21")).unwrap();
    std::os::unix::fs::symlink("..2026_11_21", mount.join("..data")).unwrap();
    for (name, text) in data.as_object().unwrap() {
        std::fs::write(mount.join("..data").join(name), text.as_str().unwrap()).unwrap();
        std::os::unix::fs::symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    let operator = operator(&site, folder.path());
    let switch = site.switch("switch-1");
    site.cluster.apply(&site.extension("north", 100));
    site.wait_for("north", "extension/e100", "Ready=True Ready");
    assert_eq!(site.count("SELECT count(*) FROM public.sip_profiles").await, 1);
    assert!(site.schema("south", "south").await.is_none(), "a tenant of another namespace was stored");
    had_its_rights(&operator);
    drop((switch, operator));
}

#[test]
fn the_programs_accept_the_charts_options() {
    let test = "chart: options";
    let Some(cluster) = crate::cluster::Cluster::own(test) else { return };
    let Some(helm) = Helm::on(&cluster, test) else { return };
    let certificates = ["media.persistent=true", "webhook.certManager.enabled=true", "namespaces={a,b}"];
    for values in [&["media.persistent=true"][..], &certificates] {
        let text = helm.release(&["template"], values);
        let mut seen = 0;
        for document in text.split("\n---\n") {
            if !document.contains("\nkind: Deployment\n") && !document.contains("\nkind: StatefulSet\n") {
                continue;
            }
            let object: Value = serde_saphyr::from_str(document).unwrap();
            let pod = &object["spec"]["template"]["spec"];
            let ours = if object["kind"] == "Deployment" {
                &pod["containers"][0]
            } else {
                &pod["initContainers"][0]
            };
            let arguments =
                ours["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_centrex"))
                .args(arguments)
                .arg("--help")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            for variable in ours["env"].as_array().unwrap() {
                let name = variable["name"].as_str().unwrap();
                assert!(help.contains(&format!("[env: {name}")), "{name} is no option: {help}");
            }
            seen += 1;
        }
        assert_eq!(seen, 2);
    }
}
