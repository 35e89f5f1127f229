//! SIP passwords for extensions that name none.

use rand::distr::{Alphanumeric, SampleString};

/// Characters of a generated password.
const LENGTH: usize = 24;

/// Generates a password of letters and digits, every one of them equally likely.
pub fn generate_password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), LENGTH)
}
