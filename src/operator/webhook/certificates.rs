//! The webhook's serving certificate: read from files, or issued and renewed by the operator.

use std::path::{Path, PathBuf};

use axum_server::tls_rustls::RustlsConfig;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::http::listener::ListenError;
use crate::operator::api::{MANAGER, Refusal};

/// Lifetime of an issued certificate.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How long before its expiry a certificate is renewed.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Lifetime of the certificate authority.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// How far the clock of the API server may be behind.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Why the webhook has no certificate or no listener.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CertificateError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("--webhook-cert-dir: {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the webhook's certificate and key cannot be used: {0}")]
    Unusable(std::io::Error),
    #[error("the webhook's certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("the API server, about the webhook's certificate: {0}")]
    Api(String),
    #[error("--webhook-service and --webhook-configuration are required without --webhook-cert-dir")]
    Incomplete,
}

impl From<Refusal> for CertificateError {
    fn from(refusal: Refusal) -> Self {
        Self::Api(match refusal {
            Refusal::Failed(cause) => cause.0,
            Refusal::Gone => "not found".to_owned(),
            Refusal::Exists | Refusal::Conflict => "conflict with another writer".to_owned(),
        })
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsPair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl TlsPair {
    /// Reads `tls.crt` and `tls.key` of a directory.
    ///
    /// # Errors
    /// A file is missing or unreadable.
    pub async fn read(directory: &Path) -> Result<Self, CertificateError> {
        let read = async |name| {
            let path = directory.join(name);
            tokio::fs::read(&path).await.map_err(|source| CertificateError::Read { path, source })
        };
        Ok(Self { certificate: read("tls.crt").await?, key: read("tls.key").await? })
    }

    /// The TLS configuration of a server with this certificate.
    ///
    /// # Errors
    /// The certificate or key is not PEM, or they do not belong together.
    pub async fn config(&self) -> Result<RustlsConfig, CertificateError> {
        let config = RustlsConfig::from_pem(self.certificate.clone(), self.key.clone()).await;
        config.map_err(CertificateError::Unusable)
    }

    /// Replaces the certificate of a running server, for new connections.
    ///
    /// # Errors
    /// As [`TlsPair::config`].
    pub async fn load_into(&self, config: &RustlsConfig) -> Result<(), CertificateError> {
        let loaded = config.reload_from_pem(self.certificate.clone(), self.key.clone()).await;
        loaded.map_err(CertificateError::Unusable)
    }
}

/// Issues the certificate, and stores it in a Secret that all replicas share.
pub struct CertificateIssuer {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    namespace: String,
    service: String,
    configuration: String,
}

impl CertificateIssuer {
    /// For a Service, with the authority as `caBundle` of a ValidatingWebhookConfiguration.
    pub fn new(client: Client, namespace: String, service: String, configuration: String) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &namespace),
            configurations: Api::all(client),
            namespace,
            service,
            configuration,
        }
    }

    /// The current certificate, issued or renewed where necessary. The API server trusts it afterwards.
    ///
    /// # Errors
    /// The API server refuses, or the Secret was made by something else.
    pub async fn pair(&self) -> Result<TlsPair, CertificateError> {
        let secret = self.secret().await?;
        let value =
            |name: &str| secret.data.iter().flatten().find(|(key, _)| *key == name).map(|(_, v)| v.0.clone());
        let (Some(certificate), Some(key), Some(authority)) =
            (value("tls.crt"), value("tls.key"), value("ca.crt"))
        else {
            return Err(CertificateError::Api(format!(
                "Secret {} has no tls.crt, tls.key and ca.crt",
                self.secret_name()
            )));
        };
        self.publish_authority(&authority).await?;
        Ok(TlsPair { certificate, key })
    }

    fn secret_name(&self) -> String {
        format!("{}-tls", self.service)
    }

    /// The Secret, with a certificate that is not due for renewal.
    async fn secret(&self) -> Result<Secret, CertificateError> {
        let name = self.secret_name();
        let existing = self.secrets.get_opt(&name).await.map_err(Refusal::from)?;
        if let Some(existing) = &existing
            && renew_at(existing).is_some_and(|at| Timestamp::now() < at)
        {
            return Ok(existing.clone());
        }
        let issued = self.issue(existing.as_ref())?;
        let written = match existing {
            Some(_) => self.secrets.replace(&name, &PostParams::default(), &issued).await,
            None => self.secrets.create(&PostParams::default(), &issued).await,
        };
        match written.map_err(Refusal::from) {
            Ok(written) => Ok(written),
            // Another replica wrote first.
            Err(Refusal::Exists | Refusal::Conflict) => {
                Ok(self.secrets.get(&name).await.map_err(Refusal::from)?)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// A new certificate of the existing authority, which the API server trusts already, or of a new one.
    fn issue(&self, existing: Option<&Secret>) -> Result<Secret, CertificateError> {
        let text = |name: &str| {
            let data = existing?.data.as_ref()?.get(name)?;
            String::from_utf8(data.0.clone()).ok()
        };
        let now = Timestamp::now();
        let (authority, authority_key) = match (text("ca.crt"), text("ca.key")) {
            (Some(certificate), Some(key)) => (certificate, KeyPair::from_pem(&key)?),
            _ => {
                let key = KeyPair::generate()?;
                (authority_params(now)?.self_signed(&key)?.pem(), key)
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&authority, &authority_key)?;
        let key = KeyPair::generate()?;
        let certificate = serving_params(&self.service, &self.namespace, now)?.signed_by(&key, &issuer)?;
        let data = [
            ("ca.crt", authority),
            ("ca.key", authority_key.serialize_pem()),
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
        ];
        let mut secret = existing.cloned().unwrap_or_default();
        secret.metadata.name = Some(self.secret_name());
        secret.metadata.namespace = Some(self.namespace.clone());
        let labels = secret.metadata.labels.get_or_insert_default();
        labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(RENEW_AT.to_owned(), (now + LIFETIME - RENEW_BEFORE).to_string());
        secret.type_.get_or_insert_with(|| "kubernetes.io/tls".to_owned());
        secret.data = Some(
            data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into_iter().collect(),
        );
        Ok(secret)
    }

    /// Writes the authority into the webhook configuration, so that the API server trusts it.
    async fn publish_authority(&self, authority: &[u8]) -> Result<(), CertificateError> {
        let now = self.configurations.get(&self.configuration).await.map_err(Refusal::from)?;
        let webhooks = now.webhooks.unwrap_or_default();
        let trusted =
            |bundle: &Option<ByteString>| bundle.as_ref().is_some_and(|bundle| bundle.0 == authority);
        if webhooks.iter().all(|webhook| trusted(&webhook.client_config.ca_bundle)) {
            return Ok(());
        }
        let bundle = ByteString(authority.to_vec());
        let webhooks: Vec<_> = webhooks
            .into_iter()
            .map(|webhook| json!({ "name": webhook.name, "clientConfig": { "caBundle": bundle } }))
            .collect();
        let patch = Patch::Strategic(json!({ "webhooks": webhooks }));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        self.configurations.patch(&self.configuration, &params, &patch).await.map_err(Refusal::from)?;
        Ok(())
    }
}

/// Annotation of the Secret: when its certificate is due for renewal.
const RENEW_AT: &str = "centrex.dev/renew-at";

fn renew_at(secret: &Secret) -> Option<Timestamp> {
    secret.metadata.annotations.as_ref()?.get(RENEW_AT)?.parse().ok()
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: SignedDuration) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let month = u8::try_from(date.month()).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), month, u8::try_from(date.day()).unwrap_or(1))
    };
    params.not_before = day(now - CLOCK_SKEW);
    params.not_after = day(now + lifetime);
}

fn authority_params(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Centrex webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, now, CA_LIFETIME);
    Ok(params)
}

fn serving_params(service: &str, namespace: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let service_name = format!("{service}.{namespace}.svc");
    // An API server on the same host may be configured with a URL.
    let local = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let names = [service_name.clone(), format!("{service_name}.cluster.local")].into_iter().chain(local);
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, service);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, now, LIFETIME);
    Ok(params)
}
