//! Signatures by which our own dialplan knows again what it wrote itself.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The key of one installation, kept sealed in Postgres and the same on every switch.
#[derive(Clone)]
pub struct SigningKey {
    bytes: [u8; 32],
    /// With the key taken in, which is half the work of a short signature.
    mac: Option<Hmac<Sha256>>,
}

impl SigningKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        // HMAC takes keys of every length: there always is one.
        Self { bytes, mac: Hmac::new_from_slice(&bytes).ok() }
    }

    /// The bytes, for sealing only.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A signature of 32 hexadecimal digits (HMAC-SHA-256, cut to 128 bits) over parts, which are
    /// kept apart by their lengths; the purpose separates uses.
    pub fn sign(&self, purpose: &'static str, parts: &[&str]) -> String {
        let mut text = String::with_capacity(160);
        for part in [purpose].iter().chain(parts) {
            let _ = write!(text, "{}:{part}", part.len()); // a String takes everything
        }
        let Some(mut mac) = self.mac.clone() else { return String::new() };
        mac.update(text.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// Whether a signature is right, in constant time.
    pub fn verify(&self, purpose: &'static str, parts: &[&str], signature: &str) -> bool {
        let expected = self.sign(purpose, parts);
        !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
    }

    /// The name of a trunk's gateway on the switches: one namespace for all profiles, and not to
    /// be guessed by a phone (contract §4.2, §10.1).
    pub fn gateway_name(&self, trunk: uuid::Uuid, index: usize) -> String {
        format!("gw-{}", self.sign("gateway", &[&trunk.to_string(), &index.to_string()]))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
