//! `centrex migrate`: a database brought up to date, without anything else.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::store::{Keyring, KeyringError, Store, StoreError, StoreOptions};

/// Options of `centrex migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Postgres to migrate, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "CENTREX_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: String,

    /// File with the keys that secrets are sealed with, a line `VERSION:BASE64` each
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: PathBuf,
}

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum MigrateError {
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Migrates: the public schema and every tenant's. A database that is up to date stays as it is.
///
/// # Errors
/// Postgres is out of reach or refuses, or the keys are not the database's.
pub async fn run(args: MigrateArgs) -> Result<(), MigrateError> {
    let keyring = Arc::new(Keyring::read_file(&args.encryption_key_file)?);
    let store = Store::connect(&StoreOptions::from_url(&args.database_url, keyring)?).await?;
    println!("up to date: {} tenants", store.tenants().await?.len());
    Ok(())
}
