//! `centrex migrate`: brings the schemas of a database up to date.

use clap::Args;

use crate::secrets::keyring::KeyringError;
use crate::store::{Store, StoreArgs, StoreError};

/// Options of `centrex migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StoreArgs,
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

/// Migrates the public schema and every tenant's. A database that is up to date is not changed.
///
/// # Errors
/// When Postgres cannot be reached or refuses, or the keys are not the ones that sealed this database.
pub async fn run(args: MigrateArgs) -> Result<(), MigrateError> {
    let store = Store::connect(&args.store.options::<MigrateError>()?).await?;
    println!("up to date: {} tenants", store.tenants().await?.len());
    Ok(())
}
