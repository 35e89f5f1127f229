//! The keyring that seals secrets, the key that signs calls, and generated
//! passwords; passwords of browsers and of TURN servers.

pub mod a1_hash;
pub mod digest;
pub mod ice;
pub mod keyring;
pub mod password;
pub mod signing_key;
pub mod web_credential;
pub mod web_password;

pub use keyring::{Keyring, KeyringError};
pub use signing_key::SigningKey;
