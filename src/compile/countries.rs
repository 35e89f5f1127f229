//! Dialling prefixes of countries, for trunks that use the national number format.
//!
//! Facts from the ITU-T's list of dialling procedures (international prefix, national trunk prefix and
//! country code). Trunks of other countries use E.164.

use crate::plan::NationalDialling;

/// Country, calling code, national prefix, international prefix.
const COUNTRIES: &[(&str, &str, &str, &str)] = &[
    ("AT", "43", "0", "00"),
    ("AU", "61", "0", "0011"),
    ("BE", "32", "0", "00"),
    ("BG", "359", "0", "00"),
    ("BR", "55", "0", "00"),
    ("CA", "1", "1", "011"),
    ("CH", "41", "0", "00"),
    ("CN", "86", "0", "00"),
    ("CY", "357", "", "00"),
    ("CZ", "420", "", "00"),
    ("DE", "49", "0", "00"),
    ("DK", "45", "", "00"),
    ("EE", "372", "", "00"),
    ("EG", "20", "0", "00"),
    ("ES", "34", "", "00"),
    ("FI", "358", "0", "00"),
    ("FR", "33", "0", "00"),
    ("GB", "44", "0", "00"),
    ("GR", "30", "", "00"),
    ("HR", "385", "0", "00"),
    ("HU", "36", "06", "00"),
    ("IE", "353", "0", "00"),
    ("IL", "972", "0", "00"),
    ("IN", "91", "0", "00"),
    ("IS", "354", "", "00"),
    ("IT", "39", "", "00"),
    ("JP", "81", "0", "010"),
    ("KR", "82", "0", "00"),
    ("LI", "423", "", "00"),
    ("LT", "370", "0", "00"),
    ("LU", "352", "", "00"),
    ("LV", "371", "", "00"),
    ("MT", "356", "", "00"),
    ("MX", "52", "", "00"),
    ("NL", "31", "0", "00"),
    ("NO", "47", "", "00"),
    ("NZ", "64", "0", "00"),
    ("PL", "48", "", "00"),
    ("PT", "351", "", "00"),
    ("RO", "40", "0", "00"),
    ("RS", "381", "0", "00"),
    ("SE", "46", "0", "00"),
    ("SG", "65", "", "001"),
    ("SI", "386", "0", "00"),
    ("SK", "421", "0", "00"),
    ("TR", "90", "0", "00"),
    ("UA", "380", "0", "00"),
    ("US", "1", "1", "011"),
    ("ZA", "27", "0", "00"),
];

/// How numbers are dialled in a country, by its ISO 3166-1 alpha-2 code.
pub fn dialling(country: &str) -> Option<NationalDialling> {
    let (_, code, national, international) = COUNTRIES.iter().find(|row| row.0 == country)?;
    Some(NationalDialling {
        calling_code: (*code).to_owned(),
        national_prefix: (*national).to_owned(),
        international_prefix: (*international).to_owned(),
    })
}

/// Codes of the listed countries, separated by commas, for messages.
pub fn known() -> String {
    COUNTRIES.iter().map(|row| row.0).collect::<Vec<_>>().join(", ")
}
