//! What an installation gives to all its phones.

use jiff::Timestamp;

use crate::plan::{DeviceRow, PlatformPlan};

/// Where phones fetch their configuration, such as `https://phones.example.com/provision`, without slashes at the ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningUrls {
    main: String,
    /// Of Devices with `allowHttp`.
    http: Option<String>,
}

impl ProvisioningUrls {
    /// The address of all phones, and that of Devices with `allowHttp` if they have another one.
    pub fn new(main: &str, http: Option<&str>) -> Self {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        Self { main: trimmed(main), http: http.map(trimmed) }
    }

    /// The address that a Device's phone is told.
    pub fn of(&self, device: &DeviceRow) -> &str {
        self.http.as_deref().filter(|_| device.allow_http).unwrap_or(&self.main)
    }
}

/// What an installation gives to all its phones.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Where phones fetch their configuration.
    pub provisioning_urls: ProvisioningUrls,
    /// Host of the time server.
    pub ntp_server: String,
    /// Address of the SIP server; each tenant's main domain when `None`.
    pub sip_host: Option<String>,
    /// Port of UDP and TCP.
    pub sip_port: i32,
    /// Port of TLS, if there is TLS.
    pub tls_port: Option<i32>,
    /// Codecs in order of preference, as FreeSWITCH names them.
    pub codecs: Vec<String>,
    /// The time, by which phones get the rules of daylight saving that hold next.
    pub now: Timestamp,
}

impl Site {
    /// The site of a platform: its SIP server is the platform's main profile for phones. `None` without one.
    pub fn new(
        platform: &PlatformPlan,
        provisioning_urls: &ProvisioningUrls,
        ntp_server: &str,
        now: Timestamp,
    ) -> Option<Self> {
        let profile = platform.sip_profiles.get(platform.main_profile()?)?;
        Some(Self {
            provisioning_urls: provisioning_urls.clone(),
            ntp_server: ntp_server.to_owned(),
            sip_host: profile.external_address.clone(),
            sip_port: profile.sip_port,
            tls_port: profile.tls_port,
            codecs: profile.codecs.clone(),
            now,
        })
    }
}
