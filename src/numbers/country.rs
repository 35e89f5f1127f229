//! Countries, and how numbers are dialled in them.

use super::e164::E164;
use super::numbering_plan::{COUNTRIES, Format, PLANS, Plan};
use super::service_numbers::is_service_number;
use crate::resources::common::NumberType;

/// A country with its numbering plan, or the numbers of a calling code that belongs to no country, such as +800.
#[derive(Clone, Copy)]
pub struct Country(&'static Plan);

impl Country {
    /// A country by its ISO 3166-1 alpha-2 code; `None` for one that libphonenumber does not know.
    pub fn by_code(code: &str) -> Option<Self> {
        COUNTRIES.get(code).copied().map(Self)
    }

    /// ISO codes of all countries, in alphabetical order.
    pub fn codes() -> Vec<&'static str> {
        let mut codes: Vec<_> = COUNTRIES.keys().copied().collect();
        codes.sort_unstable();
        codes
    }

    /// The country of a number without its plus sign; `None` where no country of the calling code has it.
    pub(super) fn of(digits: &str) -> Option<Self> {
        let (plans, national) = split(digits)?;
        if let [only] = plans {
            return Some(Self(only));
        }
        let leads =
            |plan: &&Plan| plan.leading_digits.as_ref().is_some_and(|leading| leading.matches(national));
        let has = |plan: &&Plan| plan.number_type(national).is_some();
        // Countries of one code share some numbers: Åland's freephone numbers begin as Finland's do.
        let both = plans.iter().find(|plan| leads(plan) && has(plan));
        both.or_else(|| plans.iter().find(has)).or_else(|| plans.iter().find(leads)).map(Self)
    }

    /// The main country of a calling code.
    pub(super) fn main_of(calling_code: &str) -> Option<Self> {
        PLANS.get(calling_code)?.first().map(Self)
    }

    /// Digits of the calling code that a number without its plus sign begins with.
    pub(super) fn calling_code_of(digits: &str) -> Option<&str> {
        (1..=3).filter_map(|length| digits.get(..length)).find(|code| PLANS.contains_key(*code))
    }

    /// ISO 3166-1 alpha-2 code; `001` for numbers of no country.
    pub fn code(self) -> &'static str {
        &self.0.code
    }

    /// Digits of the calling code, such as `49`.
    pub fn calling_code(self) -> &'static str {
        &self.0.calling_code
    }

    /// The digits after the calling code of a number with a plus sign; `None` where it has another calling code.
    pub fn digits_within(self, number: &str) -> Option<&str> {
        number.strip_prefix('+')?.strip_prefix(self.calling_code())
    }

    /// Digits that are dialled before a number of another country, such as `00`.
    pub fn international_prefix(self) -> &'static str {
        &self.0.international_prefix
    }

    /// Digits that are dialled before a national number, such as `0`; empty in countries without any.
    pub fn national_prefix(self) -> &'static str {
        &self.0.national_prefix
    }

    /// The digits after the international prefix.
    pub(super) fn strip_international_prefix(self, text: &str) -> Option<&str> {
        let end = self.0.international.as_ref()?.end_of_match(text)?;
        text.get(end..).filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit() && first != '0'))
    }

    /// A number that was dialled with the trunk prefix, without it. Where carriers' digits may follow the prefix, as in
    /// Colombia, without these and with them.
    pub(super) fn strip_national_prefix(self, text: &str) -> Vec<String> {
        let plain = text.strip_prefix(self.national_prefix()).filter(|rest| *rest != text);
        self.strip_trunk(text).into_iter().chain(plain.map(str::to_owned)).collect()
    }

    fn strip_trunk(self, text: &str) -> Option<String> {
        let captures = self.0.trunk.as_ref()?.regex()?.captures(text)?;
        let whole = captures.get(0).filter(|whole| !whole.is_empty())?;
        let rest = text.get(whole.end()..)?;
        match &self.0.trunk_transform {
            Some(rule) if captures.len() > 1 && captures.get(captures.len() - 1).is_some() => {
                let mut front = String::new();
                captures.expand(rule, &mut front);
                Some(front + rest)
            }
            _ => Some(rest.to_owned()),
        }
    }

    /// The type of a national number; `None` where the country has no such number.
    pub fn number_type(self, national: &str) -> Option<NumberType> {
        self.0.number_type(national)
    }

    /// Whether numbers of this many digits are dialled within an area of the country.
    pub(super) fn has_local_length(self, length: usize) -> bool {
        self.0.local_lengths.iter().any(|local| usize::from(*local) == length)
    }

    /// A number as it is dialled in the country: national numbers with the trunk prefix where they are written with
    /// it, others after the international prefix.
    pub fn spelling(self, number: &E164) -> String {
        if number.calling_code() != self.calling_code() {
            return format!("{}{}", self.international_prefix(), number.digits());
        }
        let prefix = if self.writes_national_prefix(number.national()) { self.national_prefix() } else { "" };
        format!("{prefix}{}", number.national())
    }

    /// Whether a national number is written, and so dialled, with the trunk prefix.
    fn writes_national_prefix(self, national: &str) -> bool {
        if self.0.national_prefix.is_empty() || is_service_number(self, national) {
            return false;
        }
        // North America writes numbers without the 1 that carriers expect.
        if self.0.calling_code == "1" {
            return true;
        }
        let applies = |format: &&Format| {
            format.leading_digits.as_ref().is_none_or(|leading| leading.matches(national))
                && format.pattern.matches(national)
        };
        let format = self.0.formats.iter().find(applies);
        // A number without a format is of no known kind: most are dialled with the prefix.
        format.is_none_or(|format| format.has_national_prefix)
    }
}

/// The plans of the calling code that a number begins with, and the national digits.
fn split(digits: &str) -> Option<(&'static [Plan], &str)> {
    let code = Country::calling_code_of(digits)?;
    Some((PLANS.get(code)?, digits.get(code.len()..)?))
}

impl std::fmt::Debug for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbering_plan::NO_COUNTRY;
    use super::*;

    #[test]
    fn calling_codes_of_no_country_are_known() {
        for (digits, kind) in
            [("80012345678", NumberType::TollFree), ("979123456789", NumberType::PremiumRate)]
        {
            let country = Country::of(digits).unwrap();
            assert_eq!(country.code(), NO_COUNTRY);
            assert_eq!(country.number_type(&digits[3..]), Some(kind), "+{digits}");
        }
        assert_eq!(Country::codes().len(), 245);
        assert!(Country::by_code(NO_COUNTRY).is_none());
    }
}
