//! Passwords with which browsers register: of one extension, and of one hour. They are computed and stored nowhere: every
//! process that has the installation's signing key makes the same ones.

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use uuid::Uuid;

use super::signing_key::SigningKey;

/// Seconds for which a password is the current one; it is accepted for as long again.
pub const HOUR_SECONDS: i64 = 3600;

/// Characters of a password: 130 bits.
const LENGTH: usize = 26;

/// The passwords of an extension that are accepted at a time: that of its hour, and that of the previous one.
pub fn accepted(key: &SigningKey, tenant: Uuid, extension: &str, now: Timestamp) -> [String; 2] {
    let hour = now.as_second().div_euclid(HOUR_SECONDS);
    [hour, hour - 1].map(|hour| web_password(key, tenant, extension, hour))
}

/// The password of an extension (its resource's name) in an hour since 1970.
fn web_password(key: &SigningKey, tenant: Uuid, extension: &str, hour: i64) -> String {
    let parts: [&[u8]; 3] = [tenant.as_bytes(), extension.as_bytes(), &hour.to_be_bytes()];
    let mut text = BASE32_NOPAD.encode(&key.hmac_sha256("web-password", &parts));
    text.truncate(LENGTH);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_is_accepted_in_its_hour_and_in_the_next() {
        let key = SigningKey::new([7; 32]);
        let accepted = |text| accepted(&key, Uuid::nil(), "reception", at(text));
        let [nine, eight] = accepted("2026-11-30T09:00:00Z");
        assert_eq!(accepted("2026-11-30T09:59:59Z"), [nine.clone(), eight.clone()]);
        let [ten, before] = accepted("2026-11-30T10:00:00Z");
        assert_eq!(before, nine);
        let eleven = accepted("2026-11-30T11:00:00Z");
        assert!(!eleven.contains(&nine) && eleven.contains(&ten));
        assert!([&nine, &eight, &ten].iter().all(|text| {
            text.len() == LENGTH
                && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        }));
        assert!(nine != eight && nine != ten);
    }

    #[test]
    fn a_password_is_of_one_extension_of_one_tenant_of_one_installation() {
        let now = at("2026-11-30T09:00:00Z");
        let of = |key: u8, tenant: u128, extension| {
            accepted(&SigningKey::new([key; 32]), Uuid::from_u128(tenant), extension, now)[0].clone()
        };
        let own = of(7, 1, "reception");
        assert_eq!(own, of(7, 1, "reception"));
        for other in [of(8, 1, "reception"), of(7, 2, "reception"), of(7, 1, "receptio")] {
            assert_ne!(own, other);
        }
    }
}
