//! Options of every role that needs the store; each is an environment variable too.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Keyring, KeyringError, StoreError, StoreOptions};

/// Where the store is, and what its secrets are sealed with.
#[derive(Args, Clone, Debug)]
pub struct StoreArgs {
    /// Postgres, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "CENTREX_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: String,

    /// File with the keys that secrets are sealed with, a line `VERSION:BASE64` each
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: PathBuf,
}

impl StoreArgs {
    /// What they say, with the keys read.
    ///
    /// # Errors
    /// The file or the URL is not what it should be.
    pub fn options<E: From<KeyringError> + From<StoreError>>(&self) -> Result<StoreOptions, E> {
        let keyring = Arc::new(Keyring::read_file(&self.encryption_key_file)?);
        Ok(StoreOptions::from_url(&self.database_url, keyring)?)
    }
}
