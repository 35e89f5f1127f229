//! Digit matches applied to what was dialled.

use crate::plan::NationalDialling;
use crate::resources::common::{DigitMatch, NumberFormat};

/// The longest number that may be dialled or sent.
pub const MAX_DIALLED: usize = 32;

/// Fewest and most characters of the dialled numbers a match is about.
pub fn length_range(matches: &DigitMatch) -> (usize, usize) {
    let prefix = matches.prefix.as_deref().unwrap_or("").len();
    let least = matches.min_digits.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let most = matches.max_digits.and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_DIALLED);
    (least.max(prefix), most)
}

/// How many characters of a dialled number a match leaves out, in front.
fn stripped(matches: &DigitMatch) -> usize {
    matches.strip.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// What the edits of a match made of a dialled number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The number.
    pub number: String,
    /// How many characters of what was dialled are left out, in front.
    pub stripped: usize,
}

/// Why a match is not about what was dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch<'a> {
    /// It begins otherwise.
    #[error("does not begin with {0}")]
    Prefix(&'a str),
    /// It is too short or too long.
    #[error("has {found} characters, not {least} to {most}")]
    Length {
        /// Characters dialled.
        found: usize,
        /// Fewest that match.
        least: usize,
        /// Most that match.
        most: usize,
    },
    /// What the edits make of it is no number.
    #[error("is no number that can be sent after the edits")]
    NoNumber,
}

/// The number that a match makes of what was dialled; `None` when it does not match, or when what
/// results is no number.
pub fn apply(matches: &DigitMatch, dialled: &str) -> Option<String> {
    edit(matches, dialled).ok().map(|edit| edit.number)
}

/// The same, with the reason when there is none.
///
/// # Errors
/// Why the match is not about what was dialled.
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

/// Whether some dialled number becomes this one by the edits of a match.
pub fn reaches(matches: &DigitMatch, number: &str) -> bool {
    let prefix = matches.prefix.as_deref().unwrap_or("");
    let Some(kept) = prefix.get(stripped(matches)..) else { return false };
    let prepend = matches.prepend.as_deref().unwrap_or("");
    let Some(rest) = number.strip_prefix(prepend).and_then(|rest| rest.strip_prefix(kept)) else {
        return false;
    };
    apply(matches, &format!("{prefix}{rest}")).as_deref() == Some(number)
}

/// Whether text is a number that may be sent: digits, `*` and `#`, with at most one plus, in front.
pub fn is_sendable(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (1..=MAX_DIALLED).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*' || byte == b'#')
}

/// Whether text is what a phone may dial inside: as [`is_sendable`].
pub fn is_dialled(number: &str) -> bool {
    is_sendable(number)
}

/// A number in the form a carrier wants it. Only E.164 numbers are rewritten; short numbers and
/// service numbers go out as they are.
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

/// What international calls begin with; `00` where a tenant's country is not known, as in most.
fn international_prefix(home: Option<&NationalDialling>) -> &str {
    home.map_or("00", |home| home.international_prefix.as_str())
}

/// What follows the plus sign, or the prefix that stands for it.
fn international<'a>(number: &'a str, home: Option<&NationalDialling>) -> Option<&'a str> {
    number.strip_prefix('+').or_else(|| number.strip_prefix(international_prefix(home)))
}

/// A number in E.164 form, as people in a country dial it; `None` where that cannot be told: of short
/// numbers, and of local ones.
pub fn to_e164(number: &str, home: Option<&NationalDialling>) -> Option<String> {
    if let Some(digits) = international(number, home) {
        return Some(format!("+{digits}"));
    }
    let home = home.filter(|home| !home.national_prefix.is_empty())?;
    let inside = number.strip_prefix(&home.national_prefix)?;
    Some(format!("+{}{inside}", home.calling_code))
}

/// Every way in which people in a country may write a number, the one given first.
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

/// Whether a number, after the digit edits, is one abroad. Countries of one calling code count as one.
/// Where home is not known, everything is abroad that can be: a limit that counts too much is seen.
pub fn is_abroad(number: &str, home: Option<&NationalDialling>) -> bool {
    let Some(digits) = international(number, home) else {
        return false; // as it is dialled inside the country
    };
    home.is_none_or(|home| !digits.starts_with(&home.calling_code))
}

/// Whether a dialled number is one abroad, by what is sent, or by a prefix of international calls that
/// the edits strip: carriers that want no plus sign get none.
pub fn leads_abroad(dialled: &str, edit: &Edit, home: Option<&NationalDialling>) -> bool {
    let stripped = dialled.get(..edit.stripped).unwrap_or_default();
    is_abroad(&edit.number, home)
        || (0..stripped.len()).any(|at| dialled.get(at..).is_some_and(|rest| is_abroad(rest, home)))
}

/// A number as a carrier sent it, in E.164 form; `None` when it is no number. Carriers are not
/// strict about the form they agreed on, so a plus sign is always believed.
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
            // Some carriers leave the national prefix out (ten digits in North America); what is
            // made of it must still be a number that the tenant holds.
            let inside = number.strip_prefix(&country.national_prefix).unwrap_or(number);
            Some(format!("+{}{inside}", country.calling_code))
        }
        _ => Some(format!("+{}", number.strip_prefix("00").unwrap_or(number))),
    }
}
