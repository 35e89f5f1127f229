//! Signatures by which our own dialplan knows again what it wrote itself.

use subtle::ConstantTimeEq;

use crate::plan::TrunkRow;

/// 128 bits in hexadecimal digits: what makes them character by character takes four times as long.
fn hexadecimal(bits: &[u8; 16]) -> String {
    let mut text = vec![0; 32];
    match hex::encode_to_slice(bits, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(), // two digits a byte: they fit
    }
}

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

    /// A key of no installation, for asking what would be answered: what it signs is believed
    /// nowhere, and is the same everywhere.
    pub fn of_nobody() -> Self {
        Self::new([0; 32])
    }

    /// The bytes, for sealing only.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A signature of 32 hexadecimal digits (BLAKE3 in keyed mode, cut to 128 bits) over parts, which are
    /// kept apart by their lengths; the purpose separates uses.
    pub fn sign(&self, purpose: &'static str, parts: &[&[u8]]) -> String {
        let mut message = Vec::with_capacity(192);
        for part in [purpose.as_bytes()].iter().chain(parts) {
            // Few bytes, because blocks of 64 are what costs: 254 and less take one.
            match u8::try_from(part.len()) {
                Ok(length) if length < u8::MAX => message.push(length),
                _ => {
                    message.push(u8::MAX);
                    message.extend((part.len() as u64).to_le_bytes());
                }
            }
            message.extend_from_slice(part);
        }
        let signature = blake3::keyed_hash(&self.bytes, &message);
        signature.as_bytes().first_chunk().map(hexadecimal).unwrap_or_default()
    }

    /// Whether a signature is right, in constant time.
    pub fn verify(&self, purpose: &'static str, parts: &[&[u8]], signature: &str) -> bool {
        self.sign(purpose, parts).as_bytes().ct_eq(signature.as_bytes()).into()
    }

    /// The name of a trunk's gateway on the switches: one namespace for all profiles, and not to
    /// be guessed by a phone (contract §4.2, §10.1).
    pub fn gateway_name(&self, trunk: uuid::Uuid, index: usize) -> String {
        format!("gw-{}", self.sign("gateway", &[trunk.as_bytes(), index.to_string().as_bytes()]))
    }

    /// The names of all gateways of a trunk, in its order.
    pub fn gateway_names(&self, trunk: &TrunkRow) -> impl Iterator<Item = String> {
        (0..trunk.gateways.len()).map(|index| self.gateway_name(trunk.id, index))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
