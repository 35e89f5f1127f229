//! Phone numbers: how they are dialled, written and sent in every country, by libphonenumber's data.
//!
//! [`DialledNumber`] has what a person or a carrier wrote, and the public numbers ([`E164`]) that the text can mean;
//! nothing else in the crate computes with prefixes.

mod carrier;
mod country;
mod dialled;
mod e164;
mod emergency_numbers;
mod numbering_plan;
mod service_numbers;

pub use carrier::CarrierFormat;
pub use country::Country;
pub use dialled::DialledNumber;
pub use e164::E164;
pub use emergency_numbers::{emergency_numbers, known_emergency_numbers};

/// Most characters of a number that may be dialled or sent.
pub const MAX_DIALLED: usize = 32;

/// Whether text is a number that may be dialled or sent: digits, `*` and `#`, with at most one leading plus.
pub fn is_sendable(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (1..=MAX_DIALLED).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*' || byte == b'#')
}

/// The items in their order, each once.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

/// Loads the data of all countries, which takes up to half a second: call this once at start, so that no call
/// waits for it.
pub fn load() {
    let _ = Country::by_code("US");
}
