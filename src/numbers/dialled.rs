//! What a person dialled, and the public numbers that this can mean.

use std::cell::OnceCell;

use super::country::Country;
use super::e164::E164;
use super::{distinct, is_sendable, service_numbers};

/// Fewest digits of a number that stands before surplus digits: more than a service number has.
const MIN_BEFORE_SURPLUS: usize = service_numbers::MAX_DIGITS + 1;

/// International prefix where the country is not known.
const COMMON_INTERNATIONAL_PREFIX: &str = "00";

/// A number as it was dialled in a country: digits, `*` and `#`, with at most one leading plus.
#[derive(Clone, Debug)]
pub struct DialledNumber {
    text: String,
    home: Option<Country>,
    readings: OnceCell<Vec<E164>>,
}

/// How a text says that it is a number of any country.
enum Form<'a> {
    /// With a plus sign or the international prefix; with the digits after it.
    International(&'a str),
    /// As it is dialled within the country.
    National(&'a str),
}

impl DialledNumber {
    /// A number that was dialled in a country; `None` for text that is no number. Where `home` is `None`, the
    /// country is not known, and 00 is the international prefix.
    pub fn new(text: &str, home: Option<Country>) -> Option<Self> {
        is_sendable(text).then(|| Self { text: text.to_owned(), home, readings: OnceCell::new() })
    }

    /// The number as it was dialled.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Another number, dialled in the same country.
    pub fn with_text(&self, text: &str) -> Option<Self> {
        Self::new(text, self.home)
    }

    /// The public numbers that the dialled number can mean, the likeliest first. A number that libphonenumber does
    /// not know, such as a short number, means itself after the country's calling code, too.
    pub fn readings(&self) -> &[E164] {
        self.readings.get_or_init(|| read(&self.text, self.home))
    }

    /// The public number, where libphonenumber knows it or the text is in international form.
    pub fn e164(&self) -> Option<&E164> {
        let first = self.readings().first()?;
        let is_international = matches!(form(&self.text, self.home), Form::International(_));
        (is_international || (first.is_known() && !self.is_only_foreign(first))).then_some(first)
    }

    /// Whether a reading is another country's number without a plus sign or prefix. Nobody dials so, but a route may
    /// send it so.
    fn is_only_foreign(&self, reading: &E164) -> bool {
        self.home.is_none_or(|home| home.calling_code() != reading.calling_code())
            && matches!(form(&self.text, self.home), Form::National(_))
    }

    /// Whether the call goes to another country. Where the country is not known, every number in international
    /// form does: a limit that counts too many calls gets noticed. So does a number of another country without a
    /// plus sign, unless its length is that of a number within the country.
    pub fn is_abroad(&self) -> bool {
        let Some(first) = self.readings().first() else {
            let is_international = matches!(form(&self.text, self.home), Form::International(_));
            return is_international || self.shortened().iter().any(Self::is_abroad);
        };
        match (form(&self.text, self.home), self.home) {
            (Form::International(_), None) => true,
            (Form::International(_), Some(home)) => first.is_abroad(home),
            (Form::National(_), Some(home)) if self.is_only_foreign(first) => {
                first.is_known() && !home.has_local_length(self.text.len())
            }
            (Form::National(_), Some(home)) => first.is_known() && first.is_abroad(home),
            (Form::National(_), None) => false,
        }
    }

    /// Numbers that a carrier may take the dialled one for: carriers leave out `*` and `#` or what follows, digits
    /// beyond those of a number, and zeros after the plus sign. What is blocked must not leave with such an addition.
    pub fn shortened(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let digits = self.text.trim_start_matches('+');
        let plain = digits.split(['*', '#']).next().unwrap_or_default();
        if plain != digits && !plain.is_empty() {
            let cut = self.text.split(['*', '#']).next().unwrap_or_default();
            all.extend(self.with_text(&self.text.replace(['*', '#'], "")));
            all.extend(self.with_text(cut));
        }
        if self.text.starts_with("+0") {
            all.extend(self.with_text(plain));
        }
        let base = all.last().unwrap_or(self);
        let is_known = |number: &Self| number.readings().iter().any(E164::is_known);
        if !is_known(base) {
            let lengths = (MIN_BEFORE_SURPLUS..base.text.len()).rev();
            let mut shorter = lengths.filter_map(|length| base.with_text(base.text.get(..length)?));
            let known = shorter.find(is_known);
            all.extend(known);
        }
        all
    }

    /// The number as people of the country dial it; `None` where libphonenumber does not know the number.
    pub fn usual_spelling(&self) -> Option<String> {
        self.e164()
            .filter(|number| number.is_known())
            .zip(self.home)
            .map(|(number, home)| home.spelling(number))
    }

    /// All spellings of all readings, the dialled one first, each once: with a plus sign, after the international
    /// prefix, after the calling code without a plus sign, and within the country with and without the trunk prefix.
    pub fn spellings(&self) -> Vec<String> {
        let mut all = vec![self.text.clone()];
        let prefix = self.home.map_or(COMMON_INTERNATIONAL_PREFIX, Country::international_prefix);
        for number in self.readings() {
            let digits = number.digits();
            all.extend([number.as_str().to_owned(), format!("{prefix}{digits}"), digits.to_owned()]);
            let home = self.home.filter(|home| home.calling_code() == number.calling_code());
            if let Some(home) = home {
                let national = number.national();
                all.extend([format!("{}{national}", home.national_prefix()), national.to_owned()]);
            }
        }
        distinct(all.into_iter().filter(|spelling| !spelling.is_empty()))
    }
}

/// Splits the plus sign or the international prefix from a text.
fn form(text: &str, home: Option<Country>) -> Form<'_> {
    let international = text.strip_prefix('+').or_else(|| match home {
        // Brazil's and Indonesia's prefixes have a carrier's digits, which people and carriers leave out.
        Some(home) => home.strip_international_prefix(text).or_else(|| {
            let rest = text.strip_prefix(COMMON_INTERNATIONAL_PREFIX)?;
            E164::from_digits(rest).is_some_and(|number| number.is_known()).then_some(rest)
        }),
        None => text.strip_prefix(COMMON_INTERNATIONAL_PREFIX),
    });
    international.map_or(Form::National(text), Form::International)
}

