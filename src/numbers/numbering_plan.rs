//! Numbering plans of countries, from libphonenumber's metadata.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use phonenumber::metadata::{DATABASE, Descriptor, Metadata};
use regex::Regex;

use crate::resources::common::NumberType;

/// libphonenumber's code for calling codes that belong to no country.
pub const NO_COUNTRY: &str = "001";

/// The numbering plan of a country.
pub struct Plan {
    /// ISO 3166-1 alpha-2; `001` where the calling code belongs to no country.
    pub code: String,
    pub calling_code: String,
    /// Whether the country has the calling code's numbers that belong to no other country of the code.
    pub is_main: bool,
    pub leading_digits: Option<Pattern>,
    pub international: Option<Pattern>,
    pub international_prefix: String,
    pub national_prefix: String,
    /// What stands before a national number: the trunk prefix, perhaps with a carrier's code.
    pub trunk: Option<Pattern>,
    /// Replacement for what `trunk` matches, such as `9$1`.
    pub trunk_transform: Option<String>,
    /// Lengths of numbers as they are dialled within their area.
    pub local_lengths: Vec<u16>,
    pub general: NumberPattern,
    /// Patterns by type, in the order in which libphonenumber tries them.
    pub types: Vec<(NumberType, NumberPattern)>,
    pub formats: Vec<Format>,
}

/// A regular expression. It is compiled when it is first used.
pub struct Pattern {
    pub text: String,
    pub regex: OnceLock<Option<Regex>>,
}

/// What national numbers look like.
pub struct NumberPattern {
    pub lengths: Vec<u16>,
    pub pattern: Pattern,
}

/// How numbers that begin with certain digits are written within their country.
pub struct Format {
    pub leading_digits: Option<Pattern>,
    pub pattern: Pattern,
    pub has_national_prefix: bool,
}

/// All plans, by calling code: the main country of a code first.
pub static PLANS: LazyLock<HashMap<String, Vec<Plan>>> = LazyLock::new(|| {
    let of_code = |code: u16| DATABASE.by_code(&code).unwrap_or_default().into_iter().map(Plan::new);
    let mut plans: HashMap<String, Vec<Plan>> = HashMap::new();
    for plan in (1..1000).flat_map(of_code) {
        plans.entry(plan.calling_code.clone()).or_default().push(plan);
    }
    for of_code in plans.values_mut() {
        of_code.sort_by(|a, b| (!a.is_main, &a.code).cmp(&(!b.is_main, &b.code)));
    }
    plans
});

/// The plan of each country, by its ISO code.
pub static COUNTRIES: LazyLock<HashMap<&'static str, &'static Plan>> = LazyLock::new(|| {
    let countries = PLANS.values().flatten().filter(|plan| plan.code != NO_COUNTRY);
    countries.map(|plan| (plan.code.as_str(), plan)).collect()
});

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

    pub fn number_type(&self, national: &str) -> Option<NumberType> {
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

    pub fn matches(&self, national: &str) -> bool {
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
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.text).ok()).as_ref()
    }

    pub fn matches(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// Where a match at the beginning ends.
    pub fn end_of_match(&self, text: &str) -> Option<usize> {
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
}
