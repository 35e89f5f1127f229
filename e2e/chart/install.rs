//! Installed, upgraded and uninstalled on a real API server, which has controllers and no nodes.

use super::release::{Helm, NAME};
use crate::cluster::Cluster;
use crate::wait::{DEADLINE, until};

/// Objects that remain after an uninstall.
const KEPT: &str = "customresourcedefinitions,persistentvolumeclaims";

#[test]
fn the_chart_is_installed_upgraded_and_uninstalled() {
    let test = "chart: install, upgrade, uninstall";
    let Some(cluster) = &Cluster::own(test) else { return };
    let Some(helm) = Helm::on(cluster, test) else { return };
    // The strictest level of Pod Security refuses pods that break its rules.
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAME},
          labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
    ));
    let notes = helm.release(&["install"], &["media.persistent=true"]);
    assert!(notes.contains("kubectl create secret generic -n centrex centrex-encryption-keys"), "{notes}");
    let pods = until(DEADLINE, || {
        let pods =
            helm.get(&["pods", "-n", NAME], "{.items[*].metadata.labels.app\\.kubernetes\\.io/component}");
        (pods.len() == 3).then_some(pods)
    });
    assert_eq!(pods.map(sorted), Some(vec!["operator".to_owned(), "operator".into(), "switch".into()]));

    a_phone_system_is_applied_while_the_operator_is_away(&helm);
    the_operator_may_do_what_it_does_and_no_more(&helm);
    tenants_people_get_what_is_theirs(&helm);
    an_upgrade_changes_what_it_names(&helm);

    helm.helm_ok(&["uninstall", NAME]);
    let left = cluster.kubectl_ok(&["get", KEPT, "-n", NAME, "-o", "name"]);
    assert_eq!(left.lines().filter(|name| name.ends_with(".centrex.dev")).count(), 18, "{left}");
    assert!(left.contains("persistentvolumeclaim/centrex-media"), "{left}");
    assert!(left.contains("persistentvolumeclaim/data-centrex-switch-0"), "{left}");
    let gone = "deployments,statefulsets,services,configmaps,roles,networkpolicies,poddisruptionbudgets";
    let gone = cluster.kubectl_ok(&[
        "get",
        gone,
        "-n",
        NAME,
        "-l",
        "app.kubernetes.io/part-of=centrex",
        "-o",
        "name",
    ]);
    assert_eq!(gone, "");
    let of_cluster = "clusterroles,clusterrolebindings,validatingwebhookconfigurations";
    assert_eq!(
        cluster.kubectl_ok(&["get", of_cluster, "-l", "app.kubernetes.io/part-of=centrex", "-o", "name"]),
        ""
    );
    assert!(cluster.kubectl_ok(&["get", "tenants", "-n", "acme"]).contains("acme.example.com"));
    // The next release adopts the remaining objects; a release of another name adopts them only on request.
    helm.release(&["install"], &["media.persistent=true"]);
    helm.helm_ok(&["uninstall", NAME]);
    let another = |more: &[&str]| {
        let install = [
            "install",
            "another",
            "charts/centrex",
            "--set",
            "postgres.existingSecret.name=centrex-postgres",
        ];
        helm.helm(&[&install, more].concat())
    };
    let refused = another(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("CustomResourceDefinition"), "{said}");
    let taken = another(&["--take-ownership"]);
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
}

