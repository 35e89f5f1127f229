//! Options of the sidecar; each is an environment variable too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::esl::EslArgs;
use super::sip_websocket::SipWebsocketArgs;
use super::{SidecarError, directory};
use crate::commands::api::SiteArgs;
use crate::freeswitch::listener;
use crate::freeswitch::xml::templates::Templates;
use crate::http::credentials::{Credentials, CredentialsError};
use crate::route::media::MediaRoot;
use crate::sip_websocket::Relay;
use crate::store::StoreArgs;

/// Options of answering FreeSWITCH, the same in every mode.
#[derive(Args, Clone, Debug)]
pub struct AnswerArgs {
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

    #[allow(missing_docs)]
    #[command(flatten)]
    pub esl: EslArgs,
    /// Most bytes of call records that are kept under the data directory while Postgres is away
    #[arg(long, env = "CENTREX_CDR_SPOOL_BYTES", value_name = "BYTES", default_value_t = 1 << 30)]
    pub cdr_spool_bytes: u64,

    /// Directory where FreeSWITCH leaves call records it could not deliver (err-log-dir of xml_cdr.conf)
    #[arg(long, env = "CENTREX_CDR_LEFTOVERS", value_name = "DIR")]
    pub cdr_leftovers: Option<PathBuf>,

    /// Keep the whole document of each call record beside its fields: 20 kB a leg
    #[arg(long, env = "CENTREX_CDR_XML")]
    pub cdr_xml: bool,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub sip_websocket: SipWebsocketArgs,
}

impl AnswerArgs {
    /// Checks all options, before any directory or file is created.
    ///
    /// # Errors
    /// The first option that is wrong, with what is allowed.
    pub async fn check(&self) -> Result<(), SidecarError> {
        self.esl.options()?;
        self.read_templates()?;
        listener::bind(self.xml_listen, self.credentials()?.as_ref()).await?;
        if let Some((listen, _)) = self.sip_websocket.options() {
            Relay::bind(listen).await?;
        }
        Ok(())
    }

    /// The built-in templates, with those of `--templates` in their place.
    pub(super) fn read_templates(&self) -> Result<Templates, SidecarError> {
        Ok(match &self.templates {
            Some(directory) => Templates::with_overrides(directory)?,
            None => Templates::built_in()?,
        })
    }

    /// The credentials that FreeSWITCH must send; `None` when neither option is given.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, CredentialsError> {
        match (self.xml_username.as_deref(), self.xml_password.as_deref()) {
            (None, None) => Ok(None),
            (username, password) => {
                Credentials::new(username.unwrap_or_default(), password.unwrap_or_default()).map(Some)
            }
        }
    }

    /// The directory of the tenants' media, created if missing.
    ///
    /// # Errors
    /// The directory cannot be created, or its path has characters that FreeSWITCH would expand.
    pub fn media_root(&self, data_dir: &Path) -> Result<MediaRoot, SidecarError> {
        Ok(MediaRoot::new(&directory("--media-dir", &self.media_dir(data_dir))?)?)
    }

    /// Path of the tenants' media.
    pub fn media_dir(&self, data_dir: &Path) -> PathBuf {
        self.media_dir.clone().unwrap_or_else(|| data_dir.join("media"))
    }
}

/// Options of `centrex switch`.
#[derive(Args, Clone, Debug)]
pub struct SwitchArgs {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StoreArgs,

    /// Directory where the last good state is kept, to start from while Postgres is away
    #[arg(long, env = "CENTREX_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Name of this switch, which no other has at the same time; the host name when left out
    #[arg(long, env = "CENTREX_SWITCH_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// Address of /healthz, /readyz and /metrics, and of nothing else
    #[arg(long, env = "CENTREX_HEALTH_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub answer: AnswerArgs,

    #[allow(missing_docs)]
    #[command(flatten)]
    pub site: SiteArgs,
}
