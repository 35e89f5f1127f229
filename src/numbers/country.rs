//! Countries and their numbering plans, from libphonenumber's metadata.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use phonenumber::metadata::{DATABASE, Descriptor, Metadata};
use regex::Regex;

use super::e164::E164;
use crate::resources::common::NumberType;

/// Most digits of a number that is taken for a service number if libphonenumber does not know it, such as 11880.
const MAX_SERVICE_NUMBER: usize = 6;

/// A country with its numbering plan, or the numbers of a calling code that belongs to no country, such as +800.
#[derive(Clone, Copy)]
pub struct Country(&'static Plan);

/// The numbering plan of a country.
struct Plan {
    /// ISO 3166-1 alpha-2; `001` where the calling code belongs to no country.
    code: String,
    calling_code: String,
    /// Whether the country has the calling code's numbers that belong to no other country of the code.
    is_main: bool,
    leading_digits: Option<Pattern>,
    international: Option<Pattern>,
    international_prefix: String,
    national_prefix: String,
    /// What stands before a national number: the trunk prefix, perhaps with a carrier's code.
    trunk: Option<Pattern>,
    /// Replacement for what `trunk` matches, such as `9$1`.
    trunk_transform: Option<String>,
    /// Lengths of numbers as they are dialled within their area.
    local_lengths: Vec<u16>,
    general: NumberPattern,
    /// Patterns by type, in the order in which libphonenumber tries them.
    types: Vec<(NumberType, NumberPattern)>,
    formats: Vec<Format>,
}

/// A regular expression. It is compiled when it is first used.
struct Pattern {
    text: String,
    regex: OnceLock<Option<Regex>>,
}

/// What national numbers look like.
struct NumberPattern {
    lengths: Vec<u16>,
    pattern: Pattern,
}

/// How numbers that begin with certain digits are written within their country.
struct Format {
    leading_digits: Option<Pattern>,
    pattern: Pattern,
    has_national_prefix: bool,
}

/// All plans, by calling code: the main country of a code first.
static PLANS: LazyLock<HashMap<String, Vec<Plan>>> = LazyLock::new(|| {
    let mut plans: HashMap<String, Vec<Plan>> = HashMap::new();
    for metadata in DATABASE.iter() {
        let plan = Plan::new(metadata);
        plans.entry(plan.calling_code.clone()).or_default().push(plan);
    }
    // The crate keeps the last of the calling codes that belong to no country by id, and all of them by code.
    for code in 1..1000 {
        for metadata in DATABASE.by_code(&code).unwrap_or_default() {
            let of_code = plans.entry(code.to_string()).or_default();
            if metadata.country_code() == code && !of_code.iter().any(|plan| plan.code == metadata.id()) {
                of_code.push(Plan::new(metadata));
            }
        }
    }
    for of_code in plans.values_mut() {
        of_code.sort_by(|a, b| (!a.is_main, &a.code).cmp(&(!b.is_main, &b.code)));
    }
    plans
});

/// Calling code of each country, by its ISO code.
static CALLING_CODES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let countries = PLANS.values().flatten().filter(|plan| plan.code != Country::NO_COUNTRY);
    countries.map(|plan| (plan.code.as_str(), plan.calling_code.as_str())).collect()
});

impl Country {
    /// libphonenumber's code for calling codes that belong to no country.
    pub const NO_COUNTRY: &str = "001";

    /// A country by its ISO 3166-1 alpha-2 code; `None` for one that libphonenumber does not know.
    pub fn by_code(code: &str) -> Option<Self> {
        let plans = PLANS.get(*CALLING_CODES.get(code)?)?;
        plans.iter().find(|plan| plan.code == code).map(Self)
    }

    /// ISO codes of all countries, in alphabetical order.
    pub fn codes() -> Vec<&'static str> {
        let mut codes: Vec<_> = CALLING_CODES.keys().copied().collect();
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

    /// ISO 3166-1 alpha-2 code; [`Self::NO_COUNTRY`] for numbers of no country.
    pub fn code(self) -> &'static str {
        &self.0.code
    }

    /// Digits of the calling code, such as `49`.
    pub fn calling_code(self) -> &'static str {
        &self.0.calling_code
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
        let is_service_number = national.len() <= MAX_SERVICE_NUMBER && self.number_type(national).is_none();
        if self.0.national_prefix.is_empty() || is_service_number {
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

impl PartialEq for Country {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code() && self.calling_code() == other.calling_code()
    }
}