fn a_phone_system_is_applied_while_the_operator_is_away(helm: &Helm<'_>) {
    let cluster = helm.cluster;
    cluster.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=300s", "crd", "--all"]);
    // The webhook cannot answer here, and blocks no apply.
    cluster.kubectl_ok(&["apply", "-f", "deploy/samples"]);
    assert!(cluster.kubectl_ok(&["get", "pbx", "-A", "-o", "name"]).lines().count() > 20);
    let webhook = ["validatingwebhookconfiguration", NAME];
    // With `Fail` the same applies are refused, except those that change nothing about a call.
    let policy = |value: &str| {
        let patch =
            format!(r#"[{{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "{value}"}}]"#);
        cluster.kubectl_ok(&["patch", webhook[0], webhook[1], "--type=json", "-p", &patch]);
    };
    policy("Fail");
    let patch = |patch: &str| {
        cluster.kubectl(&["patch", "tenant", "acme", "-n", "acme", "--type=merge", "-p", patch])
    };
    let mut count = 0;
    // The API server reads the new webhook configuration a moment later.
    let spec = until(DEADLINE, || {
        count += 1;
        let output = patch(&format!(r#"{{"spec": {{"displayName": "Acme {count}"}}}}"#));
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert!(spec.as_ref().is_some_and(|said| said.contains("validate.centrex.dev")), "{spec:?}");
    assert!(patch(r#"{"metadata": {"labels": {"a": "b"}}}"#).status.success());
    assert!(patch(r#"{"metadata": {"finalizers": ["centrex.dev/tenant"]}}"#).status.success());
    assert!(patch(r#"{"metadata": {"finalizers": null}}"#).status.success());
    policy("Ignore");
}

fn the_operator_may_do_what_it_does_and_no_more(helm: &Helm<'_>) {
    let operator = ["--as=system:serviceaccount:centrex:centrex-operator"];
    for allowed in [
        &["watch", "extensions.centrex.dev", "-A"][..],
        &["patch", "extensions.centrex.dev", "--subresource=status", "-n", "acme"],
        &["patch", "tenants.centrex.dev", "-n", "acme"],
        &["create", "switches.centrex.dev"],
        &["create", "secrets", "-n", "acme"],
        &["create", "events.events.k8s.io", "-n", "default"],
        &["watch", "namespaces"],
        &["update", "leases.coordination.k8s.io/centrex-operator", "-n", NAME],
        &["update", "secrets/centrex-webhook-tls", "-n", NAME],
        &["patch", "validatingwebhookconfigurations.admissionregistration.k8s.io/centrex"],
    ] {
        assert!(helm.may(&operator, allowed), "{allowed:?}");
    }
    for forbidden in [
        &["patch", "extensions.centrex.dev", "-n", "acme"][..],
        &["delete", "tenants.centrex.dev", "-n", "acme"],
        &["update", "secrets", "-n", "acme"],
        &["delete", "secrets", "-n", "acme"],
        &["create", "pods", "-n", NAME],
        &["update", "leases.coordination.k8s.io/another", "-n", NAME],
        &["patch", "validatingwebhookconfigurations.admissionregistration.k8s.io/another"],
    ] {
        assert!(!helm.may(&operator, forbidden), "{forbidden:?}");
    }
    let switch = ["--as=system:serviceaccount:centrex:centrex-switch"];
    assert!(!helm.may(&switch, &["get", "extensions.centrex.dev", "-n", "acme"]));
}

fn tenants_people_get_what_is_theirs(helm: &Helm<'_>) {
    let cluster = helm.cluster;
    for (role, user) in [("admin", "tom"), ("edit", "eve"), ("view", "vera")] {
        let user = format!("--user={user}");
        cluster.kubectl_ok(&["create", "rolebinding", role, "--clusterrole", role, &user, "-n", "acme"]);
    }
    let extensions = |verb| [verb, "extensions.centrex.dev", "-n", "acme"];
    // The cluster's own roles aggregate the rules a moment later.
    let aggregated = until(DEADLINE, || helm.may(&["--as=tom"], &extensions("create")).then_some(()));
    assert!(aggregated.is_some(), "admin is without it");
    for who in ["--as=tom", "--as=eve"] {
        assert!(helm.may(&[who], &extensions("deletecollection")));
        assert!(helm.may(&[who], &["get", "tenants.centrex.dev", "-n", "acme"]));
        assert!(!helm.may(&[who], &["patch", "tenants.centrex.dev", "-n", "acme"]));
        assert!(
            !helm.may(&[who], &["patch", "extensions.centrex.dev", "--subresource=status", "-n", "acme"])
        );
        assert!(!helm.may(&[who], &["get", "extensions.centrex.dev", "-n", "globex"]));
    }
    assert!(
        helm.may(&["--as=vera"], &extensions("watch")) && !helm.may(&["--as=vera"], &extensions("create"))
    );
}

fn an_upgrade_changes_what_it_names(helm: &Helm<'_>) {
    let versions = || {
        let all = "deployments,statefulsets,services,configmaps,roles,networkpolicies,poddisruptionbudgets";
        let path = "{range .items[*]}{.kind}/{.metadata.name}/{.metadata.generation}/{.spec.replicas} {end}";
        helm.get(&[all, "-n", NAME, "-l", "app.kubernetes.io/part-of=centrex"], path)
    };
    // Fields that the operator and the API server write are left alone.
    let webhook = ["validatingwebhookconfiguration", NAME];
    let bundle = r#"[{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "LS0t"}]"#;
    helm.cluster.kubectl(&["patch", webhook[0], webhook[1], "--type=json", "-p", bundle]);
    let ca = || helm.get(&webhook, "{.webhooks[0].clientConfig.caBundle}");
    let (before, ca_before) = (versions(), ca());
    helm.release(&["upgrade"], &["media.persistent=true"]);
    assert_eq!(versions(), before, "the same again is no change");
    assert_eq!(ca(), ca_before);
    helm.release(&["upgrade"], &["media.persistent=true", "operator.replicas=3"]);
    let changed: Vec<String> = versions().into_iter().filter(|version| !before.contains(version)).collect();
    assert_eq!(changed, ["Deployment/centrex-operator/2/3"]);
    what_cannot_be_changed_says_so(helm);
}

fn what_cannot_be_changed_says_so(helm: &Helm<'_>) {
    let keep = ["--reuse-values", "--set"];
    let upgrade = |value: &str| {
        let output = helm.helm(&[&["upgrade", NAME, "charts/centrex"], &keep[..], &[value]].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (value, before) in [
        ("switch.data.size=20Gi", "switch.data.size: was 10Gi at the install"),
        ("switch.data.persistent=false", "switch.data.persistent: was true at the install"),
        ("switch.data.storageClass=fast", "switch.data.storageClass: was \"\" at the install"),
    ] {
        let (done, said) = upgrade(value);
        assert!(!done && said.contains(before) && said.contains("--cascade=orphan"), "{value}: {said}");
    }
    // As documented: the pods stay, and belong to the new release.
    let pods = || {
        helm.get(
            &["pods", "-n", NAME, "-l", "app.kubernetes.io/component=switch"],
            "{.items[*].metadata.uid}",
        )
    };
    let before = pods();
    helm.cluster.kubectl_ok(&["delete", "statefulset", "-n", NAME, "centrex-switch", "--cascade=orphan"]);
    let (done, said) = upgrade("switch.data.size=20Gi");
    assert!(done, "{said}");
    assert_eq!(pods(), before);
    let size = helm.get(
        &["statefulset", "-n", NAME, "centrex-switch"],
        "{.spec.volumeClaimTemplates[0].spec.resources.requests.storage}",
    );
    assert_eq!(size, ["20Gi"]);
}

#[test]
fn a_second_sync_of_the_chart_changes_nothing() {
    synced_twice("chart: synced twice", &[]);
}

#[test]
fn a_second_server_side_sync_changes_nothing() {
    // As Argo CD does with ServerSideApply=true.
    synced_twice("chart: synced twice, server-side", &["--server-side", "--field-manager=argocd-controller"]);
}

fn synced_twice(test: &str, how: &[&str]) {
    let Some(cluster) = &Cluster::own(test) else { return };
    let Some(helm) = Helm::on(cluster, test) else { return };
    let flat = std::fs::read_to_string(crate::program::repository("deploy/install.yaml")).unwrap();
    sync_twice(cluster, how, &flat);
    // The same with a switch.
    sync_twice(cluster, how, &helm.release(&["template"], &["media.persistent=true", "crds.install=false"]));
}

fn sync_twice(cluster: &Cluster, how: &[&str], manifests: &str) {
    let apply = |verb: &str| cluster.kubectl_with(&[&[verb], how, &["-f", "-"]].concat(), manifests);
    let generations = || {
        let path = "-o=jsonpath={range .items[*]}{.kind}/{.metadata.name}/{.metadata.generation} {end}";
        let output = cluster.kubectl_with(&["get", "-f", "-", path], manifests);
        String::from_utf8(output.stdout).unwrap()
    };
    let applied = apply("apply");
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    // No output, and exit status 0: fields that the API server adds are no difference.
    let difference = apply("diff");
    let said = String::from_utf8_lossy(&difference.stdout);
    assert!(difference.status.success() && said.is_empty(), "{said}");
    let before = generations();
    let again = apply("apply");
    assert_eq!(generations(), before);
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    let end = if how.is_empty() { "unchanged" } else { "serverside-applied" };
    // kubectl sends lists of these objects again that the API server has completed and treats as one value.
    // The generations show that nothing changes.
    let sent = |line: &str| ["poddisruptionbudget", "statefulset"].iter().any(|kind| line.starts_with(kind));
    let changes = |line: &&str| !line.ends_with(end) && !sent(line);
    let changed: Vec<&str> = again.lines().filter(changes).collect();
    assert_eq!(changed, [""; 0]);
}

#[test]
fn a_namespaced_release_has_no_rights_elsewhere() {
    let test = "chart: namespaced";
    let Some(cluster) = &Cluster::own(test) else { return };
    let Some(helm) = Helm::on(cluster, test) else { return };
    // Another release installs the CRDs, once for the cluster.
    cluster.install_crds();
    for name in [NAME, "acme", "globex"] {
        cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
    }
    helm.release(&["install"], &["namespaces={acme}", "crds.install=false", "webhook.enabled=false"]);
    assert_eq!(
        cluster.kubectl_ok(&[
            "get",
            "clusterroles,clusterrolebindings",
            "-l",
            "app.kubernetes.io/part-of=centrex",
            "-o",
            "name"
        ]),
        ""
    );
    let operator = ["--as=system:serviceaccount:centrex:centrex-operator"];
    assert!(helm.may(&operator, &["watch", "extensions.centrex.dev", "-n", "acme"]));
    assert!(helm.may(&operator, &["patch", "tenants.centrex.dev", "--subresource=status", "-n", "acme"]));
    for forbidden in [
        &["watch", "extensions.centrex.dev", "-n", "globex"][..],
        &["watch", "extensions.centrex.dev", "-A"],
        &["get", "secrets", "-n", "globex"],
        &["get", "namespaces"],
        &["get", "sipprofiles.centrex.dev"],
    ] {
        assert!(!helm.may(&operator, forbidden), "{forbidden:?}");
    }
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}
