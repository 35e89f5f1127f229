//! Digit matches and edits.

use crate::numbers::{DialledNumber, E164, MAX_DIALLED, is_sendable};
use crate::resources::common::{DigitMatch, NumberType};

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
    /// The number is of another type, or of none that is known.
    #[error("is no number of the types {}", list(.0))]
    NumberType(&'a [NumberType]),
    /// The number is of another country, or of none that is known.
    #[error("is no number of {}", .0.join(", "))]
    Country(&'a [String]),
    /// The edits do not produce a number.
    #[error("is no number that can be sent after the edits")]
    NoNumber,
}

/// Applies a match to a dialled number.
///
/// # Errors
/// When the number does not match, or the edits do not produce a number.
pub fn edit<'a>(matches: &'a DigitMatch, dialled: &DialledNumber) -> Result<Edit, Mismatch<'a>> {
    edit_spelling(matches, dialled.as_str(), readings_for(matches, dialled))
}

/// Like [`edit`], for one spelling of a number with these readings.
///
/// # Errors
/// When the spelling does not match, or the edits do not produce a number.
pub fn edit_spelling<'a>(
    matches: &'a DigitMatch,
    spelling: &str,
    readings: &[E164],
) -> Result<Edit, Mismatch<'a>> {
    let prefix = matches.prefix.as_deref().unwrap_or("");
    let (least, most) = length_range(matches);
    if !spelling.starts_with(prefix) {
        return Err(Mismatch::Prefix(prefix));
    }
    if !(least..=most).contains(&spelling.len()) {
        return Err(Mismatch::Length { found: spelling.len(), least, most });
    }
    is_of_kind(matches, readings)?;
    strip_and_prepend(matches, spelling).ok_or(Mismatch::NoNumber)
}

/// The edits of a match, for a number that matches; `None` when they do not produce a number.
pub fn strip_and_prepend(matches: &DigitMatch, spelling: &str) -> Option<Edit> {
    let stripped = stripped(matches);
    let rest = spelling.get(stripped..)?;
    let number = format!("{}{rest}", matches.prepend.as_deref().unwrap_or(""));
    is_sendable(&number).then_some(Edit { number, stripped })
}

/// The readings that a match asks for: none, where it names no types and no countries.
pub fn readings_for<'a>(matches: &DigitMatch, dialled: &'a DialledNumber) -> &'a [E164] {
    if matches.number_types.is_empty() && matches.countries.is_empty() { &[] } else { dialled.readings() }
}

/// Checks the types and countries of a match. One reading of the number suffices.
fn is_of_kind<'a>(matches: &'a DigitMatch, readings: &[E164]) -> Result<(), Mismatch<'a>> {
    let types = matches.number_types.as_slice();
    let is_of_type = |number: &E164| {
        number.number_type().is_some_and(|found| types.iter().any(|named| named.includes(found)))
    };
    if !types.is_empty() && !readings.iter().any(is_of_type) {
        return Err(Mismatch::NumberType(types));
    }
    let countries = matches.countries.as_slice();
    let is_of_country = |number: &E164| {
        number.country().is_some_and(|country| countries.iter().any(|code| code == country.code()))
    };
    if !countries.is_empty() && !readings.iter().any(is_of_country) {
        return Err(Mismatch::Country(countries));
    }
    Ok(())
}

fn list(types: &[NumberType]) -> String {
    types.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(", ")
}

/// Whether the edits of a match can produce this public number from a dialled one.
pub fn reaches(matches: &DigitMatch, number: &str) -> bool {
    let prefix = matches.prefix.as_deref().unwrap_or("");
    let Some(kept) = prefix.get(stripped(matches)..) else { return false };
    let prepend = matches.prepend.as_deref().unwrap_or("");
    let Some(rest) = number.strip_prefix(prepend).and_then(|rest| rest.strip_prefix(kept)) else {
        return false;
    };
    let readings: Vec<E164> = E164::parse(number).into_iter().collect();
    let edit = edit_spelling(matches, &format!("{prefix}{rest}"), &readings);
    edit.is_ok_and(|edit| edit.number == number)
}

/// Whether a dialled number is abroad: by the number sent, or by an international prefix that the edits strip for
/// carriers that want none.
pub fn leads_abroad(dialled: &DialledNumber, edit: &Edit) -> bool {
    let is_abroad = |text: &str| dialled.with_text(text).is_some_and(|number| number.is_abroad());
    let suffixes = (0..edit.stripped).filter_map(|at| dialled.as_str().get(at..));
    is_abroad(&edit.number) || suffixes.into_iter().any(is_abroad)
}
