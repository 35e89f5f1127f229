//! Options of `centrex standalone`; each is an environment variable too.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Options of `centrex standalone`.
#[derive(Args, Clone, Debug)]
pub struct StandaloneArgs {
    /// Folder of the manifests: YAML and JSON, sub-folders included; changes are followed
    #[arg(long, env = "CENTREX_MANIFESTS", value_name = "DIR")]
    pub manifests: PathBuf,

    /// Directory for everything that is kept: keys, Postgres, generated Secrets, the last good state
    #[arg(long, env = "CENTREX_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Postgres to use, postgres://USER:PASSWORD@HOST:PORT/DATABASE; one of its own when left out
    #[arg(long, env = "CENTREX_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// File with the keys that secrets are sealed with, a line `VERSION:BASE64` each; made under the
    /// data directory when left out
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<PathBuf>,

    /// Address where FreeSWITCH's mod_xml_curl is answered
    #[arg(long, env = "CENTREX_XML_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub xml_listen: SocketAddr,

    /// User name FreeSWITCH sends; needed unless it listens on loopback
    #[arg(long, env = "CENTREX_XML_USERNAME", value_name = "NAME")]
    pub xml_username: Option<String>,

    /// Password FreeSWITCH sends; better given by its environment variable
    #[arg(long, env = "CENTREX_XML_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub xml_password: Option<String>,

    /// Directory of templates that replace the built-in ones of the same name
    #[arg(long, env = "CENTREX_TEMPLATES", value_name = "DIR")]
    pub templates: Option<PathBuf>,

    /// Directory of the tenants' media, as FreeSWITCH sees it; under the data directory when left out
    #[arg(long, env = "CENTREX_MEDIA_DIR", value_name = "DIR")]
    pub media_dir: Option<PathBuf>,
}
