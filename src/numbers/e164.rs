//! A public number in international form.

use std::fmt;

use super::country::Country;
use crate::resources::common::NumberType;

/// A public number in E.164 form: a plus sign and 2 to 15 digits, the first of which is not 0 (ITU-T E.164).
///
/// The number need not exist: [`Self::number_type`] says whether libphonenumber knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(String);

impl E164 {
    /// Reads a number with its plus sign; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_digits(text.strip_prefix('+')?)
    }

    /// The number of these digits, which begin with a calling code.
    pub(super) fn from_digits(digits: &str) -> Option<Self> {
        let is_number = (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self(format!("+{digits}")))
    }

    /// The number of a calling code and the digits after it.
    pub(super) fn from_parts(calling_code: &str, national: &str) -> Option<Self> {
        Self::from_digits(&format!("{calling_code}{national}"))
    }

    /// The number with its plus sign.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the plus sign.
    pub fn digits(&self) -> &str {
        self.0.get(1..).unwrap_or_default()
    }

    /// Digits of the calling code; empty where no country has it.
    pub fn calling_code(&self) -> &str {
        Country::calling_code_of(self.digits()).unwrap_or_default()
    }

    /// The digits after the calling code.
    pub fn national(&self) -> &str {
        self.digits().get(self.calling_code().len()..).unwrap_or_default()
    }

    /// The country that has the number; `None` where no country of its calling code has it.
    pub fn country(&self) -> Option<Country> {
        Country::of(self.digits())
    }

    /// The type of the number; `None` for a number that libphonenumber does not know, such as +4911880: short and
    /// service numbers have no international form.
    pub fn number_type(&self) -> Option<NumberType> {
        self.country()?.number_type(self.national())
    }

    /// Whether libphonenumber knows the number.
    pub fn is_known(&self) -> bool {
        self.number_type().is_some()
    }

    /// Whether the number is of another country than this one. A number that no country of the calling code has
    /// counts as one of `home` if `home` has the calling code.
    pub fn is_abroad(&self, home: Country) -> bool {
        match self.country() {
            Some(country) => country.code() != home.code(),
            None => self.calling_code() != home.calling_code(),
        }
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
