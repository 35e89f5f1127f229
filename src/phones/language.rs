//! The language of a phone's menus where its Device names none.

/// The language of most people in a country.
pub(super) fn language(country: Option<&str>) -> &'static str {
    match country.unwrap_or_default() {
        "DE" | "AT" | "CH" | "LI" => "de",
        "FR" | "MC" => "fr",
        "IT" | "SM" => "it",
        "ES" | "MX" | "AR" | "CL" | "CO" | "PE" | "UY" => "es",
        "PT" | "BR" => "pt",
        "NL" => "nl",
        "PL" => "pl",
        "DK" => "da",
        "SE" => "sv",
        "NO" => "nb",
        "FI" => "fi",
        "CZ" => "cs",
        _ => "en",
    }
}
