//! Nonces of challenges (RFC 7616 §3.3): the time, signed with the installation's key, so that every replica knows its
//! own and those of the others, and none is stored.

use jiff::Timestamp;

use crate::secrets::signing_key::SigningKey;

const PURPOSE: &str = "provisioning nonce";
/// Seconds that a nonce is good for.
const LIFETIME: i64 = 300;
/// Seconds by which the clock of another replica may be ahead.
const SKEW: i64 = 30;
/// Hexadecimal digits of the time.
const TIME_DIGITS: usize = 16;

/// Issues and checks nonces.
#[derive(Clone, Debug)]
pub struct Nonces(SigningKey);

/// How good a nonce is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Issued a short time ago.
    Fresh,
    /// Issued too long ago.
    Old,
    /// Issued by no replica.
    Foreign,
}

impl Nonces {
    /// Nonces that are signed with a key.
    pub fn new(key: SigningKey) -> Self {
        Self(key)
    }

    /// A nonce of now.
    pub fn issue(&self) -> String {
        self.issue_at(Timestamp::now().as_second())
    }

    /// A nonce of a time, in Unix seconds.
    pub(super) fn issue_at(&self, time: i64) -> String {
        let time = format!("{time:0TIME_DIGITS$x}");
        format!("{time}{}", self.0.sign(PURPOSE, &[time.as_bytes()]))
    }

    /// How good a nonce is.
    pub fn freshness(&self, nonce: &str) -> Freshness {
        let Some((time, signature)) = nonce.split_at_checked(TIME_DIGITS) else { return Freshness::Foreign };
        if !self.0.verify(PURPOSE, &[time.as_bytes()], signature) {
            return Freshness::Foreign;
        }
        let age = i64::from_str_radix(time, 16).map(|time| Timestamp::now().as_second() - time);
        match age {
            Ok(age) if (-SKEW..LIFETIME).contains(&age) => Freshness::Fresh,
            _ => Freshness::Old,
        }
    }
}
