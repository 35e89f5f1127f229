//! SIP passwords for extensions that name none.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Generate, Key};

/// Characters of a generated password.
const LENGTH: usize = 24;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A password from the system's random source, every character equally likely.
pub fn password() -> String {
    let mut password = String::with_capacity(LENGTH);
    while password.len() < LENGTH {
        let random = Key::<Aes256Gcm>::generate();
        // 248 is the largest multiple of 62 in a byte: what is above would favour some characters.
        let fair = random.iter().filter(|byte| **byte < 248);
        let characters = fair.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()));
        password.extend(characters.map(|byte| char::from(*byte)).take(LENGTH - password.len()));
    }
    password
}
