//! The keyring that seals secrets, the key that signs calls, and generated passwords.

pub mod a1_hash;
pub mod keyring;
pub mod password;
pub mod signing_key;

pub use keyring::{Keyring, KeyringError};
pub use signing_key::SigningKey;
