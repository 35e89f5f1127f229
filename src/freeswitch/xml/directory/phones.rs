//! Dial strings of extensions' phones.

use crate::plan::PlatformPlan;
use crate::resources::sip_profile::Role;
use crate::route::dial_string::registered;

/// The dial string of an extension's phones: its registrations at every profile for phones.
pub(super) fn dial_string(platform: &PlatformPlan, number: &str, domain: &str) -> String {
    let profiles = platform.sip_profiles.iter().filter(|(_, profile)| profile.role == Role::Phones);
    match registered(profiles.map(|(name, _)| name.as_str()), number, domain) {
        Some(dial) => dial.to_string(),
        None => "error/USER_NOT_REGISTERED".to_owned(),
    }
}
