//! Deletion of Tenants by both policies, of namespaces, and of the CRDs; with the operator running and
//! stopped.

use super::Site;

#[tokio::test(flavor = "multi_thread")]
async fn retained_data_are_adopted_and_deleted_data_are_removed() {
    let Some(site) = Site::start("operator::retained_data").await else { return };
    let operator = site.operator(&[]);
    let _switch = site.switch("switch-1");

    // Retain, the default: the schema stays, and the event says how to adopt it.
    site.tenant("keep", "");
    site.cluster.apply(&site.extension("keep", 100));
    site.wait_for("keep", "extension/e100", "Ready=True Ready");
    let schema = site.schema("keep", "keep").await.unwrap();
    let id = site.get("keep", "tenant/keep").unwrap()["status"]["tenantId"].as_str().unwrap().to_owned();
    site.cluster.kubectl_ok(&["delete", "tenant", "-n", "keep", "keep", "--timeout=300s"]);
    assert_eq!(site.schema("keep", "keep").await, None, "the tenant is no longer served");
    assert_eq!(site.count(&format!("SELECT count(*) FROM {schema}.extensions")).await, 1);
    let events = site.events("keep", "Retained");
    assert!(events.len() == 1 && events[0].contains(&id) && events[0].contains(&schema), "{events:?}");

    // The Tenant's events are deleted with its namespace; the Lease is elsewhere, and is found as
    // docs/restore.md says.
    site.cluster.kubectl_ok(&["delete", "namespace", "keep", "--timeout=300s"]);
    let find =
        super::restore::documented("the event on the operator's Lease").replace("-n centrex", "-n default");
    let arguments: Vec<_> = find.lines().last().unwrap().split_whitespace().skip(1).collect();
    let told = site.cluster.kubectl_ok(&[&arguments[..], &["-o", "json"]].concat());
    for part in [id.as_str(), &schema, "Tenant keep/keep", "centrex-operator"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(
        operator.log().contains(&format!("a Tenant with tenantId {id} adopts them")),
        "{}",
        operator.log()
    );

    // The new Tenant adopts the schema by its id.
    site.tenant("keep", &format!(", tenantId: {id}, deletionPolicy: Delete"));
    site.cluster.apply(&site.extension("keep", 100));
    site.wait_for("keep", "extension/e100", "Ready=True Ready");
    assert_eq!(site.schema("keep", "keep").await.as_deref(), Some(schema.as_str()));

    // Delete: no data remain.
    site.cluster.kubectl_ok(&["delete", "tenant", "-n", "keep", "keep", "--timeout=300s"]);
    let left = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'");
    assert_eq!(site.count(&left).await, 0);
    assert_eq!(site.count(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{schema}'")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_deleted_with_and_without_a_running_operator() {
    let Some(site) = Site::start("operator::a_namespace_goes").await else { return };
    let operator = site.operator(&[]);
    for name in ["up", "down"] {
        site.tenant(name, ", deletionPolicy: Delete");
        site.cluster.apply(&site.extension(name, 100));
        site.wait_for(name, &format!("tenant/{name}"), "Programmed=True Programmed");
    }
    let down = site.schema("down", "down").await.unwrap();
    site.cluster.kubectl_ok(&["delete", "namespace", "up", "--timeout=300s"]);
    assert_eq!(site.schema("up", "up").await, None);

    operator.end("-KILL");
    site.cluster.kubectl_ok(&["delete", "namespace", "down", "--wait=false"]);
    // Objects without a finalizer are deleted; the Tenant's finalizer waits for the operator.
    let remaining = ["--for=condition=NamespaceFinalizersRemaining", "--timeout=300s", "namespace/down"];
    site.cluster.kubectl_ok(&[&["wait"], &remaining[..]].concat());
    let _operator = site.operator(&[]);
    site.cluster.kubectl_ok(&["wait", "--for=delete", "namespace/down", "--timeout=300s"]);
    assert_eq!(site.count(&format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{down}'")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_crds_first_deletes_the_tenants() {
    let Some(site) = Site::start("operator::deleting_the_crds_first_deletes_the_tenants").await else {
        return;
    };
    let _operator = site.operator(&[]);
    site.tenant("last", ", deletionPolicy: Delete");
    site.cluster.apply(&site.extension("last", 100));
    site.wait_for("last", "tenant/last", "Programmed=True Programmed");
    site.cluster.kubectl_ok(&["delete", "-f", "crds", "--timeout=300s"]);
    assert_eq!(site.count("SELECT count(*) FROM public.tenants").await, 0);

    // The CRDs are installed again: the operator has waited for them.
    site.cluster.install_crds();
    site.tenant("again", "");
    site.wait_for("again", "tenant/again", "Programmed=True Programmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_deletion_reports_its_reason() {
    let Some(site) = Site::start("operator::a_deletion_that_cannot_end").await else { return };
    let _operator = site.operator(&[]);
    site.tenant("stuck", ", deletionPolicy: Delete");
    site.cluster.apply(&site.extension("stuck", 100));
    site.wait_for("stuck", "extension/e100", "Programmed=True Programmed");
    // The login loses the tenant's role, which no retry overcomes.
    let schema = site.schema("stuck", "stuck").await.unwrap();
    let mut admin = site.database.admin().await;
    let revoke = format!("REVOKE {schema} FROM centrex CASCADE; ALTER SCHEMA {schema} OWNER TO CURRENT_USER");
    sqlx::raw_sql(sqlx::AssertSqlSafe(revoke)).execute(&mut admin).await.unwrap();
    site.cluster.kubectl_ok(&["delete", "tenant", "-n", "stuck", "stuck", "--wait=false"]);
    site.wait_for("stuck", "tenant/stuck", "Ready=False CleanupBlocked");
    site.wait_for("stuck", "tenant/stuck", "Stalled=True CleanupBlocked");

    // A switch that appears makes the operator compute all statuses again: leftovers of the tenant get none.
    site.wait_for("stuck", "extension/e100", "Ready=False RefNotFound");
    let version = || site.get("stuck", "extension/e100").unwrap()["metadata"]["resourceVersion"].clone();
    let before = version();
    let _switch = site.switch("late");
    site.tenant("other", "");
    site.wait_for("other", "tenant/other", "Ready=True Ready");
    assert_eq!(version(), before, "its status was written again");

    let grant =
        format!("ALTER SCHEMA {schema} OWNER TO {schema}; GRANT {schema} TO centrex WITH ADMIN OPTION");
    sqlx::raw_sql(sqlx::AssertSqlSafe(grant)).execute(&mut admin).await.unwrap();
    site.cluster.kubectl_ok(&["wait", "-n", "stuck", "--for=delete", "tenant/stuck", "--timeout=300s"]);
    assert_eq!(site.count("SELECT count(*) FROM public.tenants WHERE name <> 'other'").await, 0);
}
