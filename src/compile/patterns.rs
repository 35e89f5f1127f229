//! Digit matches against each other and against emergency numbers.

use crate::numbers::MAX_DIALLED;
use crate::resources::common::{DigitMatch, NumberType};
use crate::route::digits;

/// Whether some number exists that both match.
pub fn overlap(a: &DigitMatch, b: &DigitMatch) -> bool {
    let (pa, pb) = (a.prefix.as_deref().unwrap_or(""), b.prefix.as_deref().unwrap_or(""));
    if !pa.starts_with(pb) && !pb.starts_with(pa) {
        return false;
    }
    let disjoint =
        |a: &[String], b: &[String]| !a.is_empty() && !b.is_empty() && !a.iter().any(|code| b.contains(code));
    if disjoint(&a.countries, &b.countries) || !types_overlap(&a.number_types, &b.number_types) {
        return false;
    }
    let (a_min, a_max) = digits::length_range(a);
    let (b_min, b_max) = digits::length_range(b);
    a_min.max(b_min) <= a_max.min(b_max)
}

/// Whether some number is of a type of both lists. An empty list has every type.
fn types_overlap(a: &[NumberType], b: &[NumberType]) -> bool {
    let share = |a: &NumberType| {
        let both = [*a, NumberType::FixedLineOrMobile];
        both.iter().any(|number| a.includes(*number) && b.iter().any(|b| b.includes(*number)))
    };
    a.is_empty() || b.is_empty() || a.iter().any(share)
}

/// The message for a match that is not [`possible`].
pub const IMPOSSIBLE: &str = "no number can match it: its prefix is longer than maxDigits, or strip and \
    prepend leave no number of digits with at most one plus sign in front";

/// Whether some number matches and can be sent after the edits.
pub fn possible(matches: &DigitMatch) -> bool {
    let prefix = matches.prefix.as_deref().unwrap_or("");
    let (least, most) = digits::length_range(matches);
    // Edits change only the front of a number, so the two shortest lengths represent all.
    (least..=most.min(MAX_DIALLED)).take(2).any(|length| {
        let rest = "1".repeat(length.saturating_sub(prefix.len()));
        digits::strip_and_prepend(matches, &format!("{prefix}{rest}")).is_some()
    })
}

/// The emergency number that a match names by its prefix. A match without a prefix is a catch-all and names
/// none: emergency numbers are decided before it.
pub fn shadows<'a>(matches: &DigitMatch, emergency: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    matches.prefix.as_ref()?;
    // An emergency number has no type and no country.
    emergency.into_iter().find(|number| digits::edit_spelling(matches, number, &[]).is_ok())
}
