//! How phones spell their domains. FreeSWITCH keeps a registration under the host of To as the phone sent it
//! (sofia_reg.c), and finds it only by that spelling.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::util::domain::canonical;

/// Most other spellings that are kept of one user.
const MAX_SPELLINGS: usize = 4;

/// Spellings other than the canonical one, by domain and user. Those that FreeSWITCH has listed are never dropped for
/// one that a request claims, whose credentials are not checked yet.
#[derive(Debug, Default)]
pub struct Spellings(RwLock<HashMap<String, HashMap<String, Vec<Spelling>>>>);

#[derive(Debug)]
struct Spelling {
    host: String,
    is_listed: bool,
}

impl Spellings {
    /// Records the host that a phone registers with.
    pub fn claimed(&self, domain: &str, user: &str, host: &str) {
        self.record(domain, user, host, false);
    }

    /// Records the registrations that FreeSWITCH lists, each as user and host.
    pub fn listed(&self, registrations: &[(String, String)]) {
        for (user, host) in registrations {
            if let Some(domain) = canonical(host) {
                self.record(&domain, user, host, true);
            }
        }
    }

    fn record(&self, domain: &str, user: &str, host: &str, is_listed: bool) {
        if domain == host {
            return;
        }
        let mut domains = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = domains.entry(domain.to_owned()).or_default().entry(user.to_owned()).or_default();
        if let Some(known) = known.iter_mut().find(|known| known.host == host) {
            known.is_listed |= is_listed;
            return;
        }
        if known.len() >= MAX_SPELLINGS {
            match known.iter().position(|known| is_listed || !known.is_listed) {
                Some(oldest) => drop(known.remove(oldest)),
                None => return,
            }
        }
        known.push(Spelling { host: host.to_owned(), is_listed });
    }

    /// Other spellings of a domain with which a user may be registered.
    pub fn of_user(&self, domain: &str, user: &str) -> Vec<String> {
        let domains = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = domains.get(domain).and_then(|users| users.get(user));
        known.into_iter().flatten().map(|known| known.host.clone()).collect()
    }

    /// Other spellings of a domain with which any user may be registered.
    pub fn of_domain(&self, domain: &str) -> Vec<String> {
        let domains = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = domains.get(domain).into_iter().flat_map(HashMap::values).flatten();
        let mut hosts: Vec<String> = known.map(|known| known.host.clone()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_do_not_displace_what_freeswitch_lists() {
        let spellings = Spellings::default();
        spellings.claimed("a.example", "1", "a.example");
        assert!(spellings.of_user("a.example", "1").is_empty());
        spellings.listed(&[("1".to_owned(), "A.example".to_owned())]);
        for host in ["a.Example", "a.eXample", "a.exAmple", "a.exaMple", "a.examPle"] {
            spellings.claimed("a.example", "1", host);
        }
        let known = ["A.example", "a.exAmple", "a.exaMple", "a.examPle"];
        assert_eq!(spellings.of_user("a.example", "1"), known);
        assert!(spellings.of_user("a.example", "2").is_empty());
        assert_eq!(spellings.of_domain("a.example").len(), 4);
    }
}
