//! Options of `centrex standalone`; each is an environment variable too.

use std::path::PathBuf;

use clap::Args;

use super::StandaloneError;
use crate::commands::api::ProvisionArgs;
use crate::commands::switch::AnswerArgs;
use crate::local_postgres::LocalPostgres;
use crate::secrets::keyring::Keyring;
use crate::source::folder::Folder;
use crate::store::parse_url;

/// Options of `centrex standalone`.
#[derive(Args, Clone, Debug)]
pub struct StandaloneArgs {
    /// Folder of the manifests: YAML and JSON, sub-folders included; changes are followed
    #[arg(long, env = "CENTREX_MANIFESTS", value_name = "DIR")]
    pub manifests: PathBuf,

    /// Directory of everything that is kept: keys, Postgres, generated Secrets, the last good state
    #[arg(long, env = "CENTREX_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Postgres to use, postgres://USER:PASSWORD@HOST:PORT/DATABASE; one of its own when left out
    #[arg(long, env = "CENTREX_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// File with the keys that secrets are sealed with, a line `VERSION:BASE64` each; made under the
    /// data directory when left out
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<PathBuf>,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub answer: AnswerArgs,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub provision: ProvisionArgs,
}

impl StandaloneArgs {
    /// Checks all options together, before any directory is created or any process started.
    ///
    /// # Errors
    /// The first option that is wrong, with what is allowed.
    pub(super) async fn check(&self) -> Result<(), StandaloneError> {
        Folder::check(&self.manifests)?;
        self.answer.check().await?;
        drop(self.provision.open().await?);
        if let Some(path) = &self.encryption_key_file {
            Keyring::read_file(path)?;
        }
        match &self.database_url {
            Some(url) => drop(parse_url(url)?),
            None => LocalPostgres::check(&self.data_dir)?,
        }
        Ok(())
    }
}
