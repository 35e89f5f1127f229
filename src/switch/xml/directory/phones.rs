//! How the phones of an extension are called.

use crate::plan::PlatformPlan;
use crate::resources::sip_profile::Role;

/// The dial string of an extension's phones: where it is registered, on every profile for phones.
/// `%` looks the registration up; no function is called, since the switch runs without API
/// expansion. A phone's redirection ends its leg (contract §9). The number and the domain are
/// digits and a host name by compile's rules, so no separator is in them.
pub(super) fn dial_string(platform: &PlatformPlan, number: &str, domain: &str) -> String {
    let legs: Vec<String> = platform
        .sip_profiles
        .iter()
        .filter(|(_, profile)| profile.role == Role::Phones)
        .map(|(name, _)| format!("sofia/{name}/{number}%{domain}"))
        .collect();
    if legs.is_empty() {
        return "error/USER_NOT_REGISTERED".to_owned();
    }
    format!("{{^^:presence_id={number}@{domain}:outbound_redirect_fatal=true}}{}", legs.join(","))
}
