//! Encryption keys: the right one, a wrong one, a rotation; and no secret is readable without one.

use centrex::secrets::keyring::{Keyring, KeyringError};
use centrex::store::{Store, StoreError};
use sqlx::AssertSqlSafe;

use crate::plans;
use crate::postgres::{Database, keyring};

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_at_start() {
    let Some(database) = Database::start("store: wrong key").await else { return };
    let signing = *database.store(&keyring(&[(3, 'a')])).await.signing_key().reveal();

    let wrong = Store::connect(&database.store_options(&keyring(&[(3, 'b')]))).await.unwrap_err();
    assert!(matches!(wrong, StoreError::Key { version: 3, .. }));
    assert!(
        wrong.to_string().contains("--encryption-key-file") && wrong.to_string().contains('3'),
        "{wrong}"
    );
    let missing = Store::connect(&database.store_options(&keyring(&[(4, 'b')]))).await.unwrap_err();
    assert!(matches!(missing, StoreError::Key { version: 3, .. }), "{missing}");

    // A new key file does not open a database that was sealed with another one.
    let directory = tempfile::tempdir().unwrap();
    let fresh = std::sync::Arc::new(Keyring::generate_file(&directory.path().join("keys")).unwrap());
    let error = Store::connect(&database.store_options(&fresh)).await.unwrap_err();
    assert!(matches!(error, StoreError::Key { version: 3, .. }), "{error}");

    let again = database.store(&keyring(&[(3, 'a')])).await;
    assert_eq!(*again.signing_key().reveal(), signing);
}

#[tokio::test]
async fn a_key_rotation_reseals_all_secrets() {
    let Some(database) = Database::start("store: key rotation").await else { return };
    let old = database.store(&keyring(&[(1, 'a')])).await;
    let (platform, tenant) = (plans::platform(), plans::tenant_with("acme", 4));
    old.write_platform(&platform).await.unwrap();
    old.write_tenant(&tenant).await.unwrap();
    let signing = *old.signing_key().reveal();

    let both = database.store(&keyring(&[(1, 'a'), (2, 'b')])).await;
    assert_eq!(both.reader().load_tenant(tenant.tenant.id).await.unwrap().unwrap().1, tenant);
    assert_eq!(both.write_tenant(&tenant).await.unwrap().rows_written, 4);
    assert_eq!(both.write_platform(&platform).await.unwrap().rows_written, 2);
    assert!(!both.write_tenant(&tenant).await.unwrap().changed);

    // The old key is no longer needed.
    let new = database.store(&keyring(&[(2, 'b')])).await;
    assert_eq!(new.reader().load_tenant(tenant.tenant.id).await.unwrap().unwrap().1, tenant);
    assert_eq!(new.reader().load_platform().await.unwrap().1, platform);
    assert_eq!(*new.signing_key().reveal(), signing);
    // The old key file alone is refused.
    let error = Store::connect(&database.store_options(&keyring(&[(1, 'a')]))).await.unwrap_err();
    assert!(matches!(error, StoreError::Key { version: 2, .. }), "{error}");
}

#[tokio::test]
async fn no_secret_is_in_any_table() {
    let Some(database) = Database::start("store: no secret in any table").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let tenant = plans::tenant_with("acme", 2);
    store.write_platform(&plans::platform()).await.unwrap();
    store.write_tenant(&tenant).await.unwrap();
    let mut admin = database.admin().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let mut text = String::new();
    for table in &tables {
        // As text, and the bytes of every bytea as text.
        let sql = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut admin).await.unwrap();
        // Digits of a bytea are read as its bytes only: random ones can hold the five digits of a PIN.
        for (index, word) in rows.split("\\\\x").enumerate() {
            let end = if index == 0 {
                0
            } else {
                word.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(word.len())
            };
            let (digits, rest) = word.split_at(end);
            text.push_str(&String::from_utf8_lossy(&hex::decode(digits).unwrap()));
            text.push_str(rest);
        }
    }
    assert!(text.contains("Phone 100") && text.contains("sip.example.net"), "the search sees rows");
    for secret in ["open-sesame", "77100", "carrier-sesame"] {
        assert!(!text.contains(secret), "{secret} is readable");
    }
    let signing = store.signing_key().reveal();
    assert!(!text.contains(&hex::encode(signing)));
}

#[tokio::test]
async fn a_sealed_value_cannot_be_moved() {
    let Some(database) = Database::start("store: moved sealed value").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let tenant = plans::tenant_with("acme", 2);
    store.write_tenant(&tenant).await.unwrap();
    let schema = centrex::store::tenant_schema(tenant.tenant.id);
    let sql = format!(
        "UPDATE {schema}.extensions SET sealed = (SELECT sealed FROM {schema}.extensions WHERE name = 'e100')
         WHERE name = 'e101'"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database.admin().await).await.unwrap();
    let error = store.reader().load_tenant(tenant.tenant.id).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreadable { name, .. } if name == "e101"), "{error}");
}

#[test]
fn an_invalid_key_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    assert!(matches!(Keyring::read_file(&path), Err(KeyringError::Absent(_))));
    Keyring::generate_file(&path).unwrap();
    let again = Keyring::generate_file(&path).unwrap_err();
    assert!(matches!(again, KeyringError::Io { .. }), "{again}");

    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Keyring::read_file(&path).unwrap_err().to_string();
    assert!(error.contains("--encryption-key-file") && error.contains("0644"), "{error}");

    // As kubelet mounts a Secret with fsGroup: owned by root, readable by a group.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
    let roots = std::fs::metadata(&path).unwrap().uid() == 0;
    assert_eq!(Keyring::read_file(&path).is_ok(), roots, "a group reads what root gives it, and that alone");

    for (text, says) in [
        ("", "no key"),
        ("# only a comment\n", "no key"),
        ("1 AAAA", "line 1: no colon"),
        ("\nzero:AAAA", "line 2: VERSION"),
        ("0:AAAA", "VERSION"),
        ("1:§", "base64"),
        ("1:AAAA", "32 bytes"),
    ] {
        let error = Keyring::parse(&path, text).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("--encryption-key-file"), "{text:?}: {error}");
    }
    let line = format!("1:{}=\n", "A".repeat(43));
    assert!(Keyring::parse(&path, &line.repeat(2)).unwrap_err().to_string().contains("twice"));
}
