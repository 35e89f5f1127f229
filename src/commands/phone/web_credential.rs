//! `centrex phone web-credential`: what a browser registers with.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::secrets::ice::{IceServers, IceUrl, NoTurnSecret};
use crate::secrets::keyring::KeyringError;
use crate::secrets::web_credential::WebCredential;
use crate::source::TenantKey;
use crate::store::{Reader, StoreArgs, StoreError};

/// Options of `centrex phone web-credential`.
#[derive(Args, Clone, Debug)]
pub struct WebCredentialArgs {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StoreArgs,

    /// Tenant
    #[arg(long, env = "CENTREX_TENANT", value_name = "NAMESPACE/NAME", value_parser = super::super::trace::tenant)]
    pub tenant: TenantKey,

    /// Extension, by its name or number
    #[arg(long, env = "CENTREX_EXTENSION", value_name = "NAME")]
    pub extension: String,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub ice: IceArgs,
}

/// STUN and TURN servers of browsers.
#[derive(Args, Clone, Debug)]
pub struct IceArgs {
    /// STUN or TURN server that browsers use, such as stun:stun.example.com:3478; may be given several times
    #[arg(long, env = "CENTREX_ICE_SERVER", value_name = "URL", value_delimiter = ',')]
    pub ice_server: Vec<IceUrl>,

    /// File with the secret that TURN servers share with Centrex (coturn's static-auth-secret)
    #[arg(long, env = "CENTREX_TURN_SECRET_FILE", value_name = "FILE")]
    pub turn_secret_file: Option<PathBuf>,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum WebCredentialError {
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("--turn-secret-file {path}: {source}")]
    TurnSecret { path: PathBuf, source: std::io::Error },
    #[error("--ice-server: {0} (--turn-secret-file)")]
    NoTurnSecret(#[from] NoTurnSecret),
    #[error("--tenant {0}: no such tenant is stored")]
    Tenant(TenantKey),
    #[error("--extension {0}: the tenant has no extension of that name or number with a password")]
    Extension(String),
    #[error("the credential cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl IceArgs {
    /// The servers, with the secret read.
    ///
    /// # Errors
    /// The file cannot be read, or is missing with a TURN server.
    pub fn servers(&self) -> Result<IceServers, WebCredentialError> {
        let secret = match &self.turn_secret_file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| WebCredentialError::TurnSecret { path: path.clone(), source })?,
        };
        Ok(IceServers::new(self.ice_server.clone(), secret.trim())?)
    }
}

/// Prints the credential as JSON.
///
/// # Errors
/// The database or a file cannot be read, or there is no such extension.
pub(super) async fn run(args: WebCredentialArgs) -> Result<(), WebCredentialError> {
    let ice = args.ice.servers()?;
    let reader = Reader::lazy(&args.store.options::<WebCredentialError>()?);
    let key = reader.signing_key().await?;
    let unknown = || WebCredentialError::Tenant(args.tenant.clone());
    let tenant = reader.tenant_named(&args.tenant.namespace, &args.tenant.name).await?.ok_or_else(unknown)?;
    let (_, plan) = reader.load_tenant(tenant.id).await?.ok_or_else(unknown)?;
    let credential = WebCredential::new(&key, &plan, &args.extension, &ice, Timestamp::now())
        .ok_or(WebCredentialError::Extension(args.extension))?;
    println!("{}", serde_json::to_string_pretty(&credential)?);
    Ok(())
}
