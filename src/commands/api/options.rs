//! Options of `centrex api`, and those of serving phones' files in every mode; each is an environment variable too.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::phones::ProvisioningUrls;
use crate::provision::Templates;
use crate::provision::server::{Limits, Listeners, Networks, Options, ServerError, TlsFiles};
use crate::provision::templates::TemplateError;
use crate::store::StoreArgs;

/// Options of `centrex api`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
It serves the files of phones, and nothing else so far: --provision-listen or --provision-http-listen is needed.")]
pub struct ApiArgs {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StoreArgs,

    /// Address of /healthz, /readyz and /metrics, and of nothing else
    #[arg(long, env = "CENTREX_HEALTH_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub provision: ProvisionArgs,
}

/// What an installation gives to all its phones, the same for those that serve their files and those that tell them of
/// new ones.
#[derive(Args, Clone, Debug)]
pub struct SiteArgs {
    /// Address that phones are told to fetch from, such as https://phones.example.com/provision
    #[arg(long, env = "CENTREX_PROVISION_URL", value_name = "URL", value_parser = provision_url)]
    pub provision_url: Option<String>,

    /// Address that phones of Devices with allowHttp are told instead, such as http://phones.example.com/provision; the
    /// same as of all others when left out
    #[arg(long, env = "CENTREX_PROVISION_HTTP_URL", value_name = "URL", value_parser = provision_url, requires = "provision_url")]
    pub provision_http_url: Option<String>,

    /// Time server of phones, a name or an address
    #[arg(long, env = "CENTREX_NTP_SERVER", value_name = "HOST", default_value = "pool.ntp.org", value_parser = host)]
    pub ntp_server: String,
}

impl SiteArgs {
    /// The addresses that phones are told; `None` without one.
    pub fn urls(&self) -> Option<ProvisioningUrls> {
        Some(ProvisioningUrls::new(self.provision_url.as_deref()?, self.provision_http_url.as_deref()))
    }
}

/// Options of serving phones' files, the same in every mode.
#[derive(Args, Clone, Debug)]
pub struct ProvisionArgs {
    /// Address where phones fetch their files over TLS; not served when left out
    #[arg(long, env = "CENTREX_PROVISION_LISTEN", value_name = "ADDR")]
    pub provision_listen: Option<SocketAddr>,

    /// Address where Devices with allowHttp fetch them without TLS, and others are refused; not served when
    /// left out
    #[arg(long, env = "CENTREX_PROVISION_HTTP_LISTEN", value_name = "ADDR")]
    pub provision_http_listen: Option<SocketAddr>,

    /// File with the certificate of that listener and its chain (PEM), read again when it changes
    #[arg(long, env = "CENTREX_PROVISION_TLS_CERT", value_name = "FILE")]
    pub provision_tls_cert: Option<PathBuf>,

    /// File with its key (PEM), read again when it changes
    #[arg(long, env = "CENTREX_PROVISION_TLS_KEY", value_name = "FILE")]
    pub provision_tls_key: Option<PathBuf>,

    /// File with the authorities of certificates that phones have from their makers (PEM): such a certificate
    /// is as good as a password for the file of the MAC address in it; none when left out
    #[arg(long, env = "CENTREX_PROVISION_CLIENT_CA", value_name = "FILE")]
    pub provision_client_ca: Option<PathBuf>,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub site: SiteArgs,

    /// Networks that phones may fetch from, such as 192.0.2.0/24,2001:db8::/32; all when left out
    #[arg(long, env = "CENTREX_PROVISION_ALLOWED_NETWORKS", value_name = "CIDRS")]
    pub provision_allowed_networks: Option<Networks>,

    /// Proxies before these listeners, as networks: X-Forwarded-For and X-Forwarded-Proto count on their
    /// connections only
    #[arg(long, env = "CENTREX_TRUSTED_PROXIES", value_name = "CIDRS")]
    pub trusted_proxies: Option<Networks>,

    /// Directory of templates of phones' files that replace the built-in ones of the same name
    #[arg(long, env = "CENTREX_PROVISION_TEMPLATES", value_name = "DIR")]
    pub provision_templates: Option<PathBuf>,

