//! Secrets of the installation in `public.system_settings`: a check value that detects a wrong key file, and the
//! key that the dialplan is signed with.

use sqlx::PgConnection;

use super::error::{PgContext, StoreError};
use crate::secrets::keyring::{AssociatedData, Keyring, UnsealError, random, sealed_version};
use crate::secrets::signing_key::SigningKey;

const KEY_CHECK: &str = "key_check";
const SIGNING_KEY: &str = "signing_key";
/// Clear text of the check value.
const KEY_CHECK_TEXT: &[u8] = b"centrex";

fn associated_data(name: &str) -> AssociatedData<'_> {
    AssociatedData { scope: "platform", table: "system_settings", name }
}

/// Refuses a key file that the database was not sealed with. A new database gets a check value; a newer key seals
/// it again.
pub(super) async fn check_key(connection: &mut PgConnection, keyring: &Keyring) -> Result<(), StoreError> {
    let seal = || keyring.seal(associated_data(KEY_CHECK), KEY_CHECK_TEXT);
    let Some(sealed) = read(connection, KEY_CHECK).await? else {
        return write(connection, KEY_CHECK, seal()).await;
    };
    if open_check(keyring, &sealed)? < keyring.version() {
        write(connection, KEY_CHECK, seal()).await?;
    }
    Ok(())
}

/// Like [`check_key`] for a reader, which writes nothing: a database without a check value was not prepared yet.
pub(super) async fn verify_key(connection: &mut PgConnection, keyring: &Keyring) -> Result<(), StoreError> {
    let sealed = read(connection, KEY_CHECK).await?.ok_or_else(missing)?;
    open_check(keyring, &sealed).map(drop)
}

/// Opens the check value, and returns the version of its key.
fn open_check(keyring: &Keyring, sealed: &[u8]) -> Result<u32, StoreError> {
    let version = sealed_version(sealed).unwrap_or_default();
    match keyring.unseal(associated_data(KEY_CHECK), sealed) {
        Ok(_) => Ok(version),
        Err(UnsealError::UnknownVersion(version)) => {
            Err(StoreError::Key { version, reason: "the file has no key of that version" })
        }
        Err(_) => Err(StoreError::Key { version, reason: "the file has another key under that version" }),
    }
}

/// Reads the signing key. A new database gets a random one; a newer key of the keyring seals it again.
pub(super) async fn ensure_signing_key(
    connection: &mut PgConnection,
    keyring: &Keyring,
) -> Result<SigningKey, StoreError> {
    let sealed = read(connection, SIGNING_KEY).await?;
    let key = match &sealed {
        Some(sealed) => open_signing_key(keyring, sealed)?,
        None => SigningKey::new(random()),
    };
    if sealed.and_then(|sealed| sealed_version(&sealed)) != Some(keyring.version()) {
        write(connection, SIGNING_KEY, keyring.seal(associated_data(SIGNING_KEY), key.reveal())).await?;
    }
    Ok(key)
}

/// Reads the signing key for a reader, which writes nothing.
pub(super) async fn signing_key(
    connection: &mut PgConnection,
    keyring: &Keyring,
) -> Result<SigningKey, StoreError> {
    open_signing_key(keyring, &read(connection, SIGNING_KEY).await?.ok_or_else(missing)?)
}

fn open_signing_key(keyring: &Keyring, sealed: &[u8]) -> Result<SigningKey, StoreError> {
    let unreadable = |reason: String| StoreError::unreadable("system_settings", SIGNING_KEY, reason);
    let bytes = keyring
        .unseal(associated_data(SIGNING_KEY), sealed)
        .map_err(|error| unreadable(error.to_string()))?;
    let bytes = bytes.try_into().map_err(|_| unreadable("not 32 bytes long".to_owned()))?;
    Ok(SigningKey::new(bytes))
}

fn missing() -> StoreError {
    StoreError::Unsuitable(
        "the database has not been prepared yet by the operator or by centrex migrate".to_owned(),
    )
}

async fn read(connection: &mut PgConnection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    sqlx::query_scalar("SELECT sealed FROM public.system_settings WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .context("reading system settings")
}

async fn write(connection: &mut PgConnection, name: &str, sealed: Vec<u8>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO public.system_settings (name, sealed) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
    )
    .bind(name)
    .bind(sealed)
    .execute(connection)
    .await
    .context("writing system settings")?;
    Ok(())
}
