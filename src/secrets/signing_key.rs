//! Signatures by which our own dialplan recognises what it wrote itself.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::plan::TrunkRow;

/// Length of a signature: 128 bits in hexadecimal.
const SIGNATURE_DIGITS: usize = 32;

/// The key of one installation, kept sealed in Postgres and the same on every switch.
#[derive(Clone)]
pub struct SigningKey {
    bytes: [u8; 32],
}

impl SigningKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes }
    }

    /// A fixed key for dry runs such as `centrex trace`: no switch accepts its signatures, and they are
    /// the same on every machine.
    pub fn dummy() -> Self {
        Self::new([0; 32])
    }

    /// The bytes, for sealing only.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Signs parts, for a purpose: BLAKE3 in keyed mode, cut to 32 hexadecimal digits. The length
    /// before each part keeps `["ab", ""]` and `["a", "b"]` apart: one byte up to 254, else the byte 255
    /// and the length in eight, little endian. Calls in progress carry signatures, so this is fixed.
    pub fn sign(&self, purpose: &'static str, parts: &[&[u8]]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.bytes);
        for part in [purpose.as_bytes()].iter().chain(parts) {
            match u8::try_from(part.len()) {
                Ok(length) if length < u8::MAX => hasher.update(&[length]),
                _ => hasher.update(&[u8::MAX]).update(&(part.len() as u64).to_le_bytes()),
            };
            hasher.update(part);
        }
        hasher.finalize().to_hex().chars().take(SIGNATURE_DIGITS).collect()
    }

    /// HMAC-SHA256 (RFC 2104) of parts, for a purpose; each part after its length in eight bytes.
    pub fn hmac_sha256(&self, purpose: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        // A key of any length is taken; an array has the length of a block already.
        let mut block = [0; 64];
        block[..self.bytes.len()].copy_from_slice(&self.bytes);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in [purpose.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether a signature is valid, in constant time.
    pub fn verify(&self, purpose: &'static str, parts: &[&[u8]], signature: &str) -> bool {
        self.sign(purpose, parts).as_bytes().ct_eq(signature.as_bytes()).into()
    }

    /// The name of a trunk's gateway on the switches. All profiles share one namespace of gateways, and a
    /// phone must not be able to guess a name (contract §4.2, §10.1).
    pub fn gateway_name(&self, trunk: uuid::Uuid, index: usize) -> String {
        format!("gw-{}", self.sign("gateway", &[trunk.as_bytes(), index.to_string().as_bytes()]))
    }

    /// The names of a trunk's gateways, in the order of its row.
    pub fn gateway_names(&self, trunk: &TrunkRow) -> impl Iterator<Item = String> {
        (0..trunk.gateways.len()).map(|index| self.gateway_name(trunk.id, index))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
