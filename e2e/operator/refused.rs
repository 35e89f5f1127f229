//! Postgres and the API server refuse requests that they accepted before, or do not accept yet: no process
//! exits, the statuses say so, and the operator continues by itself.

use sqlx::AssertSqlSafe;

use super::Site;
use crate::program::Program;
use crate::wait::{DEADLINE, until};

fn leads(operator: &Program) -> bool {
    operator.get("/metrics").1.contains("centrex_operator_leader 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_is_retried() {
    let Some(site) = Site::start("operator::a_database_that_is_not_there").await else { return };
    let mut server = site.database.server_admin().await;
    let name = site.database.name();
    let drop_it = format!("DROP DATABASE {name} WITH (FORCE)");
    let make_it = format!("CREATE DATABASE {name} OWNER centrex");

    // The database is created after both replicas have started.
    sqlx::raw_sql(AssertSqlSafe(drop_it.clone())).execute(&mut server).await.unwrap();
    let mut replicas = ["a", "b"].map(|name| site.operator(&["--identity", name]));
    site.tenant("one", "");
    site.wait_for("one", "tenant/one", "Programmed=Unknown StoreFailed");
    assert!(replicas.iter().any(|replica| replica.log().contains("Postgres refuses the login")));
    sqlx::raw_sql(AssertSqlSafe(make_it.clone())).execute(&mut server).await.unwrap();
    site.wait_for("one", "tenant/one", "Programmed=True Programmed");

    // The database is dropped during use, and created again, empty.
    sqlx::raw_sql(AssertSqlSafe(drop_it)).execute(&mut server).await.unwrap();
    site.cluster.apply(&site.extension("one", 100));
    site.wait_for("one", "extension/e100", "Programmed=Unknown StoreFailed");
    sqlx::raw_sql(AssertSqlSafe(make_it)).execute(&mut server).await.unwrap();
    site.wait_for("one", "extension/e100", "Programmed=True Programmed");
    let schema = site.schema("one", "one").await.unwrap();
    assert_eq!(site.count(&format!("SELECT count(*) FROM {schema}.extensions")).await, 1);
    for replica in &mut replicas {
        replica.wait_until("life", |replica| replica.get("/livez").0 == 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_is_read_from_the_file() {
    let Some(site) = Site::alone("operator::a_password_that_is_rotated").await else { return };
    site.database.require_password("first").await;
    let file = site.path("database-url");
    std::fs::write(&file, site.url(":first") + "\n").unwrap();
    let start = |role: &str, options: &[&str], listens: &str| {
        let (mut command, output) = site.command(role);
        command.env_remove("CENTREX_DATABASE_URL").arg("--database-url-file").arg(&file).args(options);
        Program::start(&mut command, output, listens)
    };
    let options = ["--listen", "127.0.0.1:0", "--lease-seconds", "4"];
    let mut replicas = ["a", "b"].map(|name| {
        start("operator", &[&options[..], &["--identity", name]].concat(), "the operator watches")
    });
    let data = site.path("switch-1").display().to_string();
    let options =
        ["--xml-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--name", "switch-1", "--data-dir"];
    let switch = start("switch", &[&options[..], &[&data]].concat(), "answering mod_xml_curl");
    site.tenant("one", "");
    site.wait_for("one", "tenant/one", "Ready=True Ready");

    // The file changes later than the password, as a mounted Secret does.
    site.database.set_password("second").await;
    site.database.cut_connections().await;
    site.cluster.apply(&site.extension("one", 100));
    site.wait_for("one", "extension/e100", "Programmed=Unknown StoreFailed");
    assert!(switch.get("/metrics").1.contains("centrex_replica_tenants 1"), "loaded tenants are served");
    std::fs::write(&file, site.url(":second")).unwrap();
    site.wait_for("one", "extension/e100", "Ready=True Ready");
    for replica in &mut replicas {
        replica.wait_until("life", |replica| replica.get("/livez").0 == 200);
        assert!(!replica.log().contains("second"), "the password is in the log");
    }

    // An invalid URL in the file changes nothing.
    std::fs::write(&file, "nonsense").unwrap();
    let told = || replicas.iter().any(|replica| replica.log().contains("--database-url-file")).then_some(());
    until(DEADLINE, told).expect("a word about the file");
    site.cluster.apply(&site.extension("one", 101));
    site.wait_for("one", "extension/e101", "Ready=True Ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_replicas_migrate_an_empty_database_once() {
    let Some(site) = Site::start("operator::replicas_that_find_an_empty_database").await else { return };
    // Leases of their own: each replica believes that it leads.
    let names = ["a", "b", "c"];
    let mut replicas = names.map(|name| site.operator(&["--identity", name, "--lease-name", name]));
    until(DEADLINE, || replicas.iter().any(leads).then_some(())).expect("a replica that writes");
    site.tenant("one", "");
    site.wait_for("one", "tenant/one", "Programmed=True Programmed");
    for replica in &mut replicas {
        replica.wait_until("life", |replica| replica.get("/livez").0 == 200);
    }
    let migrated = replicas.iter().map(|replica| replica.log().matches("database migrated").count());
    assert_eq!(migrated.sum::<usize>(), centrex::store::migrate::PUBLIC.len());
}

/// All rights except those to read and create Secrets in the operator's own namespace.
const RIGHTS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all-but-secrets}
rules:
- {apiGroups: [centrex.dev, coordination.k8s.io, events.k8s.io, admissionregistration.k8s.io], resources: ['*'], verbs: ['*']}
- {apiGroups: [''], resources: [namespaces, configmaps], verbs: ['*']}
- {apiGroups: [''], resources: [secrets], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: all-but-secrets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: all-but-secrets}
subjects: [{kind: ServiceAccount, name: operator, namespace: default}]
";

/// The missing right.
const SECRETS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: secrets}
rules: [{apiGroups: [''], resources: [secrets], verbs: [get, create, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: secrets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: secrets}
subjects: [{kind: ServiceAccount, name: operator, namespace: default}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_secret_is_retried_until_it_is_allowed() {
    let Some(site) = Site::start("operator::a_secret_that_is_forbidden").await else { return };
    site.cluster.apply(RIGHTS);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.cluster.apply(&super::admission::configuration(port, ""));
    let token = site.cluster.kubectl_ok(&["create", "token", "operator", "-n", "default"]);
    let kubeconfig = site.path("operator-kubeconfig");
    std::fs::write(&kubeconfig, as_account(&site, token.trim())).unwrap();
    let listen = format!("127.0.0.1:{port}");
    let options =
        ["--webhook-listen", &listen, "--webhook-service", "localhost", "--webhook-configuration", "centrex"];
    let mut operator = site.operator_as(&kubeconfig, &options);
    operator.wait_until("a word about it", |operator| {
        operator.log().contains("the webhook does not answer yet") && operator.log().contains("forbidden")
    });
    assert_eq!(operator.get("/livez").0, 200);
    site.cluster.apply(SECRETS);
    // The webhook's failure policy makes the API server refuse requests while it does not answer.
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: one}}";
    site.cluster.apply(namespace);
    let tenant = "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {name: one, namespace: one}\n\
                  spec: {domains: [one.example.com]}\n";
    let applied = || site.cluster.kubectl_with(&["apply", "-f", "-"], tenant).status.success().then_some(());
    until(DEADLINE, applied).expect("the webhook answers");
    operator.wait_until("leadership", leads);
    site.wait_for("one", "tenant/one", "Programmed=True Programmed");
}

/// The administrator's kubeconfig, with the token of an account instead of the administrator's credentials.
fn as_account(site: &Site, token: &str) -> String {
    let text = std::fs::read_to_string(site.cluster.kubeconfig()).unwrap();
    let mut config: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"] = serde_json::json!({ "token": token });
    }
    config.to_string()
}
