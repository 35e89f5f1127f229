//! Options of every command that uses the store. Each can be set by an environment variable too.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{StoreError, StoreOptions};
use crate::secrets::keyring::{Keyring, KeyringError};

/// Where Postgres is, and the keys of its secrets.
#[derive(Args, Clone, Debug)]
pub struct StoreArgs {
    /// Postgres, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(
        long,
        env = "CENTREX_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        required_unless_present = "database_url_file"
    )]
    pub database_url: Option<String>,

    /// File with that URL, used instead of --database-url and read again when it changes: a new password needs
    /// no restart
    #[arg(long, env = "CENTREX_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,

    /// File with the keys that secrets are sealed with, a line `VERSION:BASE64` each
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: PathBuf,
}

impl StoreArgs {
    /// Options of the store, with the key file read.
    ///
    /// # Errors
    /// When the URL, the file with the URL or the key file is invalid, or a file cannot be read.
    pub fn options<E: From<KeyringError> + From<StoreError>>(&self) -> Result<StoreOptions, E> {
        let keyring = Arc::new(Keyring::read_file(&self.encryption_key_file)?);
        let options = match &self.database_url_file {
            Some(file) => StoreOptions::from_url_file(file, keyring),
            None => StoreOptions::from_url(self.database_url.as_deref().unwrap_or_default(), keyring),
        };
        Ok(options?)
    }
}
