//! Numbers as carriers write them.

use super::country::Country;
use super::dialled::DialledNumber;
use super::distinct;
use super::e164::E164;
use crate::resources::common::NumberFormat;

/// How a carrier writes numbers.
#[derive(Clone, Copy, Debug)]
pub struct CarrierFormat {
    format: NumberFormat,
    country: Option<Country>,
}

impl CarrierFormat {
    /// A format, with the carrier's country (ISO 3166-1 alpha-2). Without a country that is known, national numbers
    /// are written in E.164 form.
    pub fn new(format: NumberFormat, country: Option<&str>) -> Self {
        Self { format, country: country.and_then(Country::by_code) }
    }

    /// Writes a number as the carrier expects it. Only numbers in E.164 form are converted: short and service numbers
    /// stay as they are.
    pub fn write(self, number: &str) -> String {
        let Some(e164) = E164::parse(number) else { return number.to_owned() };
        match (self.format, self.country) {
            (NumberFormat::E164, _) | (NumberFormat::National, None) => number.to_owned(),
            (NumberFormat::E164WithoutPlus, _) => e164.digits().to_owned(),
            (NumberFormat::National, Some(country)) => country.spelling(&e164),
        }
    }

    /// The public numbers that a number from the carrier can mean, the likeliest first: carriers deviate from the
    /// agreed format, and which number is meant shows by those that a tenant has.
    pub fn read(self, number: &str) -> Vec<E164> {
        let Some(dialled) = DialledNumber::new(number, self.country) else { return Vec::new() };
        let digits = number.strip_prefix("00").unwrap_or(number);
        let with_code = E164::from_digits(digits).into_iter();
        let readings = dialled.readings().iter().cloned();
        match self.format {
            NumberFormat::National => distinct(readings.chain(with_code)),
            NumberFormat::E164 | NumberFormat::E164WithoutPlus => distinct(with_code.chain(readings)),
        }
    }

    /// The number of a caller, in a form that can be called back; `None` where no reading is a known number.
    pub fn read_caller(self, number: &str) -> Option<E164> {
        self.read(number).into_iter().find(E164::is_known)
    }
}
