//! How a tenant's emergency calls leave, what they show, and who is notified.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;

/// How emergency calls leave. Nothing a tenant or the platform configures can stand before them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Emergency {
    /// Numbers that are emergency calls, as dialled and as sent to the carrier.
    #[schemars(length(min = 1, max = 128), inner(length(min = 2, max = 8), regex(pattern = EMERGENCY_NUMBER_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub numbers: Vec<String>,
    /// Trunk they leave by first; when it fails, they are tried by others that the tenant may use.
    pub trunk_ref: NamespacedRef,
    /// Number shown to the emergency service, in E.164 form, of calls whose location has none; the tenant's
    /// caller id when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub caller_id_number: Option<String>,
    /// Places that emergency calls come from. An Extension names its own by `emergencyLocationRef`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub locations: Vec<EmergencyLocation>,
    /// The location of callers that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_location_ref: Option<LocalRef>,
}

/// A place that emergency calls come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmergencyLocation {
    /// Name of the location, by which Extensions and Devices refer to it.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Number shown to the emergency service, in E.164 form: the one that the carrier knows the address of,
    /// and by which the service can call back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub caller_id_number: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<CivicAddress>,
    /// Who is notified of an emergency call from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<EmergencyContacts>,
}

/// An address, in the elements of RFC 4776 §3.4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CivicAddress {
    /// Country, ISO 3166-1 alpha-2; the tenant's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 2), regex(pattern = COUNTRY_PATTERN))]
    pub country: Option<String>,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub state: Option<String>,
    /// City.
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub city: String,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = TEXT_PATTERN))]
    pub postal_code: Option<String>,
    /// Street.
    #[schemars(length(min = 1, max = 128), regex(pattern = TEXT_PATTERN))]
    pub street: String,
    /// House number with its suffix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = TEXT_PATTERN))]
    pub house_number: Option<String>,
    /// Building.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub building: Option<String>,
    /// Floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = TEXT_PATTERN))]
    pub floor: Option<String>,
    /// Room or desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub room: Option<String>,
}

impl std::fmt::Display for CivicAddress {
    /// The elements that are set, from the room to the country.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let street = match &self.house_number {
            Some(number) => format!("{} {number}", self.street),
            None => self.street.clone(),
        };
        let elements =
            [&self.room, &self.floor, &self.building].into_iter().flatten().chain([&street, &self.city]);
        let elements = elements.chain([&self.state, &self.postal_code, &self.country].into_iter().flatten());
        f.write_str(&elements.map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// Who is notified of an emergency call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmergencyContacts {
    /// Mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 3, max = 254), regex(pattern = EMAIL_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub emails: Vec<String>,
    /// Extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub extension_refs: Vec<LocalRef>,
}
