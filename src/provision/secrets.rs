//! The passwords of a phone's files.

use crate::plan::{DeviceRow, SecretName};

/// What is written in place of a password that is not shown. Every file format can have it.
const HIDDEN: &str = "********";

/// The passwords of a phone: what its Device's row has.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PhoneSecrets {
    /// SIP password of its lines. Without one, no line is on.
    pub sip_password: Option<String>,
    /// Password by which it fetches its configuration.
    pub provisioning_password: Option<String>,
    /// Password of its own menu and web page; without one, the phone keeps what it has.
    pub admin_password: Option<String>,
}

impl PhoneSecrets {
    /// The passwords of a Device.
    pub fn of(row: &DeviceRow) -> Self {
        let get = |name| row.secrets.get(name).map(str::to_owned);
        Self {
            sip_password: get(SecretName::Password),
            provisioning_password: get(SecretName::ProvisioningPassword),
            admin_password: get(SecretName::AdminPassword),
        }
    }

    /// Placeholders, for people who look at a file.
    pub fn hidden() -> Self {
        let hidden = || Some(HIDDEN.to_owned());
        Self { sip_password: hidden(), provisioning_password: hidden(), admin_password: hidden() }
    }

    /// Whether the SIP password is a placeholder.
    pub(super) fn is_hidden(&self) -> bool {
        self.sip_password.as_deref() == Some(HIDDEN)
    }

    /// The name of the first password that has other characters than letters and digits. Compile admits no other:
    /// several files have syntax of their own inside a value.
    pub(super) fn illegal(&self) -> Option<&'static str> {
        let all = [
            ("SIP password", &self.sip_password),
            ("provisioning password", &self.provisioning_password),
            ("admin password", &self.admin_password),
        ];
        let is_legal = |text: &str| text == HIDDEN || text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        all.into_iter().find(|(_, value)| !value.as_deref().is_none_or(is_legal)).map(|(name, _)| name)
    }
}

/// Names only: a password is in no log.
impl std::fmt::Debug for PhoneSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let there = |value: &Option<String>| value.as_ref().map(|_| HIDDEN);
        f.debug_struct("PhoneSecrets")
            .field("sip_password", &there(&self.sip_password))
            .field("provisioning_password", &there(&self.provisioning_password))
            .field("admin_password", &there(&self.admin_password))
            .finish()
    }
}
