//! Options of `centrex trace`; each is an environment variable too.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::numbers::{MAX_DIALLED, is_sendable};
use crate::source::TenantKey;
use crate::util::format::Format;

/// Options of `centrex trace`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
What is compared:
  --manifests DIR                        nothing: the call under the manifests
  --manifests DIR --proposed PATH        the manifests, and PATH applied over them (nothing is removed)
  --database-url URL                     nothing: the call as the switches have it
  --database-url URL --manifests DIR     the switches, and the manifests in their place

Exit codes:
  0  the call is placed
  1  the call is refused, or the number does not exist; of two, the proposed one counts
  2  wrong usage, or something that cannot be read")]
pub struct TraceArgs {
    /// Folder of manifests, or a file
    #[arg(long, env = "CENTREX_MANIFESTS", value_name = "DIR", required_unless_present = "database_url")]
    pub manifests: Option<PathBuf>,

    /// Folder or file that is applied over the manifests, to compare
    #[arg(
        long,
        env = "CENTREX_PROPOSED",
        value_name = "PATH",
        requires = "manifests",
        conflicts_with = "database_url"
    )]
    pub proposed: Option<PathBuf>,

    /// Postgres whose stored plans are the current state, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(
        long,
        env = "CENTREX_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        requires = "encryption_key_file"
    )]
    pub database_url: Option<String>,

    /// File with the keys that its secrets are sealed with, a line `VERSION:BASE64` each
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<PathBuf>,

    /// Tenant
    #[arg(long, env = "CENTREX_TENANT", value_name = "NAMESPACE/NAME", value_parser = tenant)]
    pub tenant: TenantKey,

    /// Caller: number or name of an extension; with --trunk, an outside number
    #[arg(long, env = "CENTREX_FROM", value_name = "CALLER")]
    pub from: String,

    /// Trunk the call comes in by
    #[arg(long, env = "CENTREX_TRUNK", value_name = "NAMESPACE/NAME", value_parser = trunk)]
    pub trunk: Option<String>,

    /// Number dialled; with --trunk, as the carrier sends it
    #[arg(long, env = "CENTREX_TO", value_name = "NUMBER", value_parser = number)]
    pub to: String,

    /// When, such as 2026-11-25T12:00:00+01:00; now when left out
    #[arg(long, env = "CENTREX_AT", value_name = "RFC3339", value_parser = time)]
    pub at: Option<Timestamp>,

    /// Output format; json is one document, `{"current": …}`, with `"proposed"` and `"differs"`
    /// when two are compared
    #[arg(long, env = "CENTREX_FORMAT", value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Leave out the XML that FreeSWITCH gets; two answers with different XML differ all the same
    #[arg(long, env = "CENTREX_NO_XML")]
    pub no_xml: bool,

    /// Directory of templates that replace the built-in ones of the same name
    #[arg(long, env = "CENTREX_TEMPLATES", value_name = "DIR")]
    pub templates: Option<PathBuf>,

    /// Directory of the tenants' media, as FreeSWITCH sees it
    #[arg(long, env = "CENTREX_MEDIA_DIR", value_name = "DIR", default_value = "/media")]
    pub media_dir: PathBuf,
}

/// A tenant by its namespace and name.
pub(in crate::commands) fn tenant(text: &str) -> Result<TenantKey, String> {
    let (namespace, name) = pair(text)?;
    Ok(TenantKey { namespace: namespace.to_owned(), name: name.to_owned() })
}

fn trunk(text: &str) -> Result<String, String> {
    pair(text).map(|_| text.to_owned())
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    let pair = text
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'));
    pair.ok_or_else(|| "write it as NAMESPACE/NAME".to_owned())
}

fn number(text: &str) -> Result<String, String> {
    let allowed =
        || format!("allowed are up to {} digits, * and #, with at most one + in front", MAX_DIALLED);
    if is_sendable(text) { Ok(text.to_owned()) } else { Err(allowed()) }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write it as RFC 3339 has it, such as 2026-11-25T12:00:00+01:00".to_owned())
}