impl std::fmt::Debug for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl Plan {
    fn new(metadata: &Metadata) -> Self {
        let descriptors = metadata.descriptors();
        let types = [
            (NumberType::PremiumRate, descriptors.premium_rate()),
            (NumberType::TollFree, descriptors.toll_free()),
            (NumberType::SharedCost, descriptors.shared_cost()),
            (NumberType::Voip, descriptors.voip()),
            (NumberType::PersonalNumber, descriptors.personal_number()),
            (NumberType::Pager, descriptors.pager()),
            (NumberType::CompanyNumber, descriptors.uan()),
            (NumberType::Voicemail, descriptors.voicemail()),
            (NumberType::FixedLine, descriptors.fixed_line()),
            (NumberType::Mobile, descriptors.mobile()),
        ];
        let types =
            types.into_iter().filter_map(|(kind, found)| Some((kind, NumberPattern::new(found?)))).collect();
        let national_prefix = metadata.national_prefix().unwrap_or_default().to_owned();
        let general = descriptors.general();
        let international = metadata.international_prefix().map(|regex| regex.as_str().to_owned());
        let is_plain = |text: &&String| text.bytes().all(|byte| byte.is_ascii_digit());
        let preferred = metadata.preferred_international_prefix().map(|prefix| prefix.replace('~', ""));
        let plain = preferred.or_else(|| international.as_ref().filter(is_plain).cloned());
        Self {
            code: metadata.id().to_owned(),
            calling_code: metadata.country_code().to_string(),
            is_main: metadata.is_main_country_for_code(),
            leading_digits: metadata.leading_digits().map(|regex| Pattern::start(regex.as_str())),
            international: international.map(|text| Pattern::start(&text)),
            international_prefix: plain.unwrap_or_else(|| "00".to_owned()),
            trunk: metadata.national_prefix_for_parsing().map(|regex| Pattern::start(regex.as_str())),
            trunk_transform: metadata.national_prefix_transform_rule().map(braced),
            local_lengths: general.possible_local_length().to_vec(),
            general: NumberPattern::new(general),
            types,
            formats: metadata
                .formats()
                .iter()
                .map(|format| Format {
                    leading_digits: format
                        .leading_digits()
                        .last()
                        .map(|regex| Pattern::start(regex.as_str())),
                    pattern: Pattern::whole(format.pattern().as_str()),
                    has_national_prefix: format.national_prefix().is_some_and(|rule| {
                        rule.contains("$NP")
                            || (!national_prefix.is_empty() && rule.contains(&national_prefix))
                    }),
                })
                .collect(),
            national_prefix,
        }
    }

    fn number_type(&self, national: &str) -> Option<NumberType> {
        if !self.general.matches(national) {
            return None;
        }
        let first =
            self.types.iter().find(|(_, pattern)| pattern.matches(national)).map(|(kind, _)| *kind)?;
        let is_mobile = |(kind, pattern): &(NumberType, NumberPattern)| {
            *kind == NumberType::Mobile && pattern.matches(national)
        };
        match first {
            NumberType::FixedLine if self.types.iter().any(is_mobile) => Some(NumberType::FixedLineOrMobile),
            first => Some(first),
        }
    }
}

/// A replacement text with its groups in braces, so that digits after a group are not part of its name.
fn braced(rule: &str) -> String {
    let mut text = String::new();
    let mut characters = rule.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('$', Some(group)) if group.is_ascii_digit() => {
                text.push_str(&format!("${{{group}}}"));
                characters.next();
            }
            _ => text.push(character),
        }
    }
    text
}

/// The data has its patterns over several lines.
fn without_spaces(pattern: &str) -> String {
    pattern.split_whitespace().collect()
}

impl NumberPattern {
    fn new(descriptor: &Descriptor) -> Self {
        let lengths = descriptor.possible_length().to_vec();
        Self { lengths, pattern: Pattern::whole(descriptor.national_number().as_str()) }
    }

    fn matches(&self, national: &str) -> bool {
        let is_possible = self.lengths.iter().any(|length| usize::from(*length) == national.len());
        (self.lengths.is_empty() || is_possible) && self.pattern.matches(national)
    }
}

impl Pattern {
    /// A pattern of the beginning of a text.
    fn start(pattern: &str) -> Self {
        Self { text: format!("^(?:{})", without_spaces(pattern)), regex: OnceLock::new() }
    }

    /// A pattern of a whole text.
    fn whole(pattern: &str) -> Self {
        Self { text: format!("^(?:{})$", without_spaces(pattern)), regex: OnceLock::new() }
    }

    /// The regular expression; `None` for one that the crate `regex` cannot read, which the tests rule out.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.text).ok()).as_ref()
    }

    fn matches(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// Where a match at the beginning ends.
    fn end_of_match(&self, text: &str) -> Option<usize> {
        Some(self.regex()?.find(text)?.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_data_is_readable() {
        for plan in PLANS.values().flatten() {
            let own = [&plan.leading_digits, &plan.international, &plan.trunk].into_iter().flatten();
            let types = plan.types.iter().map(|(_, numbers)| &numbers.pattern).chain([&plan.general.pattern]);
            let formats = plan.formats.iter().flat_map(|f| f.leading_digits.iter().chain([&f.pattern]));
            for pattern in own.chain(types).chain(formats) {
                assert!(pattern.regex().is_some(), "{}: {}", plan.code, pattern.text);
            }
        }
    }

    #[test]
    fn calling_codes_of_no_country_are_known() {
        for (digits, kind) in
            [("80012345678", NumberType::TollFree), ("979123456789", NumberType::PremiumRate)]
        {
            let country = Country::of(digits).unwrap();
            assert_eq!(country.code(), Country::NO_COUNTRY);
            assert_eq!(country.number_type(&digits[3..]), Some(kind), "+{digits}");
        }
        assert_eq!(Country::codes().len(), 245);
        assert!(Country::by_code(Country::NO_COUNTRY).is_none());
    }
}
