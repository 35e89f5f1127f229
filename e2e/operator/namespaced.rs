//! Rights in one namespace only: no ClusterRole, the platform's kinds from a folder.

use super::Site;

/// The rights that the chart gives the operator in a namespace that it watches.
const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: centrex, namespace: inside}
rules:
  - {apiGroups: [centrex.dev], resources: ['*'], verbs: [get, list, watch]}
  - {apiGroups: [centrex.dev], resources: ['*/status'], verbs: [patch]}
  - {apiGroups: [centrex.dev], resources: [tenants], verbs: [patch]}
  - {apiGroups: [centrex.dev], resources: [tenants/finalizers], verbs: [update]}
  - {apiGroups: [''], resources: [secrets], verbs: [get, list, watch, create]}
  - {apiGroups: [''], resources: [configmaps], verbs: [get, list, watch]}
  - {apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: centrex, namespace: inside}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: centrex, namespace: inside}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: centrex}
subjects: [{kind: ServiceAccount, name: centrex, namespace: inside}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_role_in_one_namespace_is_enough() {
    let Some(site) = Site::start("operator::a_role_in_one_namespace").await else { return };
    site.tenant("inside", ", profileRef: {name: small}");
    site.tenant("outside", "");
    site.cluster.apply(ROLE);
    let token = site.cluster.kubectl_ok(&["create", "token", "centrex", "-n", "inside"]);
    let kubeconfig = site.path("limited");
    std::fs::copy(site.cluster.kubeconfig(), &kubeconfig).unwrap();
    let file = format!("--kubeconfig={}", kubeconfig.display());
    let token = format!("--token={}", token.trim());
    site.cluster.kubectl_ok(&["config", &file, "set-credentials", "limited", &token]);
    site.cluster.kubectl_ok(&["config", &file, "set-context", "--current", "--user=limited"]);
    let platform = site.path("platform");
    std::fs::create_dir(&platform).unwrap();
    let profile = "{apiVersion: centrex.dev/v1alpha1, kind: TenantProfile, metadata: {name: small},
                    spec: {maxExtensions: 1}}";
    std::fs::write(platform.join("profiles.yaml"), profile).unwrap();

    let platform = platform.display().to_string();
    let options =
        ["--namespaces", "inside", "--platform-manifests", &platform, "--lease-namespace", "inside"];
    let operator = site.operator_as(&kubeconfig, &options);
    let _switch = site.switch("switch-1");
    site.cluster.apply(&site.extension("inside", 100));
    site.wait_for("inside", "extension/e100", "Ready=True Ready");
    site.wait_for("inside", "tenant/inside", "Ready=True Ready");
    // The profile of the folder is in force, and nothing outside the namespace is changed.
    site.cluster.apply(&site.extension("inside", 101));
    site.wait_for("inside", "extension/e101", "Accepted=False LimitExceeded");
    assert_eq!(site.conditions("outside", "tenant/outside"), Vec::<String>::new());
    assert_eq!(operator.get("/livez").0, 200);
    assert_eq!(operator.get("/readyz").0, 200);
}
