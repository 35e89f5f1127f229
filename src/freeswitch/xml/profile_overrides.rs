//! Profiles that run with other addresses or ports than their rows say, until they are restarted. A rescan
//! makes Sofia take addresses and ports from our answer without listening there (`sofia.c`,
//! `config_sofia_profile_urls`): it would announce an address that nothing listens on, and the missing
//! restart would become invisible. Therefore answers to a rescan repeat what the profile runs with.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::plan::SipProfileRow;

/// Rows of profiles as they run, where they differ from what is wanted.
#[derive(Debug, Default)]
pub struct ProfileOverrides(RwLock<BTreeMap<String, SipProfileRow>>);

impl ProfileOverrides {
    /// All rows, by name of the profile.
    pub fn all(&self) -> BTreeMap<String, SipProfileRow> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records how a profile runs.
    pub fn insert(&self, name: &str, row: SipProfileRow) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), row);
    }

    /// Removes the profiles that do not differ any more.
    pub fn retain(&self, differs: impl Fn(&str) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| differs(name));
    }
}
