//! Options of `centrex operator`; each is an environment variable too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::store::StoreArgs;

/// Options of `centrex operator`.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    /// Namespaces to watch, separated by commas; all namespaces when left out
    #[arg(long, env = "CENTREX_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    /// Folder of SipProfiles, TenantProfiles, DialRules and Namespaces, read once at start: for
    /// --namespaces, where a Role cannot read them from the cluster
    #[arg(long, env = "CENTREX_PLATFORM_MANIFESTS", value_name = "DIR")]
    pub platform_manifests: Option<PathBuf>,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StoreArgs,

    /// Directory of the tenants' media, if it is mounted: a tenant's is removed when its data is deleted
    #[arg(long, env = "CENTREX_MEDIA_DIR", value_name = "DIR")]
    pub media_dir: Option<PathBuf>,

    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "CENTREX_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:8081")]
    pub listen: SocketAddr,

    /// Address of the admission webhook; none when left out
    #[arg(long, env = "CENTREX_WEBHOOK_LISTEN", value_name = "ADDR")]
    pub webhook_listen: Option<SocketAddr>,

    /// Directory with tls.crt and tls.key of the webhook, read again when they change; the operator creates
    /// a certificate of its own when left out
    #[arg(long, env = "CENTREX_WEBHOOK_CERT_DIR", value_name = "DIR")]
    pub webhook_cert_dir: Option<PathBuf>,

    /// Service of the webhook, in the Lease's namespace: the name in the operator's own certificate
    #[arg(long, env = "CENTREX_WEBHOOK_SERVICE", value_name = "NAME")]
    pub webhook_service: Option<String>,

    /// ValidatingWebhookConfiguration that gets the CA of the operator's own certificate
    #[arg(long, env = "CENTREX_WEBHOOK_CONFIGURATION", value_name = "NAME")]
    pub webhook_configuration: Option<String>,

    /// Namespace of the Lease; the pod's when left out, or `default` outside of a pod
    #[arg(long, env = "CENTREX_LEASE_NAMESPACE", value_name = "NAME")]
    pub lease_namespace: Option<String>,

    /// Name of the Lease
    #[arg(long, env = "CENTREX_LEASE_NAME", value_name = "NAME", default_value = "centrex-operator")]
    pub lease_name: String,

    /// Name of this replica in the Lease; the host name when left out
    #[arg(long, env = "CENTREX_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Seconds without a renewal after which another replica takes over
    #[arg(long, env = "CENTREX_LEASE_SECONDS", value_name = "N", default_value = "15", value_parser = lease_seconds)]
    pub lease_seconds: Duration,
}

fn lease_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 3..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("allowed is a whole number from 3 to 3600".to_owned()),
    }
}
