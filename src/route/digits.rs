//! Digit matches and edits, and the forms of phone numbers.

use crate::plan::NationalDialling;
use crate::resources::common::{DigitMatch, NumberFormat};

/// Most characters of a number that may be dialled or sent.
pub const MAX_DIALLED: usize = 32;

/// Fewest and most characters of the dialled numbers that a match covers.
pub fn length_range(matches: &DigitMatch) -> (usize, usize) {
    let prefix = matches.prefix.as_deref().unwrap_or("").len();
    let least = matches.min_digits.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let most = matches.max_digits.and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_DIALLED);
    (least.max(prefix), most)
}

/// How many leading characters of a dialled number a match strips.
fn stripped(matches: &DigitMatch) -> usize {
    matches.strip.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// A dialled number after the edits of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The number to send.
    pub number: String,
    /// How many leading characters of the dialled number were stripped.
    pub stripped: usize,
}

/// Why a match does not apply to a dialled number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch<'a> {
    /// The number has another prefix.
    #[error("does not begin with {0}")]
    Prefix(&'a str),
    /// The number is too short or too long.
    #[error("has {found} characters, not {least} to {most}")]
    Length {
        /// Characters dialled.
        found: usize,
        /// Fewest that match.
        least: usize,
        /// Most that match.
        most: usize,
    },
    /// The edits do not produce a number.
    #[error("is no number that can be sent after the edits")]
    NoNumber,
}

/// Applies a match to a dialled number; `None` when it does not match, or the edits do not produce a
/// number.
pub fn apply(matches: &DigitMatch, dialled: &str) -> Option<String> {
    edit(matches, dialled).ok().map(|edit| edit.number)
}

/// Like [`apply`], with the reason when the match does not apply.
///
/// # Errors
/// When the number does not match, or the edits do not produce a number.
pub fn edit<'a>(matches: &'a DigitMatch, dialled: &str) -> Result<Edit, Mismatch<'a>> {
    let prefix = matches.prefix.as_deref().unwrap_or("");
    let (least, most) = length_range(matches);
    if !dialled.starts_with(prefix) {
        return Err(Mismatch::Prefix(prefix));
    }
    if !(least..=most).contains(&dialled.len()) {
        return Err(Mismatch::Length { found: dialled.len(), least, most });
    }
    let stripped = stripped(matches);
    let rest = dialled.get(stripped..).ok_or(Mismatch::NoNumber)?;
    let number = format!("{}{rest}", matches.prepend.as_deref().unwrap_or(""));
    if is_sendable(&number) { Ok(Edit { number, stripped }) } else { Err(Mismatch::NoNumber) }
}

/// Whether the edits of a match can produce this number from a dialled one.
pub fn reaches(matches: &DigitMatch, number: &str) -> bool {
    let prefix = matches.prefix.as_deref().unwrap_or("");
    let Some(kept) = prefix.get(stripped(matches)..) else { return false };
    let prepend = matches.prepend.as_deref().unwrap_or("");
    let Some(rest) = number.strip_prefix(prepend).and_then(|rest| rest.strip_prefix(kept)) else {
        return false;
    };
    apply(matches, &format!("{prefix}{rest}")).as_deref() == Some(number)
}

/// Whether text is a number that may be sent: digits, `*` and `#`, with at most one leading plus.
pub fn is_sendable(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (1..=MAX_DIALLED).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*' || byte == b'#')
}

/// Whether text is a number that a phone may dial: the same rule as [`is_sendable`].
pub fn is_dialled(number: &str) -> bool {
    is_sendable(number)
}

/// Converts a number to the carrier's format. Only E.164 numbers are converted; short and service numbers
/// stay as they are.
pub fn to_carrier(number: &str, format: NumberFormat, national: Option<&NationalDialling>) -> String {
    let Some(digits) = number.strip_prefix('+') else { return number.to_owned() };
    match (format, national) {
        (NumberFormat::E164, _) | (NumberFormat::National, None) => number.to_owned(),
        (NumberFormat::E164WithoutPlus, _) => digits.to_owned(),
        (NumberFormat::National, Some(country)) => match digits.strip_prefix(&country.calling_code) {
            Some(inside) => format!("{}{inside}", country.national_prefix),
            None => format!("{}{digits}", country.international_prefix),
        },
    }
}

/// Prefix of international calls; `00`, the most common one, for an unknown country.
fn international_prefix(home: Option<&NationalDialling>) -> &str {
    home.map_or("00", |home| home.international_prefix.as_str())
}

/// The digits after the plus sign or the international prefix.
fn international<'a>(number: &'a str, home: Option<&NationalDialling>) -> Option<&'a str> {
    number.strip_prefix('+').or_else(|| number.strip_prefix(international_prefix(home)))
}

/// Converts a number as dialled in a country to E.164; `None` for short and local numbers.
pub fn to_e164(number: &str, home: Option<&NationalDialling>) -> Option<String> {
    if let Some(digits) = international(number, home) {
        return Some(format!("+{digits}"));
    }
    let home = home.filter(|home| !home.national_prefix.is_empty())?;
    let inside = number.strip_prefix(&home.national_prefix)?;
    Some(format!("+{}{inside}", home.calling_code))
}

/// All spellings of a number in a country, the given one first.
pub fn spellings(number: &str, home: Option<&NationalDialling>) -> Vec<String> {
    let mut all = vec![number.to_owned()];
    let e164 = to_e164(number, home);
    if let Some(digits) = e164.as_deref().and_then(|e164| e164.strip_prefix('+')) {
        all.extend([format!("+{digits}"), format!("{}{digits}", international_prefix(home))]);
        all.extend(home.and_then(|home| {
            let inside = digits.strip_prefix(&home.calling_code)?;
            Some(format!("{}{inside}", home.national_prefix))
        }));
    }
    all
}

/// Whether a number, after the digit edits, is international. Countries with one calling code count as one.
/// For an unknown home country every international spelling counts: a limit that counts too many calls gets
/// noticed.
pub fn is_abroad(number: &str, home: Option<&NationalDialling>) -> bool {
    let Some(digits) = international(number, home) else {
        return false; // a national spelling
    };
    home.is_none_or(|home| !digits.starts_with(&home.calling_code))
}

/// Whether a dialled number is international: by the number sent, or by an international prefix that the
/// edits strip for carriers that want none.
pub fn leads_abroad(dialled: &str, edit: &Edit, home: Option<&NationalDialling>) -> bool {
    let stripped = dialled.get(..edit.stripped).unwrap_or_default();
    is_abroad(&edit.number, home)
        || (0..stripped.len()).any(|at| dialled.get(at..).is_some_and(|rest| is_abroad(rest, home)))
}

/// Converts a number from a carrier to E.164; `None` when it is no number. A leading plus always means
/// E.164, because carriers deviate from the agreed format.
pub fn from_carrier(
    number: &str,
    format: NumberFormat,
    national: Option<&NationalDialling>,
) -> Option<String> {
    if !is_sendable(number) {
        return None;
    }
    if number.starts_with('+') {
        return Some(number.to_owned());
    }
    match (format, national) {
        (NumberFormat::National, Some(country)) => {
            if let Some(abroad) = number.strip_prefix(&country.international_prefix) {
                return Some(format!("+{abroad}"));
            }
            // Some carriers omit the national prefix (ten digits in North America). The result must still
            // be a Number of the tenant.
            let inside = number.strip_prefix(&country.national_prefix).unwrap_or(number);
            Some(format!("+{}{inside}", country.calling_code))
        }
        _ => Some(format!("+{}", number.strip_prefix("00").unwrap_or(number))),
    }
}
