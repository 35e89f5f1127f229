//! Dial strings of extensions' phones.

use super::Lookup;
use crate::plan::SipProfileRow;
use crate::resources::sip_profile::Role;
use crate::route::dial_string::{AddressOfRecord, registered};

impl Lookup<'_> {
    /// The dial string of an extension's phones: the one that registers with the extension's own user, and its Devices,
    /// each at every profile for phones and with every spelling of the domain that it may have.
    pub(super) fn dial_string(&self, number: &str) -> String {
        let platform = self.answers.replica.platform();
        let users = self.users(number);
        let mut addresses = Vec::new();
        for (name, profile) in &platform.sip_profiles {
            for (user, hosts) in users_at(profile, &users) {
                addresses.extend(hosts.iter().map(|host| AddressOfRecord {
                    profile: name,
                    user,
                    host,
                    is_browser: profile.ws_port.is_some(),
                }));
            }
        }
        match registered(addresses.into_iter(), number, self.domain) {
            Some(dial) => dial.to_string(),
            None => "error/USER_NOT_REGISTERED".to_owned(),
        }
    }

    /// The SIP users of an extension, its own first, each with the spellings of the domain.
    fn users<'a>(&'a self, number: &'a str) -> Vec<(&'a str, Vec<String>)> {
        let extension = self.tenant.extension(number).map(|(name, _)| name);
        let devices = extension.into_iter().flat_map(|name| self.tenant.device_users(name));
        let spellings = &self.answers.replica.spellings;
        let hosts = |user| {
            let others = spellings.of_user(self.domain, user);
            std::iter::once(self.domain.to_owned()).chain(others).collect()
        };
        std::iter::once(number).chain(devices).map(|user| (user, hosts(user))).collect()
    }
}

/// The SIP users that may be registered at a profile: at one for browsers the extension's own alone, none at one for
/// carriers.
fn users_at<'a, T>(profile: &SipProfileRow, users: &'a [T]) -> &'a [T] {
    match (profile.role, profile.ws_port) {
        (Role::Phones, None) => users,
        (Role::Phones, Some(_)) => users.get(..1).unwrap_or(users),
        (Role::Trunks, _) => &[],
    }
}
