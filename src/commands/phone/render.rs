//! `centrex phone render`: the files that a phone would fetch.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::commands::api::{host, provision_url};
use crate::commands::trace::{Source, State, TraceError, tenant};
use crate::phones::{Mac, Phone, ProvisioningUrls, Site};
use crate::plan::{PlatformPlan, SecretName};
use crate::provision::templates::TemplateError;
use crate::provision::{FileName, PhoneSecrets, RenderError, Rendered, Templates, file_names, render};
use crate::route::TenantView;
use crate::source::TenantKey;

/// Address of files in what `centrex check` renders.
const EXAMPLE_URL: &str = "https://phones.example.com/provision";
/// Time server there.
const EXAMPLE_NTP: &str = "pool.ntp.org";

/// Options of `centrex phone render`.
#[derive(Args, Clone, Debug)]
pub struct RenderArgs {
    /// Device, by its name or its MAC address
    #[arg(value_name = "DEVICE")]
    pub device: String,

    /// Tenant
    #[arg(long, env = "CENTREX_TENANT", value_name = "NAMESPACE/NAME", value_parser = tenant)]
    pub tenant: TenantKey,

    /// Folder of manifests, or a file
    #[arg(
        short = 'f',
        long,
        env = "CENTREX_MANIFESTS",
        value_name = "DIR",
        required_unless_present = "database_url"
    )]
    pub manifests: Option<PathBuf>,

    /// Postgres whose stored plan is rendered instead, postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(
        long,
        env = "CENTREX_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        requires = "encryption_key_file",
        conflicts_with = "manifests"
    )]
    pub database_url: Option<String>,

    /// File with the keys that its secrets are sealed with, a line `VERSION:BASE64` each
    #[arg(long, env = "CENTREX_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<PathBuf>,

    /// Address that phones are told to fetch from
    #[arg(long, env = "CENTREX_PROVISION_URL", value_name = "URL", default_value = EXAMPLE_URL, value_parser = provision_url)]
    pub provision_url: String,

    /// Address that phones of Devices with allowHttp are told instead
    #[arg(long, env = "CENTREX_PROVISION_HTTP_URL", value_name = "URL", value_parser = provision_url)]
    pub provision_http_url: Option<String>,

    /// Time server of phones
    #[arg(long, env = "CENTREX_NTP_SERVER", value_name = "HOST", default_value = EXAMPLE_NTP, value_parser = host)]
    pub ntp_server: String,

    /// Directory of templates of phones' files that replace the built-in ones of the same name
    #[arg(long, env = "CENTREX_PROVISION_TEMPLATES", value_name = "DIR")]
    pub provision_templates: Option<PathBuf>,
}

/// Why the files of a phone are not printed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RenderPhoneError {
    #[error(transparent)]
    State(#[from] TraceError),
    #[error("--provision-templates: {0}")]
    Templates(#[from] TemplateError),
    #[error("{0}: the tenant has no Device of this name or MAC address; there are: {1}")]
    Unknown(String, String),
    #[error("Device {0} is disabled: it gets no file")]
    Disabled(String),
    #[error("no SipProfile has the role Phones: phones have nothing to register at")]
    NoServer,
    #[error("{0}: {1}")]
    Render(String, RenderError),
    #[error("the files cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes the user that a phone fetches with, and every file of it, each after a line with its name and type.
///
/// # Errors
/// The manifests, or the database, cannot be read; there is no such Device; or a file cannot be made.
pub async fn run(args: &RenderArgs, out: &mut impl Write) -> Result<(), RenderPhoneError> {
    let templates = match &args.provision_templates {
        Some(directory) => Templates::with_overrides(directory)?,
        None => Templates::built_in()?,
    };
    let source = Source {
        manifests: args.manifests.as_deref(),
        database_url: args.database_url.as_deref(),
        encryption_key_file: args.encryption_key_file.as_deref(),
    };
    let State { platform, plan } = source.read(&args.tenant).await?;
    let view = TenantView::new(plan);
    let name = device(&view, &args.device)?;
    let urls = ProvisioningUrls::new(&args.provision_url, args.provision_http_url.as_deref());
    let site = Site::new(&platform, &urls, &args.ntp_server, Timestamp::now());
    let site = site.ok_or(RenderPhoneError::NoServer)?;
    let phone = Phone::of(&view, name, &site).ok_or_else(|| RenderPhoneError::Disabled(name.to_owned()))?;
    if !phone.model.series.is_supported() {
        return Err(RenderPhoneError::Render(name.to_owned(), RenderError::NotSupported));
    }
    if let Some(row) = view.plan.devices.get(name) {
        let user = &row.provisioning_user;
        writeln!(out, "Device {name} fetches from {} as user {user}.", urls.of(row))?;
    }
    for file in file_names(&phone) {
        let rendered = one(&templates, &view, (name, &phone), &file);
        let rendered = rendered.map_err(|error| RenderPhoneError::Render(file.clone(), error))?;
        writeln!(out, "\n==> {file} ({})", rendered.content_type)?;
        out.write_all(&rendered.body)?;
    }
    Ok(())
}

fn one(
    templates: &Templates,
    view: &TenantView,
    (name, phone): (&str, &Phone),
    file: &str,
) -> Result<Rendered, RenderError> {
    let file = FileName::parse(file).ok_or(RenderError::NotMade)?;
    let row = view.plan.devices.get(name);
    let has_admin_password = row.is_some_and(|row| row.secrets.get(SecretName::AdminPassword).is_some());
    let mut secrets = PhoneSecrets::hidden();
    secrets.admin_password = secrets.admin_password.filter(|_| has_admin_password);
    render(templates, view, phone, &secrets, &file)
}

/// The name of a Device, from its name or its MAC address in any spelling.
fn device<'a>(view: &'a TenantView, given: &str) -> Result<&'a str, RenderPhoneError> {
    let devices = &view.plan.devices;
    if let Some((name, _)) = devices.get_key_value(given) {
        return Ok(name);
    }
    let by_mac = Mac::parse(given).and_then(|mac| view.device(&mac.to_string()));
    by_mac.map(|(name, _)| name).ok_or_else(|| {
        let names = crate::commands::trace::names(devices.keys().cloned());
        RenderPhoneError::Unknown(given.to_owned(), names)
    })
}

/// The Devices of a tenant whose files cannot be made, by name, each with a file and the reason. The platform's
/// manifests may be elsewhere: a server for phones stands in for a missing one.
pub fn defects(
    templates: &Templates,
    platform: &PlatformPlan,
    view: &TenantView,
    now: Timestamp,
) -> Vec<(String, String)> {
    let urls = ProvisioningUrls::new(EXAMPLE_URL, None);
    let site = Site::new(platform, &urls, EXAMPLE_NTP, now).unwrap_or_else(|| Site {
        provisioning_urls: urls,
        ntp_server: EXAMPLE_NTP.to_owned(),
        sip_host: None,
        sip_port: 5060,
        tls_port: Some(5061),
        codecs: Vec::new(),
        now,
    });
    let phones = Phone::all(view, &site);
    let of_phone = |(name, phone): &(&str, Phone)| {
        let failed = match phone.model.series.is_supported() {
            true => file_names(phone).into_iter().find_map(|file| {
                let error = one(templates, view, (name, phone), &file).err()?;
                Some(format!("its file {file} cannot be made: {error}"))
            }),
            false => Some(format!("its files cannot be made: {}", RenderError::NotSupported)),
        };
        Some(((*name).to_owned(), failed?))
    };
    phones.iter().filter_map(of_phone).collect()
}
