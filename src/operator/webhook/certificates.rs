//! The webhook's certificate: read from files, or made and renewed by ourselves.

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

/// How long a certificate holds, and how long before its end it is made anew.
const LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);
const RENEW: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How long the authority holds that signs it.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// Clocks differ.
const SLACK: SignedDuration = SignedDuration::from_hours(1);

/// What is wrong with the webhook's certificate or listener.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CertificateError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("--webhook-cert-dir: {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the webhook's certificate and key cannot be used: {0}")]
    Unusable(std::io::Error),
    #[error("the webhook's certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the webhook's certificate on the API server: {0}")]
    Api(String),
    #[error("--webhook-service and --webhook-configuration are needed where --webhook-cert-dir is left out")]
    Incomplete,
}

impl From<Refusal> for CertificateError {
    fn from(refusal: Refusal) -> Self {
        Self::Api(match refusal {
            Refusal::Failed(cause) => cause.0,
            Refusal::Gone => "it is not there".to_owned(),
            Refusal::Exists | Refusal::Conflict => "others write it all the time".to_owned(),
        })
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    /// Reads `tls.crt` and `tls.key`.
    pub async fn read(directory: &Path) -> Result<Self, CertificateError> {
        let read = async |name| {
            let path = directory.join(name);
            tokio::fs::read(&path).await.map_err(|source| CertificateError::Read { path, source })
        };
        Ok(Self { certificate: read("tls.crt").await?, key: read("tls.key").await? })
    }

    /// What a server needs to serve it.
    pub async fn config(&self) -> Result<RustlsConfig, CertificateError> {
        let config = RustlsConfig::from_pem(self.certificate.clone(), self.key.clone()).await;
        config.map_err(CertificateError::Unusable)
    }

    /// Serves it from now on.
    pub async fn put_into(&self, config: &RustlsConfig) -> Result<(), CertificateError> {
        let done = config.reload_from_pem(self.certificate.clone(), self.key.clone()).await;
        done.map_err(CertificateError::Unusable)
    }
}

/// A certificate of our own, kept in a Secret that all replicas share.
pub struct SelfMade {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    namespace: String,
    service: String,
    configuration: String,
}

impl SelfMade {
    /// For a Service, trusted by a webhook configuration.
    pub fn new(client: Client, namespace: String, service: String, configuration: String) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &namespace),
            configurations: Api::all(client),
            namespace,
            service,
            configuration,
        }
    }

    /// The certificate there is, made or renewed if need be; the API server trusts it then.
    pub async fn pair(&self) -> Result<Pair, CertificateError> {
        let secret = self.secret().await?;
        let value =
            |name: &str| secret.data.iter().flatten().find(|(key, _)| *key == name).map(|(_, v)| v.0.clone());
        let (Some(certificate), Some(key), Some(authority)) =
            (value("tls.crt"), value("tls.key"), value("ca.crt"))
        else {
            return Err(CertificateError::Api(format!("Secret {} is not one of ours", self.secret_name())));
        };
        self.trust(&authority).await?;
        Ok(Pair { certificate, key })
    }

    fn secret_name(&self) -> String {
        format!("{}-tls", self.service)
    }

    /// The Secret, with a certificate that holds long enough.
    async fn secret(&self) -> Result<Secret, CertificateError> {
        let name = self.secret_name();
        let there = self.secrets.get_opt(&name).await.map_err(Refusal::from)?;
        if let Some(there) = &there
            && renew_at(there).is_some_and(|at| Timestamp::now() < at)
        {
            return Ok(there.clone());
        }
        let made = self.make(there.as_ref())?;
        let written = match there {
            Some(_) => self.secrets.replace(&name, &PostParams::default(), &made).await,
            None => self.secrets.create(&PostParams::default(), &made).await,
        };
        match written.map_err(Refusal::from) {
            Ok(written) => Ok(written),
            // Another replica was faster.
            Err(Refusal::Exists | Refusal::Conflict) => {
                Ok(self.secrets.get(&name).await.map_err(Refusal::from)?)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// A new certificate; by the authority there is, so that nobody has to learn a new one.
    fn make(&self, there: Option<&Secret>) -> Result<Secret, CertificateError> {
        let text = |name: &str| {
            let data = there?.data.as_ref()?.get(name)?;
            String::from_utf8(data.0.clone()).ok()
        };
        let now = Timestamp::now();
        let (authority, authority_key) = match (text("ca.crt"), text("ca.key")) {
            (Some(certificate), Some(key)) => (certificate, KeyPair::from_pem(&key)?),
            _ => {
                let key = KeyPair::generate()?;
                (authority(now)?.self_signed(&key)?.pem(), key)
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&authority, &authority_key)?;
        let key = KeyPair::generate()?;
        let certificate = leaf(&self.service, &self.namespace, now)?.signed_by(&key, &issuer)?;
        let data = [
            ("ca.crt", authority),
            ("ca.key", authority_key.serialize_pem()),
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
        ];
        let mut secret = there.cloned().unwrap_or_default();
        secret.metadata.name = Some(self.secret_name());
        secret.metadata.namespace = Some(self.namespace.clone());
        let labels = secret.metadata.labels.get_or_insert_default();
        labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(RENEW_AT.to_owned(), (now + LIFE - RENEW).to_string());
        secret.type_.get_or_insert_with(|| "kubernetes.io/tls".to_owned());
        secret.data = Some(
            data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into_iter().collect(),
        );
        Ok(secret)
    }

    /// Has the API server trust the authority.
    async fn trust(&self, authority: &[u8]) -> Result<(), CertificateError> {
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

/// Annotation of the Secret: when its certificate is to be made anew.
const RENEW_AT: &str = "centrex.dev/renew-at";

fn renew_at(secret: &Secret) -> Option<Timestamp> {
    secret.metadata.annotations.as_ref()?.get(RENEW_AT)?.parse().ok()
}

fn times(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let month = u8::try_from(date.month()).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), month, u8::try_from(date.day()).unwrap_or(1))
    };
    params.not_before = day(now - SLACK);
    params.not_after = day(now + life);
}

fn authority(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Centrex webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    times(&mut params, now, AUTHORITY_LIFE);
    Ok(params)
}

fn leaf(service: &str, namespace: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let service_name = format!("{service}.{namespace}.svc");
    // By URL, where the API server runs beside it.
    let here = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let names = [service_name.clone(), format!("{service_name}.cluster.local")].into_iter().chain(here);
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, service);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    times(&mut params, now, LIFE);
    Ok(params)
}