    /// Most requests of one address in a minute that show no right credential
    #[arg(long, env = "CENTREX_PROVISION_REQUESTS_PER_MINUTE", value_name = "N", default_value_t = Limits::default().requests_per_minute, value_parser = clap::value_parser!(u32).range(1..))]
    pub provision_requests_per_minute: u32,

    /// Most different wrong credentials of one address in ten minutes
    #[arg(long, env = "CENTREX_PROVISION_GUESSES", value_name = "N", default_value_t = Limits::default().guesses, value_parser = clap::value_parser!(u32).range(1..))]
    pub provision_guesses: u32,

    /// Most files of one Device in an hour
    #[arg(long, env = "CENTREX_PROVISION_FETCHES_PER_HOUR", value_name = "N", default_value_t = Limits::default().fetches_per_hour, value_parser = clap::value_parser!(u32).range(1..))]
    pub provision_fetches_per_hour: u32,
}

/// What is wrong with the options of serving phones' files.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProvisionError {
    #[error("--provision-tls-cert and --provision-tls-key are required with --provision-listen")]
    NoCertificate,
    #[error(
        "--provision-url is required with --provision-listen and --provision-http-listen: phones are told to fetch from there"
    )]
    NoUrl,
    #[error("--provision-templates: {0}")]
    Templates(#[from] TemplateError),
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl ProvisionArgs {
    /// Opens the listeners; `None` if no address is given.
    ///
    /// # Errors
    /// The first option that is wrong, with what is allowed.
    pub async fn open(&self) -> Result<Option<(Options, Listeners)>, ProvisionError> {
        if self.provision_listen.is_none() && self.provision_http_listen.is_none() {
            return Ok(None);
        }
        let urls = self.site.urls().ok_or(ProvisionError::NoUrl)?;
        let options = Options {
            urls,
            ntp_server: self.site.ntp_server.clone(),
            allowed_networks: self.provision_allowed_networks.clone().unwrap_or_default(),
            trusted_proxies: self.trusted_proxies.clone().unwrap_or_default(),
            limits: Limits {
                requests_per_minute: self.provision_requests_per_minute,
                guesses: self.provision_guesses,
                fetches_per_hour: self.provision_fetches_per_hour,
            },
            templates: match &self.provision_templates {
                Some(directory) => Templates::with_overrides(directory)?,
                None => Templates::built_in()?,
            },
        };
        let tls = match (self.provision_listen, &self.provision_tls_cert, &self.provision_tls_key) {
            (None, ..) => None,
            (Some(address), Some(certificate), Some(key)) => Some((
                address,
                TlsFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_authorities: self.provision_client_ca.clone(),
                },
            )),
            (Some(_), ..) => return Err(ProvisionError::NoCertificate),
        };
        let listeners = Listeners::bind(tls, self.provision_http_listen, &options.trusted_proxies).await?;
        Ok(Some((options, listeners)))
    }
}

/// An address of files, without a slash at its end: plain text in every format of a file.
pub fn provision_url(text: &str) -> Result<String, String> {
    let wrong = || {
        "write it such as https://phones.example.com/provision, with letters, digits and . - _ ~ only"
            .to_owned()
    };
    let text = text.trim_end_matches('/');
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
    let legal =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '/' | ':' | '[' | ']');
    let host = rest.split('/').next().unwrap_or_default();
    let is_legal = text.len() <= 200 && !host.is_empty() && rest.chars().all(legal) && !rest.contains("//");
    if is_legal { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// A host name or address.
pub fn host(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let is_legal = !text.is_empty() && text.len() <= 253 && text.chars().all(legal);
    if is_legal { Ok(text.to_owned()) } else { Err("allowed is a host name or an address".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_text() {
        for good in
            ["https://phones.example.com/provision", "http://192.0.2.1:8080/a/b", "https://[2001:db8::1]"]
        {
            assert_eq!(provision_url(good).as_deref(), Ok(good));
            assert_eq!(provision_url(&format!("{good}/")).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "https://",
            "ftp://x",
            "https://u:p@x",
            "https://x/?a=b",
            "https://x/a b",
            "https://x//y",
            "https://x/$mac",
        ] {
            assert!(provision_url(bad).is_err(), "{bad}");
        }
        assert!(host("pool.ntp.org").is_ok() && host("2001:db8::1").is_ok());
        assert!(host("").is_err() && host("a b").is_err() && host("a;b").is_err());
    }
}
