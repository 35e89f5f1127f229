//! Short numbers of services that libphonenumber does not know, such as 11880: they are dialled within one country, and
//! without the trunk prefix.

use super::country::Country;

/// Most digits of a number that is taken for a service number.
pub(super) const MAX_DIGITS: usize = 6;

/// Whether a national number is taken for a service number of the country.
pub(super) fn is_service_number(country: Country, national: &str) -> bool {
    national.len() <= MAX_DIGITS && country.number_type(national).is_none()
}
