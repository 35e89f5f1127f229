//! Seals the folder source's copies of manifests with the installation's keys.

use std::sync::Arc;

use crate::secrets::keyring::AssociatedData;
use crate::secrets::keyring::Keyring;
use crate::source::folder::Vault;

/// A vault with the keys that seal the store.
#[derive(Debug)]
pub struct KeyringVault(pub Arc<Keyring>);

fn associated_data(name: &str) -> AssociatedData<'_> {
    AssociatedData { scope: "folder", table: "last-good", name }
}

impl Vault for KeyringVault {
    fn seal(&self, name: &str, text: &[u8]) -> Vec<u8> {
        self.0.seal(associated_data(name), text)
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.unseal(associated_data(name), sealed).ok()
    }
}
