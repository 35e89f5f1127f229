//! Countries that libphonenumber's data does not have.

use crate::numbers::Country;
use crate::resources::common::DigitMatch;

/// The message about a country that is not known.
pub fn unknown_country(code: &str) -> String {
    format!(
        "{code} is no country whose numbers are known; a country is two letters of ISO 3166-1, such as DE, GB or US"
    )
}

/// The first country of digit matches that is not known, with its field below `spec`.
pub fn unknown_country_of(matches: &[DigitMatch]) -> Option<(String, &str)> {
    matches.iter().enumerate().find_map(|(index, matches)| {
        let (at, code) = unknown_code(&matches.countries)?;
        Some((format!("match[{index}].countries[{at}]"), code))
    })
}

/// The first unknown country of a list, with its index.
pub fn unknown_code(codes: &[String]) -> Option<(usize, &str)> {
    let unknown = |(_, code): &(usize, &String)| Country::by_code(code).is_none();
    codes.iter().enumerate().find(unknown).map(|(index, code)| (index, code.as_str()))
}
