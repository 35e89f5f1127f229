//! What a person dialled, and the public numbers that this can mean.

use std::cell::OnceCell;

use super::country::Country;
use super::e164::E164;
use super::is_sendable;

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
        let Some(first) = self.readings().first() else { return false };
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

    /// The number as people of the country dial it; `None` where libphonenumber does not know the number.
    pub fn usual_spelling(&self) -> Option<String> {
        self.e164().filter(|number| number.is_known()).zip(self.home).map(|(number, home)| home.spelling(number))
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
        let mut seen = std::collections::HashSet::new();
        all.retain(|spelling| !spelling.is_empty() && seen.insert(spelling.clone()));
        all
    }
}

/// Splits the plus sign or the international prefix from a text.
fn form(text: &str, home: Option<Country>) -> Form<'_> {
    let international = text.strip_prefix('+').or_else(|| match home {
        Some(home) => home.strip_international_prefix(text),
        None => text.strip_prefix(COMMON_INTERNATIONAL_PREFIX),
    });
    international.map_or(Form::National(text), Form::International)
}

/// The readings of a text, the likeliest first, each once.
fn read(text: &str, home: Option<Country>) -> Vec<E164> {
    let mut readings: Vec<E164> = Vec::new();
    let mut add = |number: Option<E164>| {
        if let Some(number) = number.filter(|number| !readings.contains(number)) {
            readings.push(number);
        }
    };
    match form(text, home) {
        Form::International(digits) => {
            let plain = E164::from_digits(digits);
            // +49 (0) 30 …: the trunk prefix does not belong there, and people write it.
            let without_prefix = plain.as_ref().filter(|plain| !plain.is_known()).and_then(without_trunk_prefix);
            add(without_prefix);
            add(plain);
        }
        Form::National(text) => {
            let of_home = |national: &str| {
                home.and_then(|home| E164::from_digits(&format!("{}{national}", home.calling_code())))
            };
            let stripped = home.and_then(|home| home.strip_national_prefix(text));
            let within = [stripped.as_deref().and_then(of_home), of_home(text)];
            let with_code = E164::from_digits(text);
            let with_code = [with_code.as_ref().and_then(without_trunk_prefix), with_code.clone()];
            let is_home = |number: &E164| home.is_some_and(|home| home.calling_code() == number.calling_code());
            let known = |number: &&E164| number.is_known();
            let (own, foreign): (Vec<_>, Vec<_>) =
                with_code.iter().flatten().filter(known).cloned().partition(is_home);
            within.iter().flatten().filter(known).cloned().chain(own).chain(foreign).for_each(|n| add(Some(n)));
            if !within.iter().flatten().any(|number| number.is_known()) {
                within.into_iter().for_each(add);
            }
        }
    }
    readings
}

/// A number whose national digits begin with the trunk prefix, without it, where that is a known number.
fn without_trunk_prefix(number: &E164) -> Option<E164> {
    let country = Country::main_of(number.calling_code())?;
    let national = country.strip_national_prefix(number.national())?;
    E164::from_digits(&format!("{}{national}", number.calling_code())).filter(E164::is_known)
}
