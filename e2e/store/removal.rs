//! Removed tenants: retained or dropped, and by their owner only.

use centrex::plan::TenantPlan;
use centrex::resources::tenant::DeletionPolicy;
use centrex::store::{Removed, Store, StoreError, tenant_schema};

use crate::plans;
use crate::postgres::{Database, keyring};

/// Whether schema and role exist, and the number of claims that the tenant holds.
async fn left(store: &Store, plan: &TenantPlan) -> (bool, bool, i64) {
    sqlx::query_as(
        "SELECT to_regnamespace($1) IS NOT NULL, to_regrole($1) IS NOT NULL,
                (SELECT count(*) FROM public.domains WHERE tenant_id = $2)
                + (SELECT count(*) FROM public.numbers WHERE tenant_id = $2)",
    )
    .bind(tenant_schema(plan.tenant.id))
    .bind(plan.tenant.id)
    .fetch_one(store.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_tenant_is_retained_and_adopted_again() {
    let Some(database) = Database::start("store: retain").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut plan = plans::tenant_with("acme", 2);
    plan.numbers.insert("main".to_owned(), plans::number("+493011111", "e100"));
    let id = plan.tenant.id;
    store.write_tenant(&plan).await.unwrap();

    let error = store.remove_tenant(id, "somebody-else", None).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::NotOwner { owner, .. } if *owner == plan.tenant.owner_uid),
        "{error}"
    );
    assert_eq!(left(&store, &plan).await, (true, true, 2));

    assert_eq!(store.remove_tenant(id, &plan.tenant.owner_uid, None).await.unwrap(), Removed::Retained);
    assert_eq!(left(&store, &plan).await, (true, true, 0));
    assert!(store.reader().load_tenant(id).await.unwrap().is_none());
    assert!(store.reader().revisions(store.pool()).await.unwrap().tenants.is_empty());
    assert!(store.tenants().await.unwrap()[0].retained);
    assert_eq!(store.remove_tenant(id, &plan.tenant.owner_uid, None).await.unwrap(), Removed::Retained);

    // Its name, domain and number can be used again.
    let mut heir = plans::tenant_with("acme", 1);
    heir.numbers.insert("main".to_owned(), plans::number("+493011111", "e100"));
    store.write_tenant(&heir).await.unwrap();
    store.remove_tenant(heir.tenant.id, &heir.tenant.owner_uid, None).await.unwrap();

    // A new Tenant resource adopts it by its id; the rows were kept.
    plan.tenant.owner_uid = "uid-of-the-next".to_owned();
    let written = store.write_tenant(&plan).await.unwrap();
    assert_eq!((written.changed, written.rows_written), (true, 0));
    assert_eq!(store.reader().load_tenant(id).await.unwrap().unwrap().1, plan);
    assert_eq!(left(&store, &plan).await, (true, true, 2));
}

#[tokio::test]
async fn a_tenant_with_the_delete_policy_is_dropped() {
    let Some(database) = Database::start("store: drop").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut plan = plans::tenant_with("acme", 2);
    plan.tenant.deletion_policy = DeletionPolicy::Delete;
    let other = plans::tenant_with("other", 2);
    store.write_tenant(&plan).await.unwrap();
    store.write_tenant(&other).await.unwrap();

    assert!(store.remove_tenant(plan.tenant.id, "somebody-else", None).await.is_err());
    assert_eq!(left(&store, &plan).await, (true, true, 1));
    let owner = plan.tenant.owner_uid.clone();
    assert_eq!(store.remove_tenant(plan.tenant.id, &owner, None).await.unwrap(), Removed::Dropped);
    assert_eq!(left(&store, &plan).await, (false, false, 0));
    assert_eq!(store.remove_tenant(plan.tenant.id, &owner, None).await.unwrap(), Removed::Absent);
    assert_eq!(store.reader().load_tenant(other.tenant.id).await.unwrap().unwrap().1, other);
    // It can be created again.
    assert_eq!(store.write_tenant(&plan).await.unwrap().rows_written, 2);
}

#[tokio::test]
async fn the_policy_of_the_deleted_resource_decides() {
    let Some(database) = Database::start("store: policy at deletion").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let retain = plans::tenant_with("retain", 1);
    store.write_tenant(&retain).await.unwrap();
    let removed = |plan: &TenantPlan, policy| {
        let (store, id, owner) = (store.clone(), plan.tenant.id, plan.tenant.owner_uid.clone());
        async move { store.remove_tenant(id, &owner, policy).await.unwrap() }
    };
    // Set to Delete, and deleted, while no operator ran.
    assert_eq!(removed(&retain, Some(DeletionPolicy::Delete)).await, Removed::Dropped);
    assert_eq!(left(&store, &retain).await, (false, false, 0));

    // The other way round. A second removal, without the resource, does not drop the schema.
    let mut delete = plans::tenant_with("delete", 1);
    delete.tenant.deletion_policy = DeletionPolicy::Delete;
    store.write_tenant(&delete).await.unwrap();
    assert_eq!(removed(&delete, Some(DeletionPolicy::Retain)).await, Removed::Retained);
    assert_eq!(removed(&delete, None).await, Removed::Retained);
    assert_eq!(left(&store, &delete).await, (true, true, 0));
    assert_eq!(removed(&delete, Some(DeletionPolicy::Delete)).await, Removed::Dropped);
    assert_eq!(left(&store, &delete).await, (false, false, 0));
}

#[tokio::test]
async fn a_live_tenant_is_found_by_its_name() {
    let Some(database) = Database::start("store: tenant by name").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let old = plans::tenant_with("acme", 1);
    store.write_tenant(&old).await.unwrap();
    let (namespace, name) = (old.tenant.namespace.as_str(), old.tenant.name.as_str());

    // Deleted and created again with another UID while no operator ran: the old tenant has the name.
    let new = plans::tenant_with("acme", 1);
    let error = store.write_tenant(&new).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    let found = store.tenant_named(namespace, name).await.unwrap().unwrap();
    assert_eq!(
        (found.id, found.owner_uid.as_str(), found.retained),
        (old.tenant.id, old.tenant.owner_uid.as_str(), false)
    );
    store.remove_tenant(found.id, &found.owner_uid, None).await.unwrap();
    assert_eq!(store.tenant_named(namespace, name).await.unwrap(), None);
    store.write_tenant(&new).await.unwrap();
    assert_eq!(store.tenant_named(namespace, name).await.unwrap().unwrap().id, new.tenant.id);
    assert_eq!(store.tenant_named("elsewhere", name).await.unwrap(), None);
}

// A cleanup that fails because schema or role are missing would keep the finalizer for ever.
#[tokio::test]
async fn a_tenant_whose_schema_is_missing_is_removed() {
    let Some(database) = Database::start("store: dropped before").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    for role_too in [false, true] {
        let mut plan = plans::tenant_with("acme", 2);
        plan.tenant.deletion_policy = DeletionPolicy::Delete;
        store.write_tenant(&plan).await.unwrap();
        let schema = tenant_schema(plan.tenant.id);
        let role =
            if role_too { format!("DROP OWNED BY {schema}; DROP ROLE {schema};") } else { String::new() };
        let drop = format!("DROP SCHEMA {schema} CASCADE; {role}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut database.admin().await).await.unwrap();
        let owner = plan.tenant.owner_uid.clone();
        assert_eq!(store.remove_tenant(plan.tenant.id, &owner, None).await.unwrap(), Removed::Dropped);
        assert_eq!(left(&store, &plan).await, (false, false, 0));
    }
}
