//! The certificate of the listener, from files that another program renews.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::http::client_certificate::{ClientVerifier, UnusableCertificate};

/// How often the files are read again.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// Why the listener has no certificate.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TlsError {
    #[error("{option} {path}: {source}")]
    Read { option: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{option} {path}: no {what} in PEM form: {reason}")]
    Pem { option: &'static str, path: PathBuf, what: &'static str, reason: String },
    #[error("--provision-tls-cert and --provision-tls-key cannot be used: {0}")]
    Pair(UnusableCertificate),
    #[error("--provision-client-ca {path}: {source}")]
    Authorities { path: PathBuf, source: UnusableCertificate },
}

/// Certificate and key, as PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of the certificates that phones have from their makers.
    pub client_authorities: Option<PathBuf>,
}

/// What is in the files of certificate and key.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// A certificate that is served.
pub struct Tls {
    files: TlsFiles,
    served: Pair,
    config: RustlsConfig,
    clients: ClientVerifier,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or has something else in it.
    pub async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let clients = match &files.client_authorities {
            Some(path) => {
                let pem = read("--provision-client-ca", path).await?;
                let authorities = certificates("--provision-client-ca", path, &pem)?;
                let verifier = ClientVerifier::new(authorities);
                verifier.map_err(|source| TlsError::Authorities { path: path.clone(), source })?
            }
            None => ClientVerifier::default(),
        };
        let served = Pair::read(&files).await?;
        let config = RustlsConfig::from_config(served.config(&files, &clients)?);
        Ok(Self { files, served, config, clients })
    }

    /// The configuration of connections, and what verifies the certificates of clients.
    pub fn parts(&self) -> (RustlsConfig, ClientVerifier) {
        (self.config.clone(), self.clients.clone())
    }

    /// Serves a new certificate as soon as there is one, until stopped. Files that cannot be used change nothing.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut logged = String::new();
        while stop.run_until_cancelled(tokio::time::sleep(RENEWAL_INTERVAL)).await.is_some() {
            match self.renew().await {
                Ok(true) => tracing::info!("phones get a new certificate of the server"),
                Ok(false) => logged.clear(),
                Err(error) if error.to_string() != logged => {
                    tracing::error!(%error, "the previous certificate is served to phones");
                    logged = error.to_string();
                }
                Err(_) => {}
            }
        }
    }

    /// Whether the files have another certificate, which is served from then on.
    async fn renew(&mut self) -> Result<bool, TlsError> {
        let pair = Pair::read(&self.files).await?;
        if pair == self.served {
            return Ok(false);
        }
        self.config.reload_from_config(pair.config(&self.files, &self.clients)?);
        self.served = pair;
        Ok(true)
    }
}

impl Pair {
    async fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let certificate = read("--provision-tls-cert", &files.certificate).await?;
        let key = Zeroizing::new(read("--provision-tls-key", &files.key).await?);
        Ok(Self { certificate, key })
    }

    fn config(
        &self,
        files: &TlsFiles,
        clients: &ClientVerifier,
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let chain = certificates("--provision-tls-cert", &files.certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| TlsError::Pem {
            option: "--provision-tls-key",
            path: files.key.clone(),
            what: "private key",
            reason: error.to_string(),
        })?;
        Ok(Arc::new(clients.server_config(chain, key).map_err(TlsError::Pair)?))
    }
}

async fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|source| TlsError::Read { option, path: path.to_owned(), source })
}

fn certificates(
    option: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Pem { option, path: path.to_owned(), what: "certificate", reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() { Err(wrong("the file has none".to_owned())) } else { Ok(read) }
}
