//! What is kept secret: the keys that seal it, the key that calls are signed with, passwords that are made.

pub mod a1_hash;
pub mod keyring;
pub mod password;
pub mod signing_key;

pub use keyring::{Keyring, KeyringError};
pub use signing_key::SigningKey;
