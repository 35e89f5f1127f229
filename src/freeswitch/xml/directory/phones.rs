//! Dial strings of extensions' phones.

use super::Lookup;
use crate::resources::sip_profile::Role;
use crate::route::dial_string::{browser_variables, registered};

impl Lookup<'_> {
    /// The dial string of an extension's phones: its registrations at every profile for phones.
    pub(super) fn dial_string(&self, number: &str) -> String {
        let platform = self.answers.replica.platform();
        let profiles = platform.sip_profiles.iter().filter(|(_, profile)| profile.role == Role::Phones);
        let spellings = self.answers.replica.spellings.of_user(self.domain, number);
        let profiles = profiles.map(|(name, profile)| {
            let is_for_browsers = profile.ws_port.is_some();
            (name.as_str(), if is_for_browsers { browser_variables() } else { Vec::new() })
        });
        match registered(profiles, number, self.domain, &spellings) {
            Some(dial) => dial.to_string(),
            None => "error/USER_NOT_REGISTERED".to_owned(),
        }
    }
}