/// The readings of a text, the likeliest first, each once: those that libphonenumber knows, or else all.
fn read(text: &str, home: Option<Country>) -> Vec<E164> {
    let within = within(text, home);
    let candidates: Vec<E164> = match form(text, home) {
        Form::International(digits) => {
            let common = text.strip_prefix(COMMON_INTERNATIONAL_PREFIX).unwrap_or(digits);
            let plain = [digits, common].into_iter().filter_map(E164::from_digits);
            // +49 (0) 30 …: the trunk prefix does not belong there, and people write it.
            plain.flat_map(|number| [Some(number.clone()), without_trunk_prefix(&number)]).flatten().collect()
        }
        Form::National(text) => {
            let with_code = E164::from_digits(text);
            let without_prefix = with_code.as_ref().and_then(without_trunk_prefix);
            let is_home =
                |number: &E164| home.is_some_and(|home| home.calling_code() == number.calling_code());
            let (own, foreign): (Vec<_>, Vec<_>) =
                without_prefix.into_iter().chain(with_code).partition(is_home);
            let foreign = foreign.into_iter().filter(E164::is_known);
            within.iter().cloned().chain(own).chain(foreign).collect()
        }
    };
    let is_any_known = candidates.iter().chain(&within).any(E164::is_known);
    let all = candidates.into_iter().chain(within.into_iter().filter(E164::is_known));
    distinct(all.filter(|number| number.is_known() || !is_any_known))
}

/// What a text can mean as a number of the country: without the trunk prefix, and as it is.
fn within(text: &str, home: Option<Country>) -> Vec<E164> {
    let Some(home) = home else { return Vec::new() };
    let stripped = home.strip_national_prefix(text);
    let national = stripped.iter().map(String::as_str).chain([text]);
    national.filter_map(|national| E164::from_parts(home.calling_code(), national)).collect()
}

/// A number whose national digits begin with the trunk prefix, without it, where that is a known number.
fn without_trunk_prefix(number: &E164) -> Option<E164> {
    let country = Country::main_of(number.calling_code())?;
    let stripped = country.strip_national_prefix(number.national()).into_iter();
    let mut numbers = stripped.filter_map(|national| E164::from_parts(number.calling_code(), &national));
    numbers.find(E164::is_known)
}
