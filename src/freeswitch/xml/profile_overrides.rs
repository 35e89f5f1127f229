//! Profiles that listen elsewhere than they should, until they are started anew. A rescan makes Sofia
//! write its own addresses and ports anew from our answer without listening there (`sofia.c`,
//! `config_sofia_profile_urls`): peers would be told an address where nobody is, and nobody could see
//! any more that a start is missing. So a profile that is read again is told what it has.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::plan::SipProfileRow;

/// Profiles as they run, where that is not as they should be.
#[derive(Debug, Default)]
pub struct ProfileOverrides(RwLock<BTreeMap<String, SipProfileRow>>);

impl ProfileOverrides {
    /// All of them, by name.
    pub fn all(&self) -> BTreeMap<String, SipProfileRow> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how a profile runs.
    pub fn note(&self, name: &str, row: SipProfileRow) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), row);
    }

    /// Forgets those of which this is not true any more.
    pub fn retain(&self, differs: impl Fn(&str) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| differs(name));
    }
}
